"""Records of sessions in LMDB, and what is told of a session."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from hangard.backends.disk import Disk
from hangard.db.tables import WriteTables
from hangard.encoding.records import SessionRecord
from hangard.errors import Busy, InvalidRequest, UnknownRevision
from hangard.model.directory import journal_path
from hangard.repository.journals import JournalWriter
from hangard.repository.session import Session
from hangard.wire.messages import SessionInfo

SESSION_IDLE_S_MIN = 600


@dataclass(frozen=True, slots=True)
class PutSession:
    """A session was opened, or its record changed."""

    record: SessionRecord

    def check(self, tables: WriteTables) -> None:
        """Errors: UnknownRevision, if gc took the base just now."""
        if self.record.base and not tables.has_object(self.record.base):
            raise UnknownRevision(f"there is no commit {self.record.base.hex()}")

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


def session_info(session: Session, *, leased: bool = False) -> SessionInfo:
    """A session as ``sessions`` lists it; ``leased``: its client holds it exclusively now."""
    return SessionInfo(
        id=session.id,
        branch=session.branch,
        base=session.base,
        # A session whose only change is a column's schema holds something, too.
        staged=max(session.staged_total, 1) if session.is_changed else 0,
        exclusive=session.exclusive,
        leased=leased,
        user=session.user,
        pid=session.pid,
        alive=_is_alive(session.pid),
        staged_bytes=session.memory_bytes,
        journal_bytes=session.journal_bytes,
        opened_s=session.opened_ns / 1e9,
        used_s=session.used_ns / 1e9,
    )


def dispensable(sessions: Iterable[Session], now_ns: int) -> Session | None:
    """The session without changes that nobody used for longest, if its client seems to be gone.

    It is when its process has ended or has asked for nothing for SESSION_IDLE_S_MIN; should it live
    all the same (in another container, say), it opens another session and has lost nothing.
    """
    latest_ns = now_ns - SESSION_IDLE_S_MIN * 1_000_000_000
    idle = [
        session
        for session in sessions
        if not session.is_changed and (session.used_ns < latest_ns or not _is_alive(session.pid))
    ]
    return min(idle, key=lambda session: session.used_ns, default=None)


def _is_alive(pid: int) -> bool:
    """Whether the process runs; an unknown one (0) counts as running."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def journals_of(directory: Path, disk: Disk, identity: str) -> Callable[[int, int], JournalWriter]:
    """The journals of a session, by generation, to go on with behind so many bytes."""
    return lambda generation, length_bytes: JournalWriter(
        directory / journal_path(identity, generation), disk, length_bytes=length_bytes
    )


def leased_elsewhere(holder: Session) -> Busy:
    """The error for who needs the lease that another session holds."""
    since = datetime.fromtimestamp(holder.leased_ns // 1_000_000_000, UTC)
    who = f"{holder.user}, pid {holder.pid}" if holder.user else f"pid {holder.pid}"
    return Busy(
        f"session {holder.id} ({who}, since {since:%Y-%m-%d %H:%M:%S} UTC) writes"
        f" {holder.branch!r} exclusively; close its checkout first",
        code="exclusive-session",
        session=holder.id,
        user=holder.user,
        pid=holder.pid,
        since_s=holder.leased_ns / 1e9,
    )


def on_other_branch(session: Session, branch: str) -> InvalidRequest:
    """The error for an id that is taken."""
    return InvalidRequest(
        f"session {session.id!r} is open on branch {session.branch!r}, not on {branch!r}",
        code="session-on-other-branch",
        session=session.id,
        branch=session.branch,
    )
