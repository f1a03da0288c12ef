"""Format code 00 for samples of variable shape: whole samples, ravelled, in one 1-D dataset.

Shapes   rows: RaggedRows; in the file ``/samples`` (items,), cut into chunks of ``chunk_items``.
Format   ``h5py`` with ``hdf5plugin`` opens the file. No sample lies across a border of chunks; what
         a chunk has left is zeros, and ``/valid_rows`` counts the items that are real.
         Spec: as of samples of fixed shape, with FLAG_RAGGED and the sample's first byte in its
         chunk as row. A sample without bytes is only named: offset and length 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from hangard_ext.recordspec import CODEC_RAW, FLAG_RAGGED, FLAG_RAW_CHUNK, pack_many

from hangard.backends.hdf5_messages import Chunk
from hangard.backends.hdf5_segment import (
    PAYLOAD_BYTES_MAX,
    Hdf5Segment,
    RowLayout,
)
from hangard.backends.ragged_chunks import cut_chunks, ragged_block_bytes, row_begins
from hangard.backends.segment import Bytes, Checksums, SegmentLost, ShapeIds
from hangard.model.ragged import RaggedRows


class RaggedHdf5Segment(Hdf5Segment):
    """One HDF5 file of samples of one dtype and options, with its ``.rows`` file.

    It has ``chunk_items``, and no sample is larger than a chunk.
    """

    def append_ragged(
        self, rows: RaggedRows, digests: Bytes, crcs: Checksums, shape_ids: ShapeIds
    ) -> Bytes:
        """Store rows; their specs (n, 32). As ``Segment.append``."""
        layout = self._layout
        with self._in_use():
            if self._file.lost:
                raise SegmentLost(f"{self.path.name} belongs to an HDF5 process that has ended")
            spans = list(cut_chunks(rows.ends, layout.chunk_bytes)) if rows.nbytes else []
            placed = self._file.append(_payloads(layout, rows, spans)) if spans else []
            specs = self._ragged_specs(rows, spans, placed, crcs, shape_ids)
            with self._lock:
                self._rows_file.append(digests, specs)
            return specs

    def _ragged_specs(
        self,
        rows: RaggedRows,
        spans: list[tuple[int, int]],
        placed: list[tuple[Chunk, int]],
        crcs: Checksums,
        shape_ids: ShapeIds,
    ) -> Bytes:
        n = len(rows)
        begins, _ = row_begins(rows)
        fields: dict[str, Any] = {
            name: np.zeros(n, np.uint64) for name in ("flags", "codec", "offset", "length", "row")
        }
        codec, flags = self._layout.codec
        for (first, stop), (chunk, offset) in zip(spans, placed, strict=True):
            raw = chunk.filter_mask != 0
            part = slice(first, stop)
            fields["flags"][part] = FLAG_RAW_CHUNK if raw else flags
            fields["codec"][part] = CODEC_RAW if raw else codec
            fields["offset"][part] = offset
            fields["length"][part] = chunk.length - self._layout.trailer_bytes
            fields["row"][part] = begins[part] - begins[first]
        return pack_many(
            self.format_code,
            fields["flags"] | np.uint64(FLAG_RAGGED),
            fields["codec"],
            self.number,
            fields["offset"],
            fields["length"],
            fields["row"],
            crcs,
            shape_ids,
        )


def _payloads(
    layout: RowLayout, rows: RaggedRows, spans: list[tuple[int, int]]
) -> Iterator[RaggedPayload]:
    """The chunks of some rows, as many in one message as their memory allows."""
    step = max(1, PAYLOAD_BYTES_MAX // layout.chunk_bytes)
    for start in range(0, len(spans), step):
        chunks = [rows.part(first, stop) for first, stop in spans[start : start + step]]
        yield RaggedPayload(layout, chunks)


class RaggedPayload:
    """Chunks that are compressed when the shared memory for them is there."""

    def __init__(self, layout: RowLayout, chunks: list[RaggedRows]) -> None:
        self._layout = layout
        self._chunks = chunks
        self._place_bytes = layout.chunk_bytes + layout.trailer_bytes
        self.n_bytes = len(chunks) * self._place_bytes

    def fill(self, view: memoryview, offset: int) -> list[Chunk]:
        size, item_bytes = self._place_bytes, self._layout.row_bytes
        return [
            self._layout.compress(
                rows.data.reshape(-1, item_bytes),
                view[i * size : (i + 1) * size],
                offset + i * size,
                ragged_block_bytes(rows, item_bytes),
            )
            for i, rows in enumerate(self._chunks)
        ]
