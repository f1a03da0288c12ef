from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from typing_extensions import Buffer

_Ends: TypeAlias = npt.NDArray[np.uint32]

def group_pairs(blob: Buffer, ends: _Ends) -> tuple[bytes, _Ends, npt.NDArray[np.int64]]: ...
def second_parts(blob: Buffer, ends: _Ends) -> tuple[bytes, _Ends]: ...
def pair_keys(
    samples: Buffer, sample_ends: _Ends, subsamples: Buffer, subsample_ends: _Ends
) -> tuple[bytes, _Ends]: ...
