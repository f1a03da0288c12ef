"""Dropping what a session has staged while it stays open, and moving its branch if wanted."""

from __future__ import annotations

from hangard.db.tables import WriteTables
from hangard.encoding.records import HEADS, ReflogEntry
from hangard.errors import UnknownRevision
from hangard.model.commit import Digest
from hangard.repository.branches import check_commit
from hangard.repository.committing import (
    Group,
    Heads,
    PlannedOperation,
    check_head,
    session_record,
)
from hangard.repository.objects import Objects
from hangard.repository.session import Session, Snapshot

RESET_TO = "reset: moving to "


class ResetSession(PlannedOperation):
    """One session on its way back to its base, or with its branch to ``commit``."""

    def __init__(
        self,
        session: Session,
        commit: Digest | None,
        *,
        name: str,
        user: str,
        time_ns: int,
        objects: Objects,
    ) -> None:
        self.branch = session.branch
        self._session = session
        self._commit = commit
        self._name = name
        self._user = user
        self._time_ns = time_ns
        self._objects = objects
        self._before: Digest | None = None
        self._snapshot: Snapshot | None = None
        self._error: Exception | None = None
        self._group: Group | None = None
        self._held = False

    @property
    def head(self) -> Digest | None:
        return self._commit

    def prepare(self, group: Group) -> None:
        self._group, self._error = group, None
        self._session.hold().acquire()
        self._held = True
        self.branch = self._session.branch
        try:
            self._snapshot = self._session.snapshot()
            if self._commit is not None:
                if self.branch not in group.heads:
                    raise UnknownRevision(
                        f"there is no branch {self.branch!r}", code="unknown-branch"
                    )
                self._before = group.heads[self.branch]
                group.heads[self.branch] = self._commit
        except Exception as error:
            self._error = error
            self.release()

    def check(self, tables: WriteTables) -> None:
        """Errors: Closed; UnknownRevision; HeadMoved."""
        if self._error is not None:
            raise self._error
        if self._commit is not None:
            check_head(tables, self.branch, self._before)
            check_commit(tables, self._commit)

    def apply(self, tables: WriteTables) -> Digest | None:
        assert self._snapshot is not None
        assert self._group is not None
        self._group.write_checkpoint(tables)
        base = self._commit or self._session.base
        if self._commit is not None and self._commit != self._before:
            tables.put_ref(HEADS.decode() + self.branch, self._commit)
            tables.append_reflog(
                ReflogEntry(
                    self._time_ns,
                    HEADS.decode() + self.branch,
                    self._before or b"",
                    self._commit,
                    RESET_TO + self._name,
                    self._user,
                )
            )
        tables.put_session(session_record(self._session, self._snapshot, base, self.branch))
        return base

    def update(self, heads: Heads) -> None:
        if self._commit is not None:
            heads[self.branch] = self._commit

    def settle(self) -> None:
        base = self._commit or self._session.base
        tree = self._objects.commit_tree(base) if base else {}
        self._session.settle(base, tree, self._objects.schemas(tree))

    def release(self) -> None:
        if self._held:
            self._held = False
            self._session.hold().release()
