"""Rows to a chunk, bytes to a block."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hangard.model.chunking import BLOCK_BYTES_MAX, CHUNK_BYTES, block_bytes, chunk_rows


@pytest.mark.parametrize(
    ("row_bytes", "rows"), [(0, CHUNK_BYTES), (1, CHUNK_BYTES), (784, 668), (1 << 20, 1)]
)
def test_rows_to_a_chunk(row_bytes, rows):
    assert chunk_rows(row_bytes) == rows


@given(st.integers(1, 1 << 26), st.sampled_from([1, 2, 4, 8, 16, 32]))
def test_a_block_holds_whole_items_and_small_rows_whole(items, item_bytes):
    row_bytes = items * item_bytes
    block = block_bytes(row_bytes, item_bytes)
    assert item_bytes <= block <= BLOCK_BYTES_MAX
    assert block % item_bytes == 0
    assert block % row_bytes == 0 or row_bytes > BLOCK_BYTES_MAX
