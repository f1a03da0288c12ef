"""Records of sessions in LMDB, and what is told of a session."""

from __future__ import annotations

from dataclasses import dataclass

from hangard.db.tables import WriteTables
from hangard.encoding.records import SessionRecord
from hangard.errors import InvalidRequest
from hangard.repository.session import Session
from hangard.wire.messages import SessionInfo


@dataclass(frozen=True, slots=True)
class PutSession:
    """A session was opened, or its record changed."""

    record: SessionRecord

    def check(self, tables: WriteTables) -> None:
        """Always possible."""

    def apply(self, tables: WriteTables) -> None:
        tables.put_session(self.record)


@dataclass(frozen=True, slots=True)
class DeleteSession:
    """A session has ended."""

    identity: str

    def check(self, tables: WriteTables) -> None:
        """Always possible."""

    def apply(self, tables: WriteTables) -> None:
        tables.delete_session(self.identity)


def session_info(session: Session) -> SessionInfo:
    """A session as ``sessions`` lists it."""
    return SessionInfo(
        id=session.id,
        branch=session.branch,
        base=session.base,
        staged=session.staged_total,
        exclusive=session.exclusive,
        user=session.user,
        pid=session.pid,
        opened_s=session.opened_ns / 1e9,
        used_s=session.used_ns / 1e9,
    )


def on_other_branch(session: Session, branch: str) -> InvalidRequest:
    """The error for an id that is taken."""
    return InvalidRequest(
        f"session {session.id!r} is open on branch {session.branch!r}, not on {branch!r}",
        code="session-on-other-branch",
        session=session.id,
        branch=session.branch,
    )
