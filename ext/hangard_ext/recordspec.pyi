from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
from typing_extensions import Buffer

RECORD_SPEC_BYTES: Final = 32
FLAG_RAW_CHUNK: Final = 1
FLAG_RAGGED: Final = 2
SHAPE_IS_LENGTH: Final = 0x80000000
CODEC_RAW: Final = 0
CODEC_BLOSC2: Final = 1
CODEC_GZIP: Final = 2
CODEC_LZF: Final = 3
SHUFFLE_SHIFT: Final = 4
SPEC_DTYPE: np.dtype[np.void]

_Field: TypeAlias = int | np.integer[Any] | npt.NDArray[np.integer[Any]]

def pack_one(
    format_code: int,
    flags: int,
    codec: int,
    segment: int,
    offset: int,
    stored_length: int,
    row: int,
    crc: int,
    shape_id: int = 0,
) -> bytes: ...
def unpack_one(spec: Buffer) -> tuple[int, int, int, int, int, int, int, int, int]: ...
def pack_many(
    format_code: _Field,
    flags: _Field,
    codec: _Field,
    segment: _Field,
    offset: _Field,
    stored_length: _Field,
    row: _Field,
    crc: _Field,
    shape_id: _Field = 0,
) -> npt.NDArray[np.uint8]: ...
def unpack_many(specs: npt.NDArray[np.uint8]) -> npt.NDArray[np.void]: ...
