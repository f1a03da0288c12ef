"""Where a digest lies: LMDB's entries of recent commits, and the runs of the index beneath them.

Entries move from LMDB into a run, and runs are merged, while readers look; a digest that is not
found is looked up again with a fresh list of runs before it counts as absent.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
from hangard_ext.table import Table

from hangard.errors import Corrupt
from hangard.limits import CACHE_BYTES_MAX
from hangard.model.directory import RUNS
from hangard.reading.environment import Environment
from hangard.reading.runs import MappedRuns, open_run
from hangard.reading.tables import SPEC_BYTES, Bytes, ReadTables, digest_row

Found = npt.NDArray[np.bool_]

# Each time a run that the list named was merged away before it could be opened.
LIST_ATTEMPTS_MAX = 16


class Locations(Protocol):
    """Digest to spec. The daemon has one over its own index, clients the one below."""

    def find(self, digest: bytes, /) -> bytes | None:
        """The spec (32 bytes), or None."""

    def find_many(self, digests: Bytes, /) -> tuple[Bytes, Found]:
        """Specs (n, 32) of digests (n, 32), and which were found (n,)."""

    def forget(self, digests: Bytes, /) -> None:
        """What was answered for these led nowhere: look again where they are now."""


class StoredLocations:
    """What LMDB and the run files say, with a bounded cache of answers. Thread-safe."""

    def __init__(
        self, env: Environment, directory: Path, *, cache_bytes_max: int = CACHE_BYTES_MAX // 2
    ) -> None:
        self._env = env
        self._directory = directory
        self._cache_bytes_max = cache_bytes_max
        self._cache = Table()
        # One value, since another thread may look between two.
        self._open: tuple[tuple[str, ...], MappedRuns] = ((), MappedRuns())
        self._on_first_use: Callable[[], None] | None = None

    @property
    def runs(self) -> tuple[str, ...]:
        """Paths of the runs below ``.hangard``, as LMDB names them now."""
        with self._env.read() as tables:
            return _run_paths(tables)

    def find(self, digest: bytes) -> bytes | None:
        spec = self._cache.find(digest)
        if spec is None:
            spec = self._find_stored(digest)
            if spec is not None:
                self._remember(digest_row(digest), digest_row(spec))
        return spec

    def find_many(self, digests: Bytes) -> tuple[Bytes, Found]:
        specs = np.zeros((len(digests), SPEC_BYTES), dtype=np.uint8)
        flags = np.zeros(len(digests), dtype=np.uint8)
        if self._cache.find_many(digests, specs, flags) < len(digests):
            missing = np.flatnonzero(flags == 0)
            wanted = np.ascontiguousarray(digests[missing])
            stored, found = self._find_stored_many(wanted)
            specs[missing] = stored
            flags[missing] = found
            self._remember(wanted[found], stored[found])
        return specs, flags.astype(np.bool_)

    def forget(self, digests: Bytes) -> None:
        digests = np.ascontiguousarray(digests)
        self._cache.discard_many(digests)
        self._refresh()
        # A run that is not merged yet may still name a place that LMDB has replaced.
        specs, found = self._find_recent(digests)
        self._remember(digests[found], specs[found])

    def forget_all(self, on_first_use: Callable[[], None] | None = None) -> None:
        """Drop what is cached, locks and all (in a forked child nobody would release them).

        ``on_first_use`` is called once, before the next look-up.
        """
        self._cache = Table()
        self._open = ((), MappedRuns())
        self._on_first_use = on_first_use

    def _find_stored(self, digest: bytes) -> bytes | None:
        self._begin()
        # Runs come first, since most digests are there and a transaction costs more than they do.
        spec = self._open[1].find(digest)
        if spec is None:
            spec, changed = self._refresh(digest)
            if spec is None and changed:
                spec = self._open[1].find(digest)
        return spec

    def _find_stored_many(self, digests: Bytes) -> tuple[Bytes, Found]:
        self._begin()
        specs = np.zeros((len(digests), SPEC_BYTES), dtype=np.uint8)
        flags = np.zeros(len(digests), dtype=np.uint8)
        found = flags.view(np.bool_)
        if self._open[1].find_many(digests, specs, flags) < len(digests):
            # LMDB after the runs, and the runs of now after LMDB: an entry that moves from one to
            # the other meanwhile is met in one of them.
            missing = np.flatnonzero(~found)
            recent, recently = self._find_recent(np.ascontiguousarray(digests[missing]))
            specs[missing] = recent
            found[missing] = recently
            if not recently.all():
                self._refresh()
                self._open[1].find_many(digests, specs, flags)
        return specs, found

    def _begin(self) -> None:
        if self._on_first_use is not None:
            first_use, self._on_first_use = self._on_first_use, None
            first_use()

    def _find_recent(self, digests: Bytes) -> tuple[Bytes, Found]:
        with self._env.read() as tables:
            if tables.index_count():
                return tables.find_specs(digests)
        n = len(digests)
        return np.zeros((n, SPEC_BYTES), dtype=np.uint8), np.zeros(n, dtype=np.bool_)

    def _refresh(self, digest: bytes | None = None) -> tuple[bytes | None, bool]:
        """Opens the runs of now. Of one digest also what LMDB says, in the transaction that named
        the runs: it is in one of the two, or nowhere. And whether the runs are others."""
        for attempt in range(LIST_ATTEMPTS_MAX):
            with self._env.read() as tables:
                paths = _run_paths(tables)
                spec = None if digest is None else tables.find_spec(digest)
            known, opened = self._open
            if set(paths) == set(known):
                return spec, False
            kept = dict(zip(known, opened.runs, strict=True))
            try:
                runs = [kept.get(path) or open_run(self._directory / path) for path in paths]
            except FileNotFoundError as error:
                if attempt == LIST_ATTEMPTS_MAX - 1:
                    raise Corrupt(
                        f"run {error.filename} of the index is gone",
                        code="missing-run",
                        file=str(error.filename),
                    ) from error
                continue
            newest_first = sorted(
                zip(runs, paths, strict=True), key=lambda pair: -pair[0].run.sequence
            )
            self._open = (
                tuple(path for _, path in newest_first),
                MappedRuns([run for run, _ in newest_first]),
            )
            return spec, True
        raise AssertionError("unreachable")

    def _remember(self, digests: Bytes, specs: Bytes) -> None:
        if self._cache.memory_bytes > self._cache_bytes_max:
            self._cache.clear()
        self._cache.add_many(digests, specs)


def _run_paths(tables: ReadTables) -> tuple[str, ...]:
    return tuple(path for path, _ in tables.files(f"{RUNS}/"))
