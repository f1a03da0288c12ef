"""How samples of different lengths are packed into chunks, and what their specs say.

A chunk holds whole samples one after the other, without gaps; a sample above CHUNK_BYTES is a chunk
of its own. Specs have FLAG_RAGGED: ``row`` is the byte of the chunk at which the sample begins.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from hangard_ext.ragged import take_ragged

from hangard.backends.segment import Bytes, Checksums, RaggedSegment, SegmentForm, ShapeIds
from hangard.limits import KIB, SAMPLE_BYTES_MAX
from hangard.model.chunking import BLOCK_BYTES_MAX, CHUNK_BYTES, usual_chunk_bytes
from hangard.model.options import hdf5_options
from hangard.model.ragged import RaggedRows
from hangard.model.schema import Schema

# A block is what one read of a small sample decodes. In blocks of 16 KiB zstd leaves 33 % of
# numpy's sources, not 40 %, but a read takes 13 us, not 5 (bench/bench_kinds.py).
RAGGED_BLOCK_BYTES_MIN = 4 * KIB


@dataclass(frozen=True, slots=True)
class RaggedBatch:
    """Rows with all that a segment needs to store them."""

    rows: RaggedRows
    digests: Bytes
    crcs: Checksums
    shape_ids: ShapeIds

    def append_to(self, segment: RaggedSegment) -> Bytes:
        """Store them; their specs (n, 32). Errors: as ``Segment.append``."""
        return segment.append_ragged(self.rows, self.digests, self.crcs, self.shape_ids)

    def by_form(self, schema: Schema) -> Iterator[tuple[SegmentForm, RaggedBatch]]:
        """The rows by the form of the segments that they belong into."""
        if schema.backend != "00":
            yield SegmentForm.of(schema), self
            return
        _, sizes = row_begins(self.rows)
        chunk_bytes = usual_chunk_bytes(hdf5_options(schema.options).is_blosc2)
        items = chunk_items(sizes, schema.numpy_dtype.itemsize, chunk_bytes)
        for count in np.unique(items).tolist():
            positions = np.flatnonzero(items == count)
            whole = len(positions) == len(items)
            yield SegmentForm.of(schema, count), self if whole else self._taken(positions)

    def _taken(self, positions: npt.NDArray[np.int64]) -> RaggedBatch:
        data, ends = take_ragged(self.rows.data, self.rows.ends, positions)
        return RaggedBatch(
            RaggedRows(data, ends, self.rows.shapes[positions]),
            np.ascontiguousarray(self.digests[positions]),
            self.crcs[positions],
            self.shape_ids[positions],
        )


def chunk_items(
    sizes: npt.NDArray[np.uint64], item_bytes: int, chunk_bytes: int
) -> npt.NDArray[np.int64]:
    """Items of the chunks that samples of these sizes (n,) in bytes belong into, (n,).

    All chunks of an HDF5 dataset have one size. That of a sample above ``chunk_bytes`` is at most
    an eighth larger than it, so that there are few sizes, and what is added are zeros.
    """
    smallest = max(1, chunk_bytes // item_bytes)
    items = sizes.astype(np.int64) // item_bytes
    # frexp gives the number of bits; four of them are kept.
    steps = np.int64(1) << np.maximum(0, np.frexp(items.astype(np.float64))[1] - 4).astype(np.int64)
    stepped = np.minimum(-(-items // steps) * steps, SAMPLE_BYTES_MAX // item_bytes)
    return np.where(items <= smallest, smallest, stepped)


def cut_chunks(
    ends: npt.NDArray[np.uint64], chunk_bytes: int = CHUNK_BYTES
) -> Iterator[tuple[int, int]]:
    """Rows (n,) as (first, stop) of chunks of at most ``chunk_bytes``; a larger row comes alone."""
    first, begin = 0, 0
    while first < len(ends):
        stop = int(np.searchsorted(ends, np.uint64(begin + chunk_bytes), side="right"))
        stop = max(stop, first + 1)
        yield first, stop
        first, begin = stop, int(ends[stop - 1])


def ragged_block_bytes(rows: RaggedRows, item_bytes: int) -> int:
    """Size of a chunk's blocks: a power of two that holds a sample of mean size; whole items."""
    mean = max(1, rows.nbytes // max(1, len(rows)))
    size = min(BLOCK_BYTES_MAX, max(RAGGED_BLOCK_BYTES_MIN, 1 << (mean - 1).bit_length()))
    return size - size % item_bytes


def row_begins(rows: RaggedRows) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """Where rows begin in their data, and their sizes in bytes."""
    begins = np.concatenate([np.zeros(1, np.uint64), rows.ends[:-1]])[: len(rows)]
    return begins, rows.ends - begins
