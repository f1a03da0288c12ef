"""From digest to spec, for the one process that writes.

Entries begin *fresh*, in memory only. A checkpoint makes them durable: few go into LMDB and are
*recent* from then on; many, or when LMDB holds many, go into a run together with the recent ones.
Runs are merged in the background.

Shapes   digests, specs (n, 32) uint8.
Units    lengths in bytes, sizes of runs in entries.
Errors   NoSpace; Corrupt (``damaged-run``).
Order    an entry is looked for among the fresh, the recent and the runs, and moves in the same
         direction, into the new place before it leaves the old one; so a look-up, which takes no
         lock, never misses one that moves.
Hidden   entries that point into a file which is about to go count as absent from one moment to the
         next (``hide``), are left out of every run written later, and then of the old ones
         (``rewrite``). What is added for their digests meanwhile points elsewhere, and counts.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from hangard_ext.recordspec import unpack_many
from hangard_ext.runmerge import merge_runs
from hangard_ext.runs import Run
from hangard_ext.runwriter import sort_entries
from hangard_ext.table import Table

from hangard.index.merging import plan_merge
from hangard.index.runfiles import (
    PIECE_ENTRIES,
    RunDisk,
    run_pieces,
    shown_pieces,
    write_run_file,
)
from hangard.limits import (
    INDEX_FRESH_ENTRIES_MAX,
    INDEX_RECENT_ENTRIES_MAX,
    INDEX_SMALL_ENTRIES_MAX,
)
from hangard.model.directory import run_path
from hangard.model.files import FileRecord
from hangard.reading.runs import MappedRun, MappedRuns, damaged_run, open_run

Bytes = npt.NDArray[np.uint8]
Publish = Callable[[str, FileRecord, tuple[str, ...]], bool]


@dataclass(frozen=True, slots=True)
class Pending:
    """The fresh entries of one moment, sorted by digest; ``added`` counts what was added before."""

    digests: Bytes
    specs: Bytes
    added: int = -1

    def __len__(self) -> int:
        return len(self.digests)


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A run in use."""

    path: str
    record: FileRecord
    opened: MappedRun

    @property
    def run(self) -> Run:
        return self.opened.run


