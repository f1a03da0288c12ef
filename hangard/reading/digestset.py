"""A set of digests that may be larger than memory: sorted runs in temporary files beyond a bound.

Shapes   digests (n, 32) uint8.
Errors   OSError when the disk of temporary files is full.
"""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np
from hangard_ext.runmerge import RUNS_MERGED_MAX, Merger, merge_runs
from hangard_ext.runs import Run, Runs
from hangard_ext.runwriter import encode_run
from hangard_ext.table import Table, first_occurrences

from hangard.reading.locations import Found
from hangard.reading.tables import Bytes

ENTRIES_IN_MEMORY_MAX = 262_144  # about 25 MiB
RUNS_MAX = 16  # then they are merged into one


class DigestSet:
    """Digests, each with a small number that was given first with it. For one thread at a time."""

    def __init__(self, *, entries_max: int = ENTRIES_IN_MEMORY_MAX) -> None:
        """``entries_max``: how many are kept in memory."""
        self._entries_max = entries_max
        self._table = Table()
        self._runs: list[Run] = []
        self._found = Runs(())
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add_many(self, digests: Bytes, number: int = 0) -> Bytes:
        """Add digests; those that were not in the set before, each once, in their order."""
        if not len(digests):
            return digests
        _, known = self.find_many(digests)
        new = np.ascontiguousarray(digests[~known])
        if not len(new):
            return new
        first, _ = first_occurrences(new)
        if len(first) < len(new):
            new = np.ascontiguousarray(new[first])
        self._table.add_many(new, _values(number, len(new)))
        self._count += len(new)
        if len(self._table) >= self._entries_max:
            self._spill()
        return new

    def add(self, digest: bytes, number: int = 0) -> bool:
        """Add one; whether it is new."""
        return bool(len(self.add_many(np.frombuffer(digest, np.uint8).reshape(1, 32), number)))

    def find_many(self, digests: Bytes) -> tuple[Any, Found]:
        """The numbers (n,) of digests, 0 for absent ones, and which are in the set."""
        digests = np.ascontiguousarray(digests)
        values = np.zeros((len(digests), 32), np.uint8)
        found = np.zeros(len(digests), np.uint8)
        if self._table.find_many(digests, values, found) < len(digests) and self._runs:
            self._found.find_many(digests, values, found)
        return values[:, :4].copy().view("<u4")[:, 0], found.view(np.bool_)

    def blocks(self, entries: int) -> Iterator[tuple[Bytes, Any]]:
        """All digests, rising, with their numbers (n,), ``entries`` at once. Nothing may be added
        meanwhile."""
        if len(self._table):
            self._spill()
        merger = Merger(tuple(self._runs))
        while True:
            digests, values = merger.read(entries)
            if not len(digests):
                return
            yield digests, values[:, :4].copy().view("<u4")[:, 0]

    def _spill(self) -> None:
        self._keep([encode_run(*self._table.items(), sequence=len(self._runs))])
        self._table.clear()
        if len(self._runs) >= min(RUNS_MAX, RUNS_MERGED_MAX):
            runs, self._runs = self._runs, []
            self._keep(merge_runs(runs))

    def _keep(self, pieces: Any) -> None:
        with tempfile.TemporaryFile(prefix="hangard-") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            self._runs.append(Run(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))
        self._found = Runs(self._runs)


def _values(number: int, n: int) -> Bytes:
    row = np.zeros(32, np.uint8)
    row[:4].view("<u4")[0] = number
    return np.broadcast_to(row, (n, 32)).copy()
