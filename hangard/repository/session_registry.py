"""All sessions of a repository: opened, found, leased, left, expired."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterable
from contextlib import suppress

import numpy as np
import numpy.typing as npt

from hangard.backends.disk import Disk
from hangard.db.environment import WritableEnvironment
from hangard.db.writer import Writer
from hangard.encoding.records import SessionRecord
from hangard.errors import Busy, Corrupt, UnknownRevision, UnknownSession
from hangard.limits import SESSION_AGE_S_MAX, SESSIONS_MAX, STAGED_TOTAL_BYTES_MAX
from hangard.model.commit import Digest
from hangard.model.directory import journal_path
from hangard.model.names import check_session_name
from hangard.repository.branches import check_commit
from hangard.repository.clock import Clock
from hangard.repository.committing import Heads, session_record
from hangard.repository.journals import read_journal
from hangard.repository.objects import Objects
from hangard.repository.resuming import Finder, resume
from hangard.repository.session import Session
from hangard.repository.sessions import (
    DeleteSession,
    PutSession,
    dispensable,
    journals_of,
    leased_elsewhere,
    on_other_branch,
    session_info,
)
from hangard.wire.messages import SessionInfo


class SessionRegistry:
    """The sessions by id, at most SESSIONS_MAX, and who holds the exclusive lease. Thread-safe."""

    def __init__(
        self,
        env: WritableEnvironment,
        disk: Disk,
        clock: Clock,
        *,
        objects: Objects,
        heads: Heads,
        writer: Writer,
    ) -> None:
        self._env = env
        self._disk = disk
        self._clock = clock
        self._objects = objects
        self._heads = heads
        self._writer = writer
        self._lock = threading.RLock()
        self._sessions: dict[str, Session] = {}
        self._ending: set[str] = set()
        self._leased: str | None = None

    def __len__(self) -> int:
        return len(self._sessions)

    @property
    def memory_bytes(self) -> int:
        """What all staged changes take in memory."""
        with self._lock:
            return sum(session.memory_bytes for session in self._sessions.values())

    def resume_all(self, records: Iterable[SessionRecord], find_many: Finder) -> None:
        """Bring back the sessions of an earlier life."""
        for record in records:
            journals = journals_of(self._env.directory, self._disk, record.id)
            self._sessions[record.id] = resume(record, journals, self._objects, find_many)

    def open(
        self,
        branch: str,
        *,
        identity: str = "",
        commit: Digest | None = None,
        exclusive: bool = False,
        user: str = "",
        pid: int = 0,
    ) -> Session:
        """A new session on ``branch``, from its head or from ``commit`` (b"": from no commit).

        ``identity`` is the id it gets; if a session has it already, on the same branch, that one.
        Errors: UnknownRevision; InvalidRequest (``session-on-other-branch``, ``invalid-name``);
        Busy (``busy``, ``too-many-sessions``, ``exclusive-session``).
        """
        with self._lock:
            if branch not in self._heads:
                raise UnknownRevision(f"there is no branch {branch!r}", code="unknown-branch")
            named = self._find_named(identity, branch, exclusive) if identity else None
            if named is not None:
                if exclusive:
                    named.exclusive, named.user, named.pid = True, user, pid
                return named
            if len(self._sessions) >= SESSIONS_MAX and not self._evict():
                raise Busy(
                    f"{SESSIONS_MAX} sessions are open; close some (hangard sessions lists them)",
                    code="too-many-sessions",
                )
            if exclusive:
                self.check_lease(None)
            if commit:
                with self._env.read() as tables:
                    check_commit(tables, commit)
            base = commit or None if commit is not None else self._heads[branch]
            tree = self._objects.commit_tree(base) if base else {}
            identity = identity or secrets.token_hex(8)
            session = Session(
                identity=identity,
                branch=branch,
                base=base,
                base_tree=tree,
                base_schemas=self._objects.schemas(tree),
                opened_ns=self._clock.now_ns(),
                user=user,
                pid=pid,
                exclusive=exclusive,
                journals=journals_of(self._env.directory, self._disk, identity),
            )
            self._sessions[identity] = session
            if exclusive:
                self._leased = identity
        try:
            self._writer.run(PutSession(session_record(session, session.snapshot(), base, branch)))
        except BaseException:
            self.release(identity)
            with self._lock:
                self._sessions.pop(identity, None)
            session.close()
            raise
        return session

    def get(self, identity: str) -> Session:
        """Errors: UnknownSession."""
        session = self._sessions.get(identity)
        if session is None:
            raise UnknownSession(
                f"there is no session {identity!r}: it was closed, or it expired", session=identity
            )
        session.used_ns = self._clock.now_ns()
        return session

    def infos(self) -> list[SessionInfo]:
        """All sessions, the oldest first; those that nobody used for long are dropped first."""
        self._expire()
        with self._lock:
            found = sorted(self._sessions.values(), key=lambda session: session.opened_ns)
            leased = self._leased
        return [session_info(session, leased=session.id == leased) for session in found]

    def leased(self) -> SessionInfo | None:
        """The session that holds the exclusive lease."""
        with self._lock:
            session = self._sessions.get(self._leased or "")
        return None if session is None else session_info(session, leased=True)

    def on_branch(self, branch: str) -> list[Session]:
        """The sessions on a branch. Takes no lock, since the writer's thread asks, too."""
        return [session for session in list(self._sessions.values()) if session.branch == branch]

    def check_room(self, session: Session) -> None:
        """Errors: Busy (``too-much-staged``), when the session, or all together, may not stage
        more before a commit."""
        session.check_room()
        total_bytes = sum(other.memory_bytes for other in list(self._sessions.values()))
        if total_bytes > STAGED_TOTAL_BYTES_MAX:
            raise Busy(
                f"all sessions together have staged more keys than fit {STAGED_TOTAL_BYTES_MAX}"
                " bytes; commit some, or abort them (hangard sessions lists them)",
                code="too-much-staged",
            )

    def leave(self, identity: str, *, abort: bool) -> None:
        """A session that holds changes stays and can be resumed, unless ``abort``.

        Errors: UnknownSession; as the writer's.
        """
        session = self.get(identity)
        self.release(identity)
        if session.is_changed and not abort:
            return
        with self._lock:
            self._sessions.pop(identity, None)
            self._ending.add(identity)
        try:
            session.close()
            self._writer.run(DeleteSession(identity))
            session.remove_journal()
        except BaseException:
            # It is in the database still, and would be back after a restart: so it is here.
            session.reopen()
            with self._lock:
                self._sessions[identity] = session
            raise
        finally:
            with self._lock:
                self._ending.discard(identity)

    def lease(self, identity: str) -> None:
        """Hold the exclusive lease again. Errors: UnknownSession, Busy (``exclusive-session``)."""
        with self._lock:
            session = self.get(identity)
            self.check_lease(identity)
            if self._leased != identity:
                session.leased_ns = self._clock.now_ns()
            self._leased = identity

    def release(self, identity: str) -> None:
        """End an exclusive session's lease: it blocks nobody any more, and can be resumed."""
        with self._lock:
            if self._leased == identity:
                self._leased = None

    def check_lease(self, identity: str | None, branch: str | None = None) -> None:
        """Errors: Busy, if another session than ``identity`` holds the lease (on ``branch``)."""
        with self._lock:
            holder = self._sessions.get(self._leased or "")
        if holder is None or holder.id == identity:
            return
        if branch is None or holder.branch == branch:
            raise leased_elsewhere(holder)

    def staged_digests(self) -> list[npt.NDArray[np.uint8]]:
        """The digests (n, 32) of all samples that sessions have staged.

        Those of their journals, too, though later changes replaced them: a restart replays a
        journal only up to what is not stored.
        """
        with self._lock:
            sessions = list(self._sessions.values())
        found = []
        with self._env.read() as tables:
            records = list(tables.sessions())
        for record in records:
            path = self._env.directory / journal_path(record.id, record.journal)
            with suppress(Corrupt):
                found += [item.digests for item, _ in read_journal(path, record.consumed_bytes)]
        for session in sessions:
            for column in session.staged_columns().values():
                found.append(column.changes().digests)
        return found

    def bases(self) -> list[Digest]:
        """The commits from which sessions go out."""
        with self._lock:
            return [session.base for session in self._sessions.values() if session.base]

    def close(self) -> None:
        """Close all sessions as they are; their journals stay."""
        with self._lock:
            sessions = list(self._sessions.values())
        for session in sessions:
            session.close()

    def _find_named(self, identity: str, branch: str, exclusive: bool) -> Session | None:
        """The session that has this id already, to be resumed; call with the lock.

        Errors: Busy (``exclusive-session``), if somebody holds it exclusively.
        """
        check_session_name(identity)
        if identity in self._ending:
            raise Busy(f"session {identity!r} is just ending; try again")
        if identity not in self._sessions:
            return None
        session = self.get(identity)
        if session.branch != branch:
            raise on_other_branch(session, branch)
        if self._leased == identity:
            raise leased_elsewhere(session)
        if exclusive:
            self.lease(identity)
        return session

    def _expire(self) -> None:
        oldest_ns = self._clock.now_ns() - SESSION_AGE_S_MAX * 1_000_000_000
        with self._lock:
            expired = [
                session.id for session in self._sessions.values() if session.used_ns < oldest_ns
            ]
        for identity in expired:
            self.leave(identity, abort=True)

    def _evict(self) -> bool:
        """End one session that nobody will miss; whether there was one."""
        session = dispensable(self._sessions.values(), self._clock.now_ns())
        if session is not None:
            self.leave(session.id, abort=True)
        return session is not None
