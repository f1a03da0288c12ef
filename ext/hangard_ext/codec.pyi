from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
from typing_extensions import Buffer

# Stubs of numpy before Python 3.12 do not say that an array is a buffer.
_Bytes: TypeAlias = Buffer | npt.NDArray[Any]

CHUNK_BYTES_MAX: Final[int]
SAMPLE_BYTES_MAX: Final[int]
LEVEL_MAX: Final[int]
CODECS: Final[dict[str, int]]
SHUFFLES: Final[dict[str, int]]
FILTERS: Final[dict[str, int]]

def blosc2_version() -> str: ...
def compress_rows_into(
    rows: _Bytes,
    out: _Bytes,
    *,
    chunk_bytes: int,
    typesize: int,
    block_bytes: int,
    codec: str = "lz4",
    level: int = 5,
    shuffle: str = "byte",
) -> int: ...
def compress_rows(
    rows: _Bytes,
    *,
    chunk_bytes: int,
    typesize: int,
    block_bytes: int,
    codec: str = "lz4",
    level: int = 5,
    shuffle: str = "byte",
) -> bytes | None: ...
def filter_rows_into(
    rows: _Bytes,
    out: _Bytes,
    *,
    chunk_bytes: int,
    shuffled_item_bytes: int,
    codec: str,
    level: int = 5,
) -> int: ...
def filtered_bytes_of(chunk: _Bytes, codec: int) -> int: ...
def fletcher32(data: _Bytes) -> int: ...
def decode_row(chunk: _Bytes, row: int, row_bytes: int, out: _Bytes) -> None: ...
def decode_rows(
    chunk: _Bytes,
    rows: npt.NDArray[np.integer[Any]] | list[int] | range,
    row_bytes: int,
    out: _Bytes,
) -> None: ...
def decode_chunk(chunk: _Bytes, row_bytes: int, out: _Bytes) -> None: ...
def chunk_bytes_of(chunk: _Bytes) -> int: ...
def read_row(
    file: _Bytes, spec: _Bytes, row_bytes: int, out: _Bytes, verify: bool = True
) -> bool: ...
def read_many(
    file: _Bytes,
    specs: npt.NDArray[np.uint8],
    row_bytes: int,
    out: _Bytes,
    positions: npt.NDArray[np.int64] | None = None,
    verify: bool = True,
) -> int: ...
def read_ragged(
    file: _Bytes,
    specs: npt.NDArray[np.uint8],
    ends: npt.NDArray[np.uint64],
    out: npt.NDArray[np.uint8],
    positions: npt.NDArray[np.int64] | None = None,
    verify: bool = True,
) -> int: ...
