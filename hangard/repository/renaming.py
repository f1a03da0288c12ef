"""Renaming a branch. HEAD follows, and so do the sessions that are open on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from hangard.db.tables import WriteTables
from hangard.encoding.records import HEADS, ReflogEntry
from hangard.errors import HangardError, UnknownRevision
from hangard.model.commit import Digest
from hangard.reading.reflog import RENAMED_FROM
from hangard.repository.branches import check_free, shuts_out
from hangard.repository.committing import Group, Heads, PlannedOperation, check_head
from hangard.repository.session import Session

_HEADS = HEADS.decode()


class RenameBranch(PlannedOperation):
    """One branch on its way to another name.

    It is planned among the commits of its group, so that one that follows it finds its session on
    the new name. ``sessions`` gives those on a branch.
    """

    def __init__(
        self,
        old: str,
        new: str,
        *,
        time_ns: int,
        user: str,
        sessions: Callable[[str], Sequence[Session]],
    ) -> None:
        self.branch = new
        self._old = old
        self._time_ns = time_ns
        self._user = user
        self._sessions = sessions
        self._head: Digest | None = None
        self._error: HangardError | None = None
        self._group: Group | None = None
        self._held: list[Session] = []
        self._done = False

    @property
    def head(self) -> Digest | None:
        return self._head

    def prepare(self, group: Group) -> None:
        self._group, self._error = group, None
        if self._old not in group.heads:
            self._error = UnknownRevision(
                f"there is no branch {self._old!r}", code="unknown-branch"
            )
            return
        others = [name for name in group.heads if name != self._old]
        if self.branch == self._old or any(shuts_out(self.branch, name) for name in others):
            return  # ``check`` says why
        self._head = group.heads.pop(self._old)
        group.heads[self.branch] = self._head
        for session in self._sessions(self._old):
            session.hold().acquire()
            self._held.append(session)
            session.branch = self.branch

    def check(self, tables: WriteTables) -> None:
        """Errors: UnknownRevision (``unknown-branch``), AlreadyExists, HeadMoved."""
        if self._error is not None:
            raise self._error
        check_free(tables, self.branch, HEADS, without=self._old)
        check_head(tables, self._old, self._head)

    def apply(self, tables: WriteTables) -> Digest:
        assert self._group is not None
        self._group.write_checkpoint(tables)
        head = self._head or b""
        tables.delete_ref(_HEADS + self._old)
        tables.put_ref(_HEADS + self.branch, head)
        if tables.head() == self._old:
            tables.put_head(self.branch)
        for session in self._held:
            record = tables.find_session(session.id)
            if record is not None:
                tables.put_session(msgspec.structs.replace(record, branch=self.branch))
        tables.append_reflog(
            ReflogEntry(
                self._time_ns,
                _HEADS + self.branch,
                head,
                head,
                RENAMED_FROM + self._old,
                self._user,
            )
        )
        return head

    def update(self, heads: Heads) -> None:
        heads.pop(self._old, None)
        heads[self.branch] = self._head

    def settle(self) -> None:
        self._done = True

    def release(self) -> None:
        while self._held:
            session = self._held.pop()
            if not self._done:
                session.branch = self._old
            session.hold().release()
