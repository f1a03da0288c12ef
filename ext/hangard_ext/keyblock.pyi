from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from typing_extensions import Buffer

_Ends: TypeAlias = npt.NDArray[np.uint32]
_Digests: TypeAlias = npt.NDArray[np.uint8]
_Changes: TypeAlias = tuple[bytes, _Ends, _Digests]

def sort_changes(blob: Buffer, ends: _Ends, digests: _Digests) -> _Changes: ...
def merge_changes(blocks: Iterable[_Changes]) -> _Changes: ...
def find_key(blob: Buffer, ends: _Ends, key: Buffer) -> int: ...
def find_keys(
    blob: Buffer, ends: _Ends, wanted_blob: Buffer, wanted_ends: _Ends
) -> npt.NDArray[np.int64]: ...
def take_keys(blob: Buffer, ends: _Ends, indices: npt.NDArray[np.int64]) -> tuple[bytes, _Ends]: ...
