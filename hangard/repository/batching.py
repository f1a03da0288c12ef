"""Batches of samples: hash, deduplicate, store. Runs in many threads at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from hangard_ext.ragged import take_ragged
from hangard_ext.table import first_occurrences

from hangard.encoding.samples import digest_rows
from hangard.model.ragged import RaggedRows
from hangard.model.schema import Schema
from hangard.repository.claims import ClaimTable
from hangard.repository.shapes import ShapeTable
from hangard.repository.staging import ChangeBlock, Digests, Ends
from hangard.repository.storage import Storage


@dataclass(frozen=True, slots=True)
class Counts:
    """What a batch brought: samples, their bytes, and how many of each were stored anew."""

    samples: int = 0
    sample_bytes: int = 0
    stored_samples: int = 0
    stored_bytes: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.samples + other.samples,
            self.sample_bytes + other.sample_bytes,
            self.stored_samples + other.stored_samples,
            self.stored_bytes + other.stored_bytes,
        )


Rows = npt.NDArray[np.uint8] | RaggedRows


class Batcher:
    """Turns rows of samples into stored digests. Thread-safe; holds no rows between calls."""

    def __init__(self, storage: Storage, shapes: ShapeTable) -> None:
        self._storage = storage
        self._shapes = shapes
        self._claims = ClaimTable(storage.find_many, storage.usage)

    def store(
        self, schema: Schema, blob: bytes, ends: Ends, rows: Rows
    ) -> tuple[ChangeBlock, Counts]:
        """Store the rows that are new; every digest of the answer is stored when this returns.

        Shapes  rows (n, schema.sample_bytes) uint8, or RaggedRows of a column of variable shape,
                one a packed key; the caller keeps them unchanged until this returns.
        Errors  NoSpace, Corrupt, InvalidRequest (``too-many-shapes``); then none of the batch may
                be relied on.
        """
        n = len(ends)
        digests = digest_rows(schema, rows, n)
        distinct, _ = first_occurrences(digests)
        candidates = distinct if len(distinct) < n else np.arange(n)
        stored, stored_bytes = self._store_absent(schema, digests, rows, candidates)
        counts = Counts(n, rows.nbytes, stored, stored_bytes)
        return ChangeBlock(blob, ends, digests), counts

    def _store_absent(
        self, schema: Schema, digests: Digests, rows: Rows, candidates: npt.NDArray[Any]
    ) -> tuple[int, int]:
        """Store those of the candidate positions that nobody holds; how many this batch wrote, and
        how many bytes."""
        written = written_bytes = 0
        while len(candidates):
            wanted = digests if len(candidates) == len(digests) else digests[candidates]
            claim, mine, others = self._claims.claim(wanted)
            try:
                if len(mine):
                    positions = candidates[mine]
                    whole = len(positions) == len(digests)
                    written_bytes += self._write(
                        schema, claim.digests, rows if whole else _taken(rows, positions)
                    )
                    written += len(mine)
            finally:
                self._claims.release(claim)
            if not others:
                break
            # Another batch writes the rest; when it failed, one of those who wait writes its own.
            for other in others:
                other.done.wait()
            candidates = np.delete(candidates, mine)
        return written, written_bytes

    def _write(self, schema: Schema, digests: Digests, rows: Rows) -> int:
        """Store rows that are claimed; their bytes."""
        if isinstance(rows, RaggedRows):
            shape_ids = self._shapes.ids_of(rows.shapes)
            self._storage.write_ragged(schema, digests, rows, shape_ids)
        else:
            self._storage.write_rows(schema, digests, rows)
        return rows.nbytes


def _taken(rows: Rows, positions: npt.NDArray[np.int64]) -> Rows:
    """Some of the rows, copied."""
    if isinstance(rows, RaggedRows):
        data, ends = take_ragged(rows.data, rows.ends, positions)
        return RaggedRows(data, ends, rows.shapes[positions])
    return rows[positions]