class Index:
    """Thread-safe. ``pending`` to ``checkpointed`` is for one thread at a time, ``merge`` too."""

    def __init__(self, directory: Path, disk: RunDisk) -> None:
        """An empty index whose run files lie below ``directory`` (``PATH/.hangard``)."""
        self._directory = directory
        self._disk = disk
        self._lock = threading.Lock()
        self._fresh = Table()
        self._added = 0  # calls of `add`
        self._late: list[tuple[Bytes, Bytes]] | None = None
        self._recent = Table()
        self._hidden: npt.NDArray[np.uint32] = np.empty(0, np.uint32)  # numbers of files
        self._merging = threading.Lock()  # one change of the list of runs at a time
        self._open: tuple[OpenRun, ...] = ()  # the oldest first
        self._runs = MappedRuns()  # the same runs, the newest first

    def add_run(self, path: str, record: FileRecord) -> None:
        """Use a run that LMDB names. Errors: FileNotFoundError, Corrupt (``damaged-run``)."""
        self._replace_runs((), OpenRun(path, record, open_run(self._directory / path)))

    def load(self, digests: Bytes, specs: Bytes) -> None:
        """Entries that LMDB holds."""
        self._recent.add_many(digests, specs)

    def find(self, digest: bytes) -> bytes | None:
        """The spec of one digest, or None."""
        spec = self._fresh.find(digest) or self._recent.find(digest) or self._runs.find(digest)
        if spec is not None and len(self._hidden) and _segment_of(spec) in self._hidden:
            return None
        return spec

    def find_many(self, digests: Bytes) -> tuple[Bytes, npt.NDArray[np.bool_]]:
        """Specs (n, 32) of digests (n, 32), zeros for the absent ones, and which were found."""
        digests = np.ascontiguousarray(digests)
        specs = np.zeros((len(digests), 32), np.uint8)
        found = np.zeros(len(digests), np.uint8)
        hits = self._fresh.find_many(digests, specs, found)
        if hits < len(digests):
            hits += self._recent.find_many(digests, specs, found)
        if hits < len(digests):
            self._runs.find_many(digests, specs, found)
        if len(self._hidden):
            hidden = self.is_hidden(specs) & found.view(np.bool_)
            specs[hidden] = 0
            found[hidden] = 0
        return specs, found.view(np.bool_)

    def is_hidden(self, specs: Bytes) -> npt.NDArray[np.bool_]:
        """Which of specs (n, 32) point into a hidden file."""
        return np.isin(unpack_many(np.ascontiguousarray(specs))["segment"], self._hidden)

    def hide(self, numbers: Sequence[int]) -> None:
        """Let entries that point into the files with these numbers count as absent. All of them
        must be in LMDB or in runs, and nothing may be appended to those files."""
        self._hidden = np.union1d(self._hidden, np.array(numbers, np.uint32)).astype(np.uint32)

    def show(self, numbers: Sequence[int]) -> None:
        """Let them count again; or, when no entry is left that points there, forget about them."""
        self._hidden = np.setdiff1d(self._hidden, np.array(numbers, np.uint32))

    def hidden_recent(self) -> tuple[Bytes, Bytes]:
        """Digests and specs (n, 32) of LMDB's entries that are hidden."""
        digests, specs = self._recent.items()
        hidden = self.is_hidden(specs)
        return digests[hidden], specs[hidden]

    def forget_recent(self, digests: Bytes, specs: Bytes) -> None:
        """These are in LMDB no more."""
        self._recent.discard_many(np.ascontiguousarray(digests), np.ascontiguousarray(specs))

    def all_entries(self) -> Iterator[tuple[Bytes, Bytes]]:
        """All entries, in pieces, those that newer ones replace too."""
        yield self._fresh.items()
        yield self._recent.items()
        for opened in self._open:
            for begin in range(0, len(opened.run), PIECE_ENTRIES):
                yield opened.run.items(begin, PIECE_ENTRIES)

    def current_entries(self) -> Iterator[tuple[Bytes, Bytes]]:
        """All entries that count, in pieces; one that moves meanwhile may come twice."""
        sources = [self._fresh.items(), self._recent.items()]
        for digests, specs in sources:
            for begin in range(0, len(digests), PIECE_ENTRIES):
                piece = slice(begin, begin + PIECE_ENTRIES)
                yield self._that_count(digests[piece], specs[piece])
        for opened in self._open:
            for begin in range(0, len(opened.run), PIECE_ENTRIES):
                yield self._that_count(*opened.run.items(begin, PIECE_ENTRIES))

    def _that_count(self, digests: Bytes, specs: Bytes) -> tuple[Bytes, Bytes]:
        known, found = self.find_many(digests)
        count = found & (known == specs).all(axis=1)
        return np.ascontiguousarray(digests[count]), np.ascontiguousarray(specs[count])

    def add(self, digests: Bytes, specs: Bytes, *, logged: bool = False) -> None:
        """New entries, in any order, in a log or not; of equal digests the newest counts."""
        # The lock is for `checkpointed`, which clears the table.
        with self._lock:
            self._added += 1
            self._fresh.add_many(np.ascontiguousarray(digests), np.ascontiguousarray(specs))
            if logged and self._late is not None:
                self._late.append((digests, specs))

    def pending(self, *, follow_log: bool = False) -> Pending:
        """What was added since the last checkpoint. It stays pending until ``checkpointed``.

        What the specs point at must be synced after this call and before the entries are made
        durable. ``follow_log``: from now on what comes into logs is kept for ``late``.
        """
        with self._lock:
            self._late = [] if follow_log else None
            added = self._added  # before the items: what comes between counts as added later
        return Pending(*self._fresh.items(), added)

    def late(self) -> Pending | None:
        """What was added in logs since ``pending``, until now; None if there is nothing."""
        with self._lock:
            late, self._late = self._late, None
            if not late:
                return None
            digests, specs = zip(*late, strict=True)
            return Pending(np.concatenate(digests), np.concatenate(specs), len(late))

    def needs_run(self, pending: Pending) -> bool:
        """Whether these go into a run (with LMDB's entries) instead of into LMDB."""
        return (
            len(pending) > INDEX_SMALL_ENTRIES_MAX
            or len(self._recent) + len(pending) > INDEX_RECENT_ENTRIES_MAX
        )

    def write_run(self, number: int, pending: Pending) -> FileRecord:
        """Write a run of the recent and the pending entries; file and name are durable on return.

        The transaction that names it also empties LMDB's index. Errors: NoSpace.
        """
        digests, specs = self._recent.items()
        if len(self._hidden):
            kept = ~self.is_hidden(specs)
            digests, specs = digests[kept], specs[kept]
        digests, specs = sort_entries(
            np.concatenate([digests, pending.digests]), np.concatenate([specs, pending.specs])
        )
        length = write_run_file(
            self._disk,
            self._directory / run_path(number),
            run_pieces(number, digests, specs),
            len(digests),
        )
        return FileRecord("run", number, "sealed", length_bytes=length, entries=len(digests))

    def checkpointed(self, pending: Pending, run: str | None, late: Pending | None = None) -> None:
        """The transaction is durable that holds the pending entries, or names the run of them.

        ``late``: entries added since ``pending``, which it holds beside the run.
        """
        if run is None:
            self._recent.add_many(pending.digests, pending.specs)
        else:
            opened = open_run(self._directory / run)
            written = opened.run
            record = FileRecord(
                "run", written.number, "sealed", length_bytes=written.nbytes, entries=len(written)
            )
            self._replace_runs((), OpenRun(run, record, opened))
            self._recent.clear()
            if late is not None:
                self._recent.add_many(late.digests, late.specs)
        with self._lock:
            added = pending.added + (late.added if late is not None else 0)
            # Taking 60,000 entries out one by one takes 6 ms, of a commit's 40.
            if self._added != added:
                self._fresh.discard_many(pending.digests, pending.specs)
                if late is not None:
                    self._fresh.discard_many(late.digests, late.specs)
            if self._added == added or len(self._fresh) == 0:
                self._fresh.clear()  # gives its memory back

    def merge(self, take_number: Callable[[], int], publish: Publish) -> bool:
        """Merge one group of runs, if one is due; whether something was merged.

        ``publish(path, record, replaced)`` names the new run and drops the replaced ones in one
        transaction, provided all of them are still named; it returns whether it did. When it raises
        the new file is left alone, since nobody knows whether it is named.
        Errors: NoSpace; Corrupt (``damaged-run``), the index is then to be rebuilt.
        """
        with self._merging:
            return self._merge(take_number, publish)

    def _merge(self, take_number: Callable[[], int], publish: Publish) -> bool:
        runs = self._open
        group = plan_merge([len(opened.run) for opened in runs])
        if group is None:
            return False
        old = runs[group]
        number = take_number()
        path = run_path(number)
        merged = merge_runs([opened.run for opened in old], number)
        upper_bound = sum(len(opened.run) for opened in old)
        with _damage_as_corrupt(old):
            length = write_run_file(self._disk, self._directory / path, merged, upper_bound)
        opened = open_run(self._directory / path)
        record = FileRecord(
            "run",
            number,
            "sealed",
            length_bytes=length,
            entries=len(opened.run),
            level=1 + max(opened.record.level for opened in old),
        )
        replaced = tuple(opened.path for opened in old)
        if not publish(path, record, replaced):
            self._disk.unlink(self._directory / path)
            return False
        self._replace_runs(replaced, OpenRun(path, record, opened))
        for name in replaced:
            self._disk.unlink(self._directory / name)
        return True

    def rewrite(self, take_number: Callable[[], int], publish: Publish) -> None:
        """Write every run anew that holds hidden entries, without them.

        ``publish`` as for ``merge``. Runs that are written meanwhile hold none.
        Errors: NoSpace; Corrupt (``damaged-run``).
        """
        with self._merging:
            for opened in self._open:
                with _damage_as_corrupt((opened,)):
                    opened.run.verify()
                    entries = sum(len(specs) for _, specs in self._shown(opened.run))
                    if entries == len(opened.run):
                        continue
                self._rewrite(opened, entries, take_number(), publish)

    def _rewrite(self, old: OpenRun, entries: int, number: int, publish: Publish) -> None:
        path = run_path(number)
        pieces = shown_pieces(self._shown(old.run), number, old.run.sequence, entries)
        with _damage_as_corrupt((old,)):
            length = write_run_file(self._disk, self._directory / path, pieces, entries)
        record = FileRecord(
            "run", number, "sealed", length_bytes=length, entries=entries, level=old.record.level
        )
        if not publish(path, record, (old.path,)):
            raise AssertionError(f"{old.path} is in use and not named")
        self._replace_runs((old.path,), OpenRun(path, record, open_run(self._directory / path)))
        self._disk.unlink(self._directory / old.path)

    def _shown(self, run: Run) -> Iterator[tuple[Bytes, Bytes]]:
        """A run's entries that are not hidden, in pieces."""
        for begin in range(0, len(run), PIECE_ENTRIES):
            digests, specs = run.items(begin, PIECE_ENTRIES)
            kept = ~self.is_hidden(specs)
            yield digests[kept], specs[kept]

    def _replace_runs(self, replaced: tuple[str, ...], new: OpenRun) -> None:
        with self._lock:
            kept = [opened for opened in self._open if opened.path not in replaced]
            kept.append(new)
            self._open = tuple(sorted(kept, key=lambda opened: opened.run.sequence))
            self._runs = MappedRuns([opened.opened for opened in reversed(self._open)])

    def verify(self) -> None:
        """Check all checksums of all runs. Errors: Corrupt (``damaged-run``)."""
        for opened in self._open:
            with _damage_as_corrupt((opened,)):
                opened.run.verify()

    @property
    def wants_checkpoint(self) -> bool:
        """Whether so much is pending that a checkpoint should come before the next commit."""
        return len(self._fresh) >= INDEX_FRESH_ENTRIES_MAX

    @property
    def pending_count(self) -> int:
        return len(self._fresh)

    @property
    def recent_count(self) -> int:
        """Entries in LMDB."""
        return len(self._recent)

    @property
    def run_count(self) -> int:
        return len(self._open)

    @property
    def memory_bytes(self) -> int:
        """Of the entries in memory; runs are mapped."""
        return self._fresh.memory_bytes + self._recent.memory_bytes

    def close(self) -> None:
        """Let go of the runs; may be called twice."""
        with self._lock:
            self._open, self._runs = (), MappedRuns()


def _segment_of(spec: bytes) -> int:
    return int.from_bytes(spec[4:8], "little")


@contextmanager
def _damage_as_corrupt(runs: Sequence[OpenRun]) -> Iterator[None]:
    """What the checksums of these runs say when all of each is read."""
    for opened in runs:
        opened.opened.check()
    try:
        yield
    except ValueError as error:
        raise damaged_run(runs[0].opened.path, str(error)) from error
