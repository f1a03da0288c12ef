"""Files taken out of the repository: what lives moves out, the index forgets the rest, then unlink.

Order, so that a crash at any moment leaves every digest that somebody counts on where the index
says it is:

1. rows that live are written to other files (hangard.repository.moving);
2. the files are *hidden* in the index in one step, if nobody came to count on what is left in them
   (hangard.repository.usage): else that moves, too;
3. a checkpoint makes the moved rows and their entries durable;
4. runs that still name the files are written again without those entries;
5. one transaction deletes LMDB's entries and gives the files the state ``dropped``;
6. the files are unlinked, and their records deleted. Recovery does that for files found dropped.

A reader that had resolved a place in such a file has it mapped still, or is told ENOENT and
resolves it again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt
from hangard_ext.recordspec import unpack_many

from hangard.backends.disk import Disk
from hangard.db.environment import WritableEnvironment
from hangard.db.tables import WriteTables
from hangard.db.writer import Writer
from hangard.index import Index
from hangard.model.files import FileRecord
from hangard.repository.committing import MakeCheckpoint
from hangard.repository.maintenance import PublishRun
from hangard.repository.moving import Mover
from hangard.repository.reindexing import remove_files
from hangard.repository.storage import Storage

Bytes = npt.NDArray[np.uint8]
Lives = Callable[[Bytes], npt.NDArray[np.bool_]]
"""Which of digests (n, 32) must stay."""
Entries = tuple[Bytes, Bytes]
"""Digests (n, 32) and specs (n, 32)."""


@dataclass(frozen=True, slots=True)
class DropFiles:
    """Delete LMDB's entries that point into files which are hidden, and mark the files dropped."""

    paths: tuple[str, ...]
    numbers: frozenset[int]
    digests: Bytes

    def check(self, tables: WriteTables) -> None:
        """Always possible."""

    def apply(self, tables: WriteTables) -> None:
        specs, found = tables.find_specs(self.digests)
        # Since the files were hidden an entry may have been replaced by one that points elsewhere.
        inside = np.isin(unpack_many(specs)["segment"], list(self.numbers)) & found
        tables.delete_specs(self.digests[inside])
        for path in self.paths:
            record = tables.find_file(path)
            if record is not None:
                tables.put_file(path, msgspec.structs.replace(record, state="dropped"))


@dataclass(frozen=True, slots=True)
class ForgetFiles:
    """Delete the records of files that are unlinked."""

    paths: tuple[str, ...]

    def check(self, tables: WriteTables) -> None:
        """Always possible."""

    def apply(self, tables: WriteTables) -> None:
        for path in self.paths:
            tables.delete_file(path)


class Dropper:
    """Drops sealed files; used by one piece of maintenance at a time."""

    def __init__(
        self, env: WritableEnvironment, disk: Disk, storage: Storage, index: Index, writer: Writer
    ) -> None:
        self._directory = env.directory
        self._disk = disk
        self._storage = storage
        self._index = index
        self._writer = writer
        self._mover = Mover(env, storage)

    def drop(
        self, files: Mapping[str, FileRecord], lives: Lives, *, keep_unreadable: bool = True
    ) -> Bytes:
        """Take files out of the repository; what ``lives`` of them moves to others.

        The digests (n, 32) of living rows that could not be read: with ``keep_unreadable`` their
        files stay, with all that is in them; else nothing has them afterwards.
        Errors: NoSpace, Corrupt, then the files are as they were; rows that moved stay moved.
        """
        files = dict(files)
        lost: dict[int, Bytes] = {}
        self._move(files, self._living(files, lives), lost)
        while True:
            if keep_unreadable:
                files = {
                    path: record for path, record in files.items() if record.number not in lost
                }
            numbers = [record.number for record in files.values()]
            if not files:
                break
            # Nobody may find or claim a digest between the look and the hiding.
            with self._storage.usage.lock:
                wanted = self._noted_in(numbers, lost)
                if not wanted:
                    self._index.hide(numbers)
                    break
            self._move(files, wanted, lost)
        if files:
            try:
                self._writer.run(MakeCheckpoint(), bulk=True)
                self._index.rewrite(self._storage.take_number, self._publish)
                self._forget(files, numbers)
            finally:
                # Nothing points there any more; or, after an error, all is as it was.
                self._index.show(numbers)
            self.unlink(tuple(files))
        return np.concatenate([np.empty((0, 32), np.uint8), *lost.values()])

    def forget(self, numbers: Sequence[int]) -> None:
        """Drop the index's entries that point into files which are not there any more.

        Errors: NoSpace, Corrupt.
        """
        self._index.hide(numbers)
        try:
            self._writer.run(MakeCheckpoint(), bulk=True)
            self._index.rewrite(self._storage.take_number, self._publish)
            self._forget({}, list(numbers))
        finally:
            self._index.show(numbers)

    def unlink(self, paths: tuple[str, ...]) -> None:
        """Remove files that are dropped, then their records."""
        remove_files(self._directory, self._disk, paths)
        self._writer.run(ForgetFiles(paths))

    def _move(
        self, files: Mapping[str, FileRecord], living: Mapping[int, Entries], lost: dict[int, Bytes]
    ) -> None:
        """Move entries, given by the numbers of their files; ``lost`` gets what is unreadable."""
        for path, record in files.items():
            if record.number in living:
                unreadable = self._mover.move(path, record, *living[record.number])
                if len(unreadable):
                    before = lost.get(record.number, np.empty((0, 32), np.uint8))
                    lost[record.number] = np.concatenate([before, unreadable])

    def _living(self, files: Mapping[str, FileRecord], lives: Lives) -> dict[int, Entries]:
        """The index's entries in these files that live or were noted."""
        numbers = [record.number for record in files.values()]
        kept: list[Entries] = []
        for digests, specs in self._index.current_entries():
            inside = np.isin(unpack_many(specs)["segment"], numbers)
            digests, specs = digests[inside], specs[inside]
            if len(digests):
                wanted = lives(digests) | self._storage.usage.were_noted(digests)
                kept.append((digests[wanted], specs[wanted]))
        return _by_file(kept)

    def _noted_in(self, numbers: list[int], lost: Mapping[int, Bytes]) -> dict[int, Entries]:
        """Entries in these files that were noted, and are not known to be unreadable."""
        digests = self._storage.usage.noted()
        specs, found = self._index.find_many(digests)
        inside = np.isin(unpack_many(specs)["segment"], numbers) & found
        known = {row.tobytes() for rows in lost.values() for row in rows}
        chosen = [i for i in np.flatnonzero(inside) if digests[i].tobytes() not in known]
        return _by_file([(digests[chosen], specs[chosen])])

    def _publish(self, path: str, record: FileRecord, replaced: tuple[str, ...]) -> bool:
        done: bool = self._writer.run(PublishRun(path, record, replaced), bulk=True)
        return done

    def _forget(self, files: Mapping[str, FileRecord], numbers: list[int]) -> None:
        digests, specs = self._index.hidden_recent()
        self._writer.run(DropFiles(tuple(files), frozenset(numbers), digests), bulk=True)
        self._index.forget_recent(digests, specs)


def _by_file(entries: list[Entries]) -> dict[int, Entries]:
    """Entries by the numbers of their files."""
    if not entries:
        return {}
    digests = np.concatenate([block for block, _ in entries])
    specs = np.concatenate([block for _, block in entries])
    numbers = unpack_many(specs)["segment"]
    return {
        int(number): (digests[numbers == number], specs[numbers == number])
        for number in np.unique(numbers)
    }
