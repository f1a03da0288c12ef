"""A repository of Hangar, open for reading: branches, commits, schemas, places of samples."""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from hangard.errors import Busy, Corrupt, InvalidRequest, NoRepository
from hangard_client.hangar_import.lmdb_files import LmdbFile
from hangard_client.hangar_import.records import (
    COMMIT_RECORD_BYTES_MAX,
    DamagedRecord,
    HangarCommit,
    HangarSchema,
    Place,
    Snapshot,
    commit_digest,
    damaged,
    parse_commit,
    parse_parents,
    parse_place,
    parse_schema,
    split_records,
)

T = TypeVar("T")

FOLDER: Final = ".hangar"
FREE: Final = b"LOCK_AVAILABLE"
VERSIONS: Final = "0.5"  # the first two parts of the versions whose format this is
SNAPSHOTS_KEPT_MAX: Final = 3  # a merge and its parents
FRAME_HEADER_BYTES: Final = 16
_FRAME = struct.Struct("<4xIII")  # Blosc: sizes of the content, of a block, of the frame


class HangarSource:
    """Never writes. Errors of all: Corrupt (``damaged-source``), which names file and record."""

    def __init__(self, path: Path, *, ignore_lock: bool = False) -> None:
        """Open the repository at ``path``: the folder that holds ``.hangar``, or that itself.

        Errors: NoRepository; Busy (``source-in-use``) unless ``ignore_lock``; InvalidRequest
        (``unsupported-source``).
        """
        self.folder = path if path.name == FOLDER else path / FOLDER
        if not (self.folder / "branch.lmdb").is_file():
            raise NoRepository(
                f"there is no repository of Hangar at {path}: {self.folder} has no branch.lmdb",
                code="no-hangar-repository",
                path=str(path),
            )
        self._files: dict[str, LmdbFile] = {}
        self._snapshots: OrderedDict[str, Snapshot] = OrderedDict()
        self._schemas: dict[str, HangarSchema] = {}
        try:
            for name in ("branch", "ref", "hash"):
                file = self.folder / f"{name}.lmdb"
                if not file.is_file():
                    raise damaged(file, "the file", "it is missing")
                self._files[name] = LmdbFile(file)
            self.branches, self.head = self._read_branches(ignore_lock)
        except BaseException:
            self.close()
            raise

    def _read_branches(self, ignore_lock: bool) -> tuple[dict[str, str], str]:
        """Heads of all branches ("" before the first commit), and the one in use."""
        records = dict(self._files["branch"].items())
        version = records.get(b"software_version", b"?").decode("ascii", "replace")
        if not version.startswith(VERSIONS + "."):
            raise InvalidRequest(
                f"{self.folder} was written by Hangar {version}; only repositories of {VERSIONS}"
                " can be imported: let that version of Hangar upgrade it first",
                code="unsupported-source",
            )
        if records.get(b"writerlock:", FREE) != FREE and not ignore_lock:
            raise Busy(
                f"{self.folder} is held by a writer of Hangar: close it, or, if it has ended"
                " without giving its lock back, import with --ignore-lock (ignore_lock=True)",
                code="source-in-use",
            )
        branches = {}
        for key, value in records.items():
            if key.startswith(b"branch:"):
                try:
                    branches[key[7:].decode("ascii")] = value.decode("ascii")
                    parse_parents(value)
                except (DamagedRecord, UnicodeDecodeError) as error:
                    raise damaged(self._files["branch"].path, key.decode("ascii", "replace"),
                                  error) from error  # fmt: skip
        head = records.get(b"head", b"").decode("ascii", "replace").removeprefix("branch:")
        return branches, head if head in branches else next(iter(branches), "")

    def order(self, known: Callable[[str], bool]) -> list[HangarCommit]:
        """The commits that branches reach, parents first, without those that are ``known`` and
        what only they reach. A commit follows its first parent where it can."""
        result: list[HangarCommit] = []
        done: set[str] = set()
        waiting: set[str] = set()  # for parents that are on the stack above them
        for start in self.branches.values():
            stack = [start] if start else []
            while stack:
                digest = stack[-1]
                if digest in done:
                    stack.pop()
                    continue
                if known(digest):
                    done.add(digest)
                    continue
                commit = self.commit(digest)
                missing = [parent for parent in commit.parents if parent not in done]
                if missing:
                    if digest in waiting:
                        raise self.damaged_commit(digest, "it is its own ancestor")
                    waiting.add(digest)
                    # The first parent comes last, just before the commit.
                    stack.extend(missing)
                    continue
                done.add(digest)
                result.append(commit)
                stack.pop()
        return result

    def commit(self, digest: str) -> HangarCommit:
        """Checked against its digest only by ``snapshot``."""
        parents, spec = self._ref(digest, ""), self._unpacked(digest, ":spec")
        try:
            return parse_commit(digest, parse_parents(parents), spec)
        except DamagedRecord as error:
            raise self.damaged_commit(digest, error) from error

    def snapshot(self, digest: str | None) -> Snapshot:
        """All records of a commit, checked; none of None. The last few are remembered."""
        if digest is None:
            return Snapshot()
        found = self._snapshots.get(digest)
        if found is None:
            parents = self._ref(digest, "")
            spec, refs = self._unpacked(digest, ":spec"), self._unpacked(digest, ":ref")
            if commit_digest(parents, spec, refs) != digest:
                raise self.damaged_commit(digest, "it does not match its digest")
            while len(self._snapshots) >= SNAPSHOTS_KEPT_MAX:
                self._snapshots.popitem(last=False)
            try:
                found = self._snapshots[digest] = split_records(refs)
            except DamagedRecord as error:
                raise self.damaged_commit(digest, error) from error
        self._snapshots.move_to_end(digest)
        return found

    def schema(self, digest: str) -> HangarSchema:
        """A schema by digest."""
        found = self._schemas.get(digest)
        if found is None:
            found = self._schemas[digest] = self._hash("s:", digest, parse_schema)
        return found

    def place(self, digest: str) -> Place | None:
        """Where a sample lies; None if only a remote has it."""
        return self._hash("h:", digest, parse_place)

    def data_path(self, code: str, uid: str) -> Path:
        """The file (or folder, of an LMDB one) that holds samples."""
        suffix = {"00": ".hdf5", "01": ".hdf5", "10": ".npy"}.get(code, "")
        return self.folder / "data" / code / (uid + suffix)

    def damaged_commit(self, digest: str, error: object) -> Corrupt:
        """The error for a commit whose records cannot be used."""
        return damaged(self._files["ref"].path, digest, error)

    def close(self) -> None:
        """May be called twice."""
        for file in self._files.values():
            file.close()

    def _hash(self, prefix: str, digest: str, parse: Callable[[bytes], T]) -> T:
        file = self._files["hash"]
        value = file.get((prefix + digest).encode())
        if value is None:
            raise damaged(file.path, prefix + digest, "the record is missing")
        try:
            return parse(value)
        except DamagedRecord as error:
            raise damaged(file.path, prefix + digest, error) from error

    def _ref(self, digest: str, suffix: str) -> bytes:
        file = self._files["ref"]
        value = file.get((digest + suffix).encode())
        if value is None:
            raise damaged(file.path, digest + suffix, "the record is missing")
        return value

    def _unpacked(self, digest: str, suffix: str) -> bytes:
        value = self._ref(digest, suffix)
        try:
            return unpack(value)
        except DamagedRecord as error:
            raise damaged(self._files["ref"].path, digest + suffix, error) from error


def unpack(frame: bytes) -> bytes:
    """The content of a Blosc frame. Errors: DamagedRecord."""
    import blosc2  # 100 ms that only an import needs

    if len(frame) < FRAME_HEADER_BYTES:
        raise DamagedRecord(f"{len(frame)} bytes are no Blosc frame")
    content, _, length = _FRAME.unpack_from(frame)
    if length != len(frame) or content > COMMIT_RECORD_BYTES_MAX:
        raise DamagedRecord(f"the Blosc frame says {length} bytes, and has {len(frame)}")
    if not content:
        return b""
    try:
        result: bytes = blosc2.decompress(frame)
    except (RuntimeError, ValueError, TypeError) as error:
        raise DamagedRecord(f"the Blosc frame cannot be unpacked: {error}") from error
    if len(result) != content:
        raise DamagedRecord(f"the Blosc frame gave {len(result)} bytes, not {content}")
    return result
