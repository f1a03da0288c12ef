"""Batches of samples: hash, deduplicate, store. Runs in many threads at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from hangard_ext import digest
from hangard_ext.table import first_occurrences

from hangard.encoding.samples import sample_key
from hangard.model.schema import Schema
from hangard.repository.claims import ClaimTable
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


class Batcher:
    """Turns rows of samples into stored digests. Thread-safe; holds no rows between calls."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._claims = ClaimTable(storage.find_many, storage.usage)

    def store(
        self, schema: Schema, blob: bytes, ends: Ends, rows: npt.NDArray[np.uint8]
    ) -> tuple[ChangeBlock, Counts]:
        """Store the rows that are new; every digest of the answer is stored when this returns.

        Shapes  rows (n, schema.sample_bytes) uint8, one a packed key; the caller keeps them
                unchanged until this returns.
        Errors  NoSpace, Corrupt; then none of the batch may be relied on.
        """
        n = len(ends)
        digests = np.empty((n, 32), np.uint8)
        key = sample_key(schema.kind, schema.dtype, schema.shape)
        digest.digest_many(key, rows, schema.sample_bytes, digests)
        distinct, _ = first_occurrences(digests)
        candidates = distinct if len(distinct) < n else np.arange(n)
        stored = self._store_absent(schema, digests, rows, candidates)
        counts = Counts(n, rows.nbytes, stored, stored * schema.sample_bytes)
        return ChangeBlock(blob, ends, digests), counts

    def _store_absent(
        self,
        schema: Schema,
        digests: Digests,
        rows: npt.NDArray[np.uint8],
        candidates: npt.NDArray[Any],
    ) -> int:
        """Store those of the candidate positions that nobody holds; how many this batch wrote."""
        written = 0
        while len(candidates):
            wanted = digests if len(candidates) == len(digests) else digests[candidates]
            claim, mine, others = self._claims.claim(wanted)
            try:
                if len(mine):
                    positions = candidates[mine]
                    whole = len(positions) == len(digests)
                    self._storage.write_rows(
                        schema, claim.digests, rows if whole else rows[positions]
                    )
                    written += len(mine)
            finally:
                self._claims.release(claim)
            if not others:
                return written
            # Another batch writes the rest; when it failed, one of those who wait writes its own.
            for other in others:
                other.done.wait()
            candidates = np.delete(candidates, mine)
        return written
