"""``repair``: mends what ``verify`` finds, as far as other bytes of the repository allow.

Nothing else may have the repository open. In this order:

1. records of data files that are gone are deleted, sessions whose base is lost end, and a damaged
   index is marked, so that opening makes it again from logs and ``.rows`` files;
2. the repository is opened, which also takes in or removes files that nothing names;
3. entries of the index that point into files which are gone are dropped;
4. what is missing or damaged is looked for in all files: another copy of it takes its place;
5. every file with damage (samples, nodes, records, its ``.rows`` file, an HDF5 file that libhdf5
   does not read) is dropped after all that is intact in it was written to new files. What was
   damaged counts as absent from then on: putting an equal sample again brings it back under all
   its keys and in all commits.

What stays wrong is what ``after`` of the report lists: samples that nothing has any more, and lost
commits, trees or nodes, which only a copy of the repository can bring back. The report is also
written to ``repair.json`` beside the database. A crash in between leaves a repository that is no
worse; repair may be run again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
from hangard_ext.recordspec import unpack_many
from hangard_ext.table import Table

from hangard.backends.disk import Disk
from hangard.db.environment import WritableEnvironment
from hangard.errors import Corrupt
from hangard.index import Index
from hangard.index.rebuild import stored_entries
from hangard.model.commit import Digest
from hangard.model.directory import REPAIR_REPORT
from hangard.model.findings import Repaired, Verification
from hangard.reading.filecheck import listed_files
from hangard.reading.mapping import MappedFiles
from hangard.reading.snapshot import RepositoryReader
from hangard.reading.verification import Progress, no_progress, verify
from hangard.repository.dropping import Dropper
from hangard.repository.moving import readable
from hangard.repository.reindexing import finish_drops, mark_damaged
from hangard.repository.repository import Repository

Bytes = npt.NDArray[np.uint8]

ROUNDS_MAX = 64  # what is found again may name more that is missing
LOST = ("missing-sample", "missing-node")
DAMAGED = ("damaged-sample", "damaged-node")
DAMAGED_FILES = ("damaged-rows", "damaged-log", "short-file")


def repair(
    path: str | Path,
    *,
    dry_run: bool = False,
    progress: Progress | None = None,
    open_repository: Callable[[str | Path], Repository] = Repository.open,
) -> Repaired:
    """Mend the repository at ``path``; with ``dry_run`` only look, which needs no lock.

    Errors: NoRepository; Busy (``repository-locked``) while a daemon serves it; NoSpace; Corrupt
    if it cannot be opened even so.
    """
    progress = progress or no_progress
    before = verify(path, progress=progress)
    if dry_run or (before.is_sound and not _has_hdf5(path)):
        return Repaired(dry_run=dry_run, before=before, after=before)
    actions = list(_make_openable(Path(path), before))
    repository = open_repository(path)
    try:
        mender = Mender(repository, progress)
        found = before
        for _ in range(ROUNDS_MAX):
            actions += mender.mend(found)
            found = verify(path, progress=progress)
            if not mender.may_find_more(found):
                break
    finally:
        repository.close()
    if before.is_sound and not actions:
        return Repaired(dry_run=False, before=before, after=before)
    report = Repaired(
        dry_run=False, before=before, after=verify(path, progress=progress), actions=tuple(actions)
    )
    _write_report(repository.path, report)
    return report


def _has_hdf5(path: str | Path) -> bool:
    """Whether there are segments that libhdf5 must be asked about: readers do without it."""
    with RepositoryReader(path) as reader:
        return any(record.kind == "hdf5" for record in listed_files(reader.env).values())


def _make_openable(path: Path, before: Verification) -> Iterable[str]:
    """Step 1; what was done."""
    with WritableEnvironment(path) as env:
        finish_drops(env, Disk())
        with env.read() as tables:
            files = dict(tables.files())
            sessions = list(tables.sessions())
        gone = [
            name
            for name, record in files.items()
            if record.kind != "run" and not (env.directory / name).exists()
        ]
        ended = [record.id for record in sessions if not _has_base(env, record.base)]
        if gone or ended:
            with env.write() as tables:
                for name in gone:
                    tables.delete_file(name)
                for identity in ended:
                    tables.delete_session(identity)
        yield from (f"{name} is gone: the database does not name it any more" for name in gone)
        yield from (f"session {name} ended: its base commit is lost" for name in ended)
        if any(finding.kind in ("damaged-run", "missing-run") for finding in before.findings):
            mark_damaged(env.directory)
            yield "the index was made again from logs and .rows files"


def _has_base(env: WritableEnvironment, base: Digest) -> bool:
    if not base:
        return True
    try:
        with env.read() as tables:
            commit = tables.find_commit(base)
            tree = None if commit is None else tables.find_tree(commit.tree)
            return tree is not None and all(
                tables.find_schema(entry.schema) is not None for entry in tree.values()
            )
    except Corrupt:
        return False


class Mender:
    """Steps 3 to 5 on a repository that was opened for it."""

    def __init__(self, repository: Repository, progress: Progress) -> None:
        parts = repository.upkeep.parts
        self._env = parts.env
        self._index: Index = parts.index
        self._dropper: Dropper = repository.upkeep.dropper
        self._checkpoint: Callable[[], None] = repository.upkeep.checkpoint
        self._is_readable: Callable[[os.PathLike[str]], bool] = repository.is_hdf5_readable
        self._progress = progress
        self._files = MappedFiles(self._env.directory)
        self._sought: set[Digest] = set()
        self._checked_segments = False

    def mend(self, found: Verification) -> list[str]:
        """Act on findings; what was done."""
        actions = []
        self._checkpoint()
        dangling = self._dangling_numbers()
        if dangling:
            self._dropper.forget(dangling)
            actions.append(f"entries of the index that named {len(dangling)} lost files went")
        wanted = {
            bytes.fromhex(finding.what)
            for finding in found.findings
            if finding.kind in (*LOST, *DAMAGED)
        }
        recovered = self._recover(wanted)
        if recovered:
            self._checkpoint()
            actions.append(f"{recovered} samples or nodes were found in another file")
        for path, reason in self._damaged_files(found, wanted).items():
            record = listed_files(self._env).get(path)
            if record is not None:
                lost = self._dropper.drop({path: record}, _all, keep_unreadable=False)
                actions.append(
                    f"{path} ({reason}) was written again; {len(lost)} samples or nodes of it are"
                    " lost"
                )
        return actions

    def may_find_more(self, found: Verification) -> bool:
        """Whether another round has something new to look for."""
        names = {
            bytes.fromhex(finding.what)
            for finding in found.findings
            if finding.kind in (*LOST, *DAMAGED)
        }
        return bool(names - self._sought)

    def _dangling_numbers(self) -> list[int]:
        known = {record.number for record in listed_files(self._env).values()}
        numbers: set[int] = set()
        for _, specs in self._index.all_entries():
            numbers.update(np.unique(unpack_many(specs)["segment"]).tolist())
        return sorted(numbers - known)

    def _recover(self, wanted: set[Digest]) -> int:
        """Look for digests in all files, and enter intact copies in the index; how many."""
        wanted = wanted - self._sought
        self._sought |= wanted
        if not wanted:
            return 0
        table = Table()
        rows = np.frombuffer(b"".join(wanted), np.uint8).reshape(-1, 32)
        table.add_many(rows, rows)
        candidates: dict[Digest, list[bytes]] = {}
        files = {
            name: record for name, record in listed_files(self._env).items() if record.kind != "run"
        }
        for done, (name, record) in enumerate(files.items(), 1):
            for digests, specs in stored_entries(self._env.directory, {name: record}, []):
                flags = np.zeros(len(digests), np.uint8)
                digests = np.ascontiguousarray(digests)
                table.find_many(digests, np.empty((len(digests), 32), np.uint8), flags)
                for i in np.flatnonzero(flags):
                    spec = specs[i].tobytes()
                    candidates.setdefault(digests[i].tobytes(), []).append(spec)
            self._progress("searching", done, len(files))
        recovered = 0
        for digest, specs_found in candidates.items():
            current = self._index.find(digest)
            for spec in reversed(specs_found):
                record = next(r for r in files.values() if r.number == _number(spec))
                if spec != current and readable(self._env, self._files, record, spec):
                    self._index.add(
                        np.frombuffer(digest, np.uint8).reshape(1, 32),
                        np.frombuffer(spec, np.uint8).reshape(1, 32),
                    )
                    recovered += 1
                    break
        return recovered

    def _damaged_files(self, found: Verification, wanted: set[Digest]) -> dict[str, str]:
        """Files to write again, and why."""
        files = listed_files(self._env)
        by_number = {record.number: path for path, record in files.items()}
        reasons: dict[str, str] = {}
        for finding in found.findings:
            path = finding.what.removesuffix(".rows")
            if finding.kind in DAMAGED_FILES and path in files:
                reasons[path] = finding.kind
        for digest in wanted:
            spec = self._index.find(digest)
            if spec is not None and _number(spec) in by_number:
                path = by_number[_number(spec)]
                if not readable(self._env, self._files, files[path], spec):
                    reasons.setdefault(path, "damaged samples or nodes")
        if not self._checked_segments:
            self._checked_segments = True
            for path, record in files.items():
                is_candidate = record.kind == "hdf5" and record.state == "sealed"
                file = self._env.directory / path
                if is_candidate and path not in reasons and not self._is_readable(file):
                    reasons[path] = "HDF5 does not read it"
        return reasons


def _all(digests: Bytes) -> npt.NDArray[np.bool_]:
    return np.ones(len(digests), np.bool_)


def _number(spec: bytes) -> int:
    return int.from_bytes(spec[4:8], "little")


def _write_report(path: Path, report: Repaired) -> None:
    content = msgspec.json.format(msgspec.json.encode(report))
    target = path / REPAIR_REPORT
    temporary = target.with_suffix(".new")
    temporary.write_bytes(content)
    temporary.replace(target)
