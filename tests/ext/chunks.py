"""Small chunks of compressible rows."""

import numpy as np
from hangard_ext import codec

ROW_BYTES = 192
ROWS = 64
CHUNK_BYTES = ROW_BYTES * ROWS


def rows_of(seed: int, n: int = ROWS, row_bytes: int = ROW_BYTES) -> np.ndarray:
    items = np.random.default_rng(seed).integers(0, 200, (n, row_bytes // 64), dtype=np.uint8)
    return np.repeat(items, 64, axis=1)


def frame_of(rows: np.ndarray, **options) -> bytes:
    options = {"chunk_bytes": CHUNK_BYTES, "typesize": 4, "block_bytes": 384} | options
    frame = codec.compress_rows(rows, **options)
    assert frame is not None
    return frame
