"""How rows of one size are packed: rows to a chunk, bytes to a block.

Client, daemon and readers use the same numbers, so that a batch can be cut at chunk boundaries.
They are free to change: a spec names its own row in its own chunk.
"""

from __future__ import annotations

from hangard.limits import KIB

CHUNK_BYTES = 512 * KIB  # raw; 256 KiB compress 3 % worse, 1 MiB leave more of a part-full chunk
# Of a chunk that decodes only as a whole, for whichever row of it: deflate, LZF.
WHOLE_CHUNK_BYTES = 64 * KIB
BLOCK_BYTES = 2 * KIB  # a row of 784 bytes out of it takes 2.5 us, out of 12 KiB 14 us
BLOCK_BYTES_MAX = 256 * KIB  # a larger row is several blocks, which then stay in the L2 cache


def chunk_rows(row_bytes: int, chunk_bytes: int = CHUNK_BYTES) -> int:
    """Rows of ``row_bytes`` in one chunk; a row above the chunk size is a chunk of its own."""
    return max(1, chunk_bytes // max(1, row_bytes))


def block_bytes(row_bytes: int, item_bytes: int) -> int:
    """Size of a block: a few whole small rows, one row, or an equal part of a large one.

    Always whole items.
    """
    if row_bytes <= BLOCK_BYTES_MAX:
        return max(1, BLOCK_BYTES // row_bytes) * row_bytes
    parts = -(-row_bytes // BLOCK_BYTES_MAX)
    return -(-(row_bytes // item_bytes) // parts) * item_bytes


def usual_chunk_bytes(decodes_blocks: bool) -> int:
    """Raw bytes of a chunk of several samples; smaller where a chunk decodes as a whole only."""
    return CHUNK_BYTES if decodes_blocks else WHOLE_CHUNK_BYTES
