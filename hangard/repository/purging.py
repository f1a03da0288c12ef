"""Erasure: the bytes of given samples leave every file, and their digests stay known as erased.

1. A transaction writes a tombstone for each digest. From then on puts of equal content are refused.
2. The files that are open are sealed, once the batches that are being written to them have ended.
3. Every file that has one of them, in use or not (rows that were moved leave a copy until their
   file goes), is dropped after all else in it moved (hangard.repository.dropping).

History is unchanged: trees still name the digests, ``verify`` counts them as erased, and reading
one raises Purged. A purge that was interrupted is told by ``verify``; asking again, or gc, ends it.
What a file system keeps of unlinked files, and backups, are not reached.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from hangard_ext.recordspec import unpack_many
from hangard_ext.table import Table

from hangard.db.environment import WritableEnvironment
from hangard.db.tables import WriteTables
from hangard.db.writer import Writer
from hangard.errors import Corrupt, InvalidRequest
from hangard.index import Index
from hangard.index.rebuild import stored_entries
from hangard.model.commit import Digest
from hangard.model.directory import FORMAT_LOG, data_path
from hangard.model.files import FileRecord
from hangard.reading.filecheck import listed_files
from hangard.repository.clock import Clock
from hangard.repository.committing import MakeCheckpoint
from hangard.repository.dropping import Dropper
from hangard.repository.maintaining import Maintenance
from hangard.repository.moving import is_node
from hangard.repository.storage import Storage
from hangard.repository.usage import Usage

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Erased:
    """What a purge did (with ``dry_run``: would do). ``stored``: samples that a file had;
    ``files``, ``file_bytes``: the files that were written again without them."""

    dry_run: bool
    samples: int
    stored: int = 0
    files: int = 0
    file_bytes: int = 0


@dataclass(frozen=True, slots=True)
class PutTombstones:
    """Digests are known as erased."""

    digests: tuple[Digest, ...]
    time_ns: int

    def check(self, tables: WriteTables) -> None:
        """Always possible."""

    def apply(self, tables: WriteTables) -> None:
        for digest in self.digests:
            if not tables.is_purged(digest):
                tables.put_purged(digest, self.time_ns)


@dataclass(frozen=True, slots=True)
class DeleteTombstones:
    """Digests are not known as erased any more; how many were."""

    digests: tuple[Digest, ...]

    def check(self, tables: WriteTables) -> None:
        """Always possible."""

    def apply(self, tables: WriteTables) -> int:
        return sum(tables.delete_purged(digest) for digest in self.digests)


class Purger:
    """Erases samples of an open repository, beside its readers and writers."""

    def __init__(
        self,
        env: WritableEnvironment,
        storage: Storage,
        index: Index,
        writer: Writer,
        dropper: Dropper,
        *,
        clock: Clock,
        maintenance: Maintenance,
    ) -> None:
        self._env = env
        self._storage = storage
        self._index = index
        self._writer = writer
        self._dropper = dropper
        self._clock = clock
        self._maintenance = maintenance

    def purge(self, digests: Iterable[Digest], *, dry_run: bool = False) -> Erased:
        """Erase the samples with these digests; they are in no file when this returns.

        Errors: InvalidRequest (``not-a-sample``); Busy (``maintenance-running``); Corrupt
        (``purge-needs-repair``) if a file that has one of them is damaged elsewhere; NoSpace.
        """
        wanted = _rows(sorted(set(digests)))
        with self._maintenance.run("purge"):
            self._check_samples(wanted)
            if not dry_run:
                names = tuple(row.tobytes() for row in wanted)
                self._writer.run(PutTombstones(names, self._clock.now_ns()))
                self._storage.usage.purge(wanted)
            with self._storage.usage.watch():
                if not dry_run:
                    self._storage.retire_all()
                    # What still writes to one of them keeps it from being sealed.
                    self._storage.usage.wait_for_earlier()
                self._writer.run(MakeCheckpoint(), bulk=True)
                return self._erase(wanted, dry_run)

    def undo(self, digests: Iterable[Digest]) -> int:
        """Let equal content come in again; how many of these were erased."""
        wanted = _rows(sorted(set(digests)))
        with self._maintenance.run("purge"):
            count: int = self._writer.run(DeleteTombstones(tuple(row.tobytes() for row in wanted)))
            self._storage.usage.allow(wanted)
            return count

    def _erase(self, wanted: Bytes, dry_run: bool) -> Erased:
        erased = Table()
        erased.add_many(wanted, wanted)
        # A file that was opened since then has none of them, and must not be dropped.
        files = {
            path: record
            for path, record in listed_files(self._env).items()
            if record.kind != "run" and (dry_run or record.state == "sealed")
        }
        directory = self._env.directory
        found = _Files(directory, erased)
        for done, (path, record) in enumerate(files.items(), 1):
            found.look_into(path, record)
            self._maintenance.progress("files", done, len(files))
        # What the index says counts too: a damaged .rows file may hide a row.
        specs, present = self._index.find_many(wanted)
        for spec in specs[present]:
            path = data_path(int(spec[0]), int(unpack_many(spec.reshape(1, 32))["segment"][0]))
            if path in files:
                found.paths.add(path)
        chosen = {path: files[path] for path in sorted(found.paths)}
        sizes = {path: (directory / path).stat().st_size for path in chosen}
        stored = int(present.sum())
        if not dry_run:
            for done, (path, record) in enumerate(chosen.items(), 1):
                lost = self._dropper.drop({path: record}, lambda row: ~_has(erased, row))
                if len(lost):
                    raise Corrupt(
                        f"{path} is damaged, so what lives in it cannot move. Run hangard repair,"
                        " then purge again: until then the file keeps what was to be erased",
                        code="purge-needs-repair",
                        file=path,
                    )
                self._maintenance.progress("rewriting", done, len(chosen))
        return Erased(dry_run, len(wanted), stored, len(chosen), sum(sizes.values()))

    def _check_samples(self, wanted: Bytes) -> None:
        specs, found = self._index.find_many(wanted)
        for i in np.flatnonzero(found):
            if specs[i][0] == FORMAT_LOG and is_node(self._env.directory, specs[i].tobytes()):
                raise InvalidRequest(
                    f"{wanted[i].tobytes().hex()} is a tree node, not a sample", code="not-a-sample"
                )


def load_tombstones(env: WritableEnvironment, usage: Usage) -> None:
    """What earlier lives erased is refused in this one, too."""
    with env.read() as tables:
        usage.purge(_rows(digest for digest, _ in tables.purged()))


class _Files:
    """Looks for digests in files, by what lies in them and not by what the index says."""

    def __init__(self, directory: Path, wanted: Table) -> None:
        self._directory = directory
        self._wanted = wanted
        self.paths: set[str] = set()

    def look_into(self, path: str, record: FileRecord) -> None:
        """Adds the file to ``paths`` if one of the digests is in it."""
        for digests, _ in stored_entries(self._directory, {path: record}, []):
            if _has(self._wanted, digests).any():
                self.paths.add(path)
                return


def _has(table: Table, digests: Bytes) -> npt.NDArray[np.bool_]:
    found = np.zeros(len(digests), np.uint8)
    digests = np.ascontiguousarray(digests)
    table.find_many(digests, np.empty((len(digests), 32), np.uint8), found)
    return found.view(np.bool_)


def _rows(digests: Iterable[Digest]) -> Bytes:
    return np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 32)
