from typing import Final

import numpy as np
import numpy.typing as npt
from typing_extensions import Buffer

LOG_FORMAT_CODE: Final[int]
LOG_RECORD_BYTES: Final[int]
KIND_SAMPLE: Final[int]
KIND_NODE: Final[int]

def pack_rows(
    kind: int,
    segment: int,
    offset: int,
    rows: npt.NDArray[np.uint8],
    digests: npt.NDArray[np.uint8],
    crcs: npt.NDArray[np.uint32] | None = None,
    codec: int = 0,
    shape_id: int = 0,
) -> tuple[bytes, npt.NDArray[np.uint8]]: ...
def pack_ragged(
    kind: int,
    segment: int,
    offset: int,
    blob: Buffer,
    ends: npt.NDArray[np.uint64],
    digests: npt.NDArray[np.uint8],
    crcs: npt.NDArray[np.uint32] | None = None,
    codec: int = 0,
    shape_ids: npt.NDArray[np.uint32] | None = None,
) -> tuple[bytes, npt.NDArray[np.uint8]]: ...
def scan(
    buffer: Buffer, segment: int, start: int, offset: int = 0
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8], npt.NDArray[np.uint8], int]: ...
def find_record(buffer: Buffer, segment: int, start: int, offset: int = 0) -> int: ...
