from typing import Any, Final

import numpy as np
import numpy.typing as npt
from typing_extensions import Buffer

CHUNK_BYTES_MAX: Final[int]
SAMPLE_BYTES_MAX: Final[int]
LEVEL_MAX: Final[int]
CODECS: Final[dict[str, int]]
SHUFFLES: Final[dict[str, int]]

def blosc2_version() -> str: ...
def compress_rows_into(
    rows: Buffer,
    out: Buffer,
    *,
    chunk_bytes: int,
    typesize: int,
    block_bytes: int,
    codec: str = "lz4",
    level: int = 5,
    shuffle: str = "byte",
) -> int: ...
def compress_rows(
    rows: Buffer,
    *,
    chunk_bytes: int,
    typesize: int,
    block_bytes: int,
    codec: str = "lz4",
    level: int = 5,
    shuffle: str = "byte",
) -> bytes | None: ...
def decode_row(chunk: Buffer, row: int, row_bytes: int, out: Buffer) -> None: ...
def decode_rows(
    chunk: Buffer,
    rows: npt.NDArray[np.integer[Any]] | list[int] | range,
    row_bytes: int,
    out: Buffer,
) -> None: ...
def decode_chunk(chunk: Buffer, row_bytes: int, out: Buffer) -> None: ...
def read_row(
    file: Buffer, spec: Buffer, row_bytes: int, out: Buffer, verify: bool = True
) -> bool: ...
def read_many(
    file: Buffer,
    specs: npt.NDArray[np.uint8],
    row_bytes: int,
    out: Buffer,
    positions: npt.NDArray[np.int64] | None = None,
    verify: bool = True,
) -> int: ...
