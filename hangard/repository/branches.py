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

    def check(self, tables: WriteTables) -> None:
        """Errors: AlreadyExists; UnknownRevision for a commit that is not there."""
        if tables.ref(_HEADS + self.name) is not None:
            raise AlreadyExists(f"branch {self.name!r} exists", code="branch-exists")
        # LMDB knows no directories: a branch "a" beside "a/b" would confuse whoever exports refs.
        for name, _ in tables.refs(HEADS):
            other = name.removeprefix(_HEADS)
            if other.startswith(self.name + "/") or self.name.startswith(other + "/"):
                raise AlreadyExists(
                    f"branch {self.name!r} cannot stand beside {other!r}", code="branch-exists"
                )
        if self.commit:
            check_commit(tables, self.commit)

    def apply(self, tables: WriteTables) -> Digest:
        tables.put_ref(_HEADS + self.name, self.commit)
        tables.append_reflog(
            ReflogEntry(self.time_ns, _HEADS + self.name, b"", self.commit, "branch: created")
        )
        return self.commit


@dataclass(frozen=True, slots=True)
class DeleteBranch:
    """Delete a branch whose head was found to be ``expected``."""

    name: str
    expected: Digest
    time_ns: int

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
            ReflogEntry(self.time_ns, _HEADS + self.name, self.expected, b"", "branch: deleted")
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


def check_commit(tables: ReadTables, commit: Digest) -> None:
    """Errors: UnknownRevision, if there is no such commit."""
    if tables.find_commit(commit) is None:
        raise UnknownRevision(f"there is no commit {commit.hex()}")
