"""The slow, obvious twin of hangard_ext.codec: the blosc2 package, row by row."""

import blosc2
import numpy as np
from reference.digest import crc32c
from reference.recordspec import unpack_one


def decode_chunk(frame: bytes) -> bytes:
    return blosc2.schunk_from_cframe(frame, copy=True).decompress_chunk(0)


def chunk_or_nothing(frame: bytes) -> bytes:
    try:
        return decode_chunk(frame)
    except RuntimeError:
        return b""


def read_row(file: bytes, spec: bytes, row_bytes: int) -> bytes | None:
    _, flags, codec, _, offset, stored_length, row, crc, _ = unpack_one(spec)
    if row_bytes == 0:
        return b"" if crc == 0 else None
    stored = file[offset : offset + stored_length]
    if len(stored) < stored_length or codec > 1 or (codec == 1 and flags):
        return None
    chunk = chunk_or_nothing(stored) if codec == 1 else stored
    sample = chunk[row * row_bytes : (row + 1) * row_bytes]
    return sample if len(sample) == row_bytes and crc32c(sample) == crc else None


def read_many(file: bytes, specs: np.ndarray, row_bytes: int) -> list[bytes | None]:
    return [read_row(file, spec.tobytes(), row_bytes) for spec in specs]
