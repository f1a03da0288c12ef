"""Branches: operations that move refs without touching samples."""

from __future__ import annotations

from dataclasses import dataclass

from hangard.db.tables import WriteTables
from hangard.encoding.records import HEADS, ReflogEntry
from hangard.errors import AlreadyExists, InvalidRequest, UnknownRevision
from hangard.model.commit import Digest
from hangard.reading.tables import ReadTables

_HEADS = HEADS.decode()


@dataclass(frozen=True, slots=True)
class CreateBranch:
    """Create a branch at ``commit``, or unborn when that is b""."""

    name: str
    commit: Digest
    time_ns: int
    user: str = ""

    def check(self, tables: WriteTables) -> None:
        """Errors: AlreadyExists; UnknownRevision for a commit that is not there."""
        check_free(tables, self.name, HEADS)
        if self.commit:
            check_commit(tables, self.commit)

    def apply(self, tables: WriteTables) -> Digest:
        tables.put_ref(_HEADS + self.name, self.commit)
        tables.append_reflog(
            ReflogEntry(
                self.time_ns,
                _HEADS + self.name,
                b"",
                self.commit,
                "branch: created",
                self.user,
            )
        )
        return self.commit


@dataclass(frozen=True, slots=True)
class DeleteBranch:
    """Delete a branch whose head was found to be ``expected``."""

    name: str
    expected: Digest
    time_ns: int
    user: str = ""

    def check(self, tables: WriteTables) -> None:
        """Errors: UnknownRevision; InvalidRequest for HEAD's branch, or if it moved meanwhile."""
        found = tables.ref(_HEADS + self.name)
        if found is None:
            raise UnknownRevision(f"there is no branch {self.name!r}", code="unknown-branch")
        if tables.head() == self.name:
            raise InvalidRequest(
                f"branch {self.name!r} is HEAD; point HEAD at another branch first",
                code="branch-is-head",
            )
        if found != self.expected:
            raise InvalidRequest(f"branch {self.name!r} moved; try again", code="branch-moved")

    def apply(self, tables: WriteTables) -> Digest:
        tables.delete_ref(_HEADS + self.name)
        tables.append_reflog(
            ReflogEntry(
                self.time_ns,
                _HEADS + self.name,
                self.expected,
                b"",
                "branch: deleted",
                self.user,
            )
        )
        return self.expected


@dataclass(frozen=True, slots=True)
class SetHead:
    """Point HEAD at an existing branch."""

    name: str

    def check(self, tables: WriteTables) -> None:
        """Errors: UnknownRevision."""
        if tables.ref(_HEADS + self.name) is None:
            raise UnknownRevision(f"there is no branch {self.name!r}", code="unknown-branch")

    def apply(self, tables: WriteTables) -> str:
        tables.put_head(self.name)
        return self.name


def check_free(tables: ReadTables, name: str, prefix: bytes, *, without: str = "") -> None:
    """Whether a branch (``prefix`` HEADS) or tag (TAGS) may be called so, once ``without`` is gone.

    Errors: AlreadyExists (``branch-exists``, ``tag-exists``).
    """
    kind, code = ("branch", "branch-exists") if prefix == HEADS else ("tag", "tag-exists")
    for full, _ in tables.refs(prefix):
        other = full.removeprefix(prefix.decode())
        if other == name:
            raise AlreadyExists(f"{kind} {name!r} exists", code=code)
        if other != without and shuts_out(name, other):
            raise AlreadyExists(f"{kind} {name!r} cannot stand beside {other!r}", code=code)


def shuts_out(name: str, other: str) -> bool:
    """Whether two branches, or two tags, cannot stand beside each other.

    LMDB knows no directories: a branch "a" beside "a/b" would confuse whoever exports refs.
    """
    return name == other or other.startswith(name + "/") or name.startswith(other + "/")


def check_commit(tables: ReadTables, commit: Digest) -> None:
    """Errors: UnknownRevision, if there is no such commit."""
    if tables.find_commit(commit) is None:
        raise UnknownRevision(f"there is no commit {commit.hex()}")
