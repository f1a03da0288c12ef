"""One repository, open for writing: what a daemon serves. Synchronous and thread-safe."""

from __future__ import annotations

import logging
import secrets
import threading
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hangard.backends.disk import Disk
from hangard.db.environment import WritableEnvironment, create_directory
from hangard.db.filesystem import free_bytes
from hangard.db.full_disk import as_no_space
from hangard.db.writer import Writer
from hangard.encoding.records import HEADS
from hangard.errors import (
    Busy,
    Closed,
    Corrupt,
    HangardError,
    InvalidRequest,
    NoSpace,
    UnknownRevision,
    UnknownSession,
)
from hangard.index import Index
from hangard.limits import SESSION_AGE_S_MAX, SESSIONS_MAX
from hangard.model.commit import Digest
from hangard.model.names import check_ref_name, check_session_name
from hangard.repository import recovery
from hangard.repository.batching import Batcher, Counts
from hangard.repository.branches import CreateBranch, DeleteBranch, SetHead, check_commit
from hangard.repository.changes import Change, ColumnChange, Deletion, Prepared
from hangard.repository.clock import Clock, SystemClock
from hangard.repository.committing import (
    CommitOperation,
    GroupCommit,
    Heads,
    MakeCheckpoint,
    session_record,
)
from hangard.repository.history import is_ancestor
from hangard.repository.maintenance import RunMerger
from hangard.repository.nodes import Nodes
from hangard.repository.objects import Objects
from hangard.repository.reindexing import mark_damaged
from hangard.repository.resuming import resume
from hangard.repository.segments import SegmentFactory
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
from hangard.repository.staging import Digests, Ends
from hangard.repository.storage import Checkpoint, Storage
from hangard.wire.messages import CommitRequest, CommitResult, SessionInfo

_log = logging.getLogger(__name__)


class Repository:
    """Sessions, commits and branches of one repository. One process at a time may open it."""

    @classmethod
    def create(cls, path: str | Path, *, branch: str = "main") -> None:
        """Make a new repository with one branch that has no commit yet.

        Errors: AlreadyExists (``repository-exists``), InvalidRequest (``invalid-name``,
        ``network-filesystem``), NoSpace.
        """
        check_ref_name(branch)
        create_directory(path)
        with WritableEnvironment(path) as env, env.write() as tables:
            tables.put_ref(HEADS.decode() + branch, b"")
            tables.put_head(branch)

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        clock: Clock | None = None,
        disk: Disk | None = None,
        boot_id: bytes | None = None,
    ) -> Repository:
        """Open, and recover from whatever ended the last life; needs no manual step.

        ``boot_id`` tells one start of the machine from another (default: the kernel's).
        Errors: NoRepository, Busy (``repository-locked``), Corrupt, NoSpace.
        """
        env = WritableEnvironment(path)
        try:
            boot = boot_id or recovery.current_boot_id()
            return cls(env, clock or SystemClock(), disk or Disk(), boot)
        except BaseException as error:
            full = as_no_space(error, partial(free_bytes, env.directory))
            env.close()
            if full is not None:
                raise full from error
            raise

    def __init__(self, env: WritableEnvironment, clock: Clock, disk: Disk, boot_id: bytes) -> None:
        self.path = env.directory.parent
        self.epoch = secrets.token_bytes(16)
        self._env = env
        self._disk = disk
        self._clock = clock
        self._lock = threading.RLock()
        self._sessions: dict[str, Session] = {}
        self._ending: set[str] = set()
        self._leased: str | None = None
        self._counts = Counts()  # since this life began
        self._closed = False
        self._checkpointing = threading.Lock()
        self._segments = SegmentFactory(env.directory, disk)
        found = recovery.recover(env, disk, self._segments.hdf5, boot_id)
        self._index: Index = found.index
        self._storage = Storage(
            env.directory,
            disk,
            found.index,
            next_number=found.next_number,
            create_segment=self._segments.create,
        )
        self._storage.name_recovered(found.files)
        self._batcher = Batcher(self._storage)
        self._nodes = Nodes(env.directory, self._storage)
        self._objects = Objects(env)
        self._heads: Heads = found.heads
        hooks = GroupCommit(self._storage, self._heads, self._checkpointed)
        self._writer = Writer(env, before_group=hooks.before_group, after_group=hooks.after_group)
        self._merger = RunMerger(
            self._index,
            self._writer,
            self._storage.take_number,
            partial(mark_damaged, env.directory),
        )
        for record in found.sessions:
            self._sessions[record.id] = resume(
                record,
                journals_of(self._env.directory, disk, record.id),
                self._objects,
                self._storage.find_many,
            )

    # Sessions

    def open_session(
        self,
        branch: str | None = None,
        *,
        identity: str = "",
        commit: Digest | None = None,
        exclusive: bool = False,
        user: str = "",
        pid: int = 0,
    ) -> Session:
        """A new session on ``branch`` (default: HEAD's), from its head or from ``commit``.

        ``identity`` is the id it gets; if a session has it already, on the same branch, that one.
        Errors: UnknownRevision; InvalidRequest (``session-on-other-branch``, ``invalid-name``);
        Busy (``busy``, ``too-many-sessions``, ``exclusive-session``).
        """
        with self._lock:
            self._check_open()
            name = branch or self.head()
            if name not in self._heads:
                raise UnknownRevision(f"there is no branch {name!r}", code="unknown-branch")
            named = self._find_named(identity, name, exclusive) if identity else None
            if named is not None:
                return named
            if len(self._sessions) >= SESSIONS_MAX and not self._evict():
                raise Busy(
                    f"{SESSIONS_MAX} sessions are open; close some (hangard sessions lists them)",
                    code="too-many-sessions",
                )
            if exclusive:
                self._check_lease(None)
            if commit is not None:
                with self._env.read() as tables:
                    check_commit(tables, commit)
            base = commit if commit is not None else self._heads[name]
            tree = self._objects.commit_tree(base) if base else {}
            identity = identity or secrets.token_hex(8)
            session = Session(
                identity=identity,
                branch=name,
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
            self._writer.run(PutSession(session_record(session, session.snapshot(), base)))
        except BaseException:
            self.release_session(identity)
            with self._lock:
                self._sessions.pop(identity, None)
            session.close()
            raise
        return session

    def session(self, identity: str) -> Session:
        """Errors: UnknownSession; Closed after ``close``."""
        self._check_open()
        session = self._sessions.get(identity)
        if session is None:
            raise UnknownSession(
                f"there is no session {identity!r}: it was closed, or it expired", session=identity
            )
        session.used_ns = self._clock.now_ns()
        return session

    def sessions(self) -> list[SessionInfo]:
        """All sessions, the oldest first; those that nobody used for long are dropped first."""
        self._expire()
        with self._lock:
            found = sorted(self._sessions.values(), key=lambda session: session.opened_ns)
        return [session_info(session) for session in found]

    def close_session(self, identity: str, *, abort: bool) -> None:
        """Leave a session: one that holds changes stays and can be resumed, unless ``abort``."""
        session = self.session(identity)
        self.release_session(identity)
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

    def _find_named(self, identity: str, branch: str, exclusive: bool) -> Session | None:
        """The session that has this id already, to be resumed; call with the lock."""
        check_session_name(identity)
        if identity in self._ending:
            raise Busy(f"session {identity!r} is just ending; try again")
        if identity not in self._sessions:
            return None
        session = self.session(identity)
        if session.branch != branch:
            raise on_other_branch(session, branch)
        if exclusive:
            self.lease_session(identity)
        return session

    def lease_session(self, identity: str) -> None:
        """Hold the exclusive lease again. Errors: UnknownSession, Busy (``exclusive-session``)."""
        with self._lock:
            self.session(identity)
            self._check_lease(identity)
            self._leased = identity

    def release_session(self, identity: str) -> None:
        """End an exclusive session's lease: it blocks nobody any more, and can be resumed."""
        with self._lock:
            if self._leased == identity:
                self._leased = None

    # Changes

    def prepare_rows(
        self,
        identity: str,
        column: str,
        blob: bytes,
        ends: Ends,
        dtype: str,
        shape: tuple[int, ...],
        rows: npt.NDArray[np.uint8],
    ) -> Prepared:
        """Hash, deduplicate and store a batch; see Session.prepare_rows."""
        session = self.session(identity)
        session.check_room()
        prepared = session.prepare_rows(self._batcher, column, blob, ends, dtype, shape, rows)
        with self._lock:
            self._counts += prepared.counts
        if self._index.wants_checkpoint:
            self._make_checkpoint()
        return prepared

    def prepare_deletion(self, identity: str, column: str, blob: bytes, ends: Ends) -> Deletion:
        """Packed keys of a column to delete. Errors: Busy (``too-much-staged``)."""
        self.session(identity).check_room()
        return Deletion(column, blob, ends)

    def apply(self, identity: str, sequence: int, change: Change) -> bool:
        """Stage and journal a change; see Session.apply."""
        if isinstance(change, ColumnChange) and change.schema is not None:
            self._segments.expect(change.schema)
        return self.session(identity).apply(sequence, change)

    def find_staged(
        self, identity: str, column: str, blob: bytes, ends: Ends
    ) -> tuple[npt.NDArray[np.uint8], Digests, npt.NDArray[np.uint8]]:
        """Staged states (n,), digests (n, 32) and specs (n, 32) of packed keys."""
        states, digests = self.session(identity).find(column, blob, ends)
        specs, _ = self._storage.find_many(digests)
        return states, digests, specs

    def commit(self, identity: str, request: CommitRequest) -> CommitResult:
        """Commit what a session has staged; durable when this returns.

        Errors: NothingStaged; Conflict (``commit-conflict``); Closed (``staged-changes-lost``);
        Busy (``exclusive-session``); NoSpace; Corrupt. On each the session is unchanged.
        """
        if not request.message.strip():
            raise InvalidRequest("a commit needs a message", code="empty-message")
        session = self.session(identity)
        with session.committing:
            known = self.find_result(request.command_id)
            if known is not None:
                return known
            with self._lock:
                self._check_lease(identity, session.branch)
            operation = CommitOperation(
                request, session, store=self._nodes, objects=self._objects, clock=self._clock
            )
            try:
                result: CommitResult = self._writer.run(operation, bulk=operation.is_bulk)
            except Corrupt as error:
                if error.code == "commit-failed":
                    self._storage.fail(error)
                raise
            return result

    def find_result(self, command: bytes) -> CommitResult | None:
        """What a commit command did, None if it was never carried out."""
        return self._objects.find_result(command)

    # Branches

    def head(self) -> str:
        """The branch that HEAD names."""
        with self._env.read() as tables:
            return tables.head()

    def create_branch(self, name: str, commit: Digest | None = None) -> Digest:
        """Create a branch at a commit (default: the head of HEAD's branch); the commit's digest.

        Errors: InvalidRequest (``invalid-name``), AlreadyExists, UnknownRevision.
        """
        check_ref_name(name)
        start = commit if commit is not None else self._heads.get(self.head()) or b""
        result: Digest = self._run(CreateBranch(name, start, self._clock.now_ns()))
        return result

    def delete_branch(self, name: str, force: bool = False) -> Digest:
        """Delete a branch; the digest its head had (b"" if it had no commit).

        Errors: UnknownRevision; InvalidRequest (``branch-is-head``, ``last-branch``,
        ``branch-not-merged`` unless ``force``).
        """
        with self._lock:
            if name not in self._heads:
                raise UnknownRevision(f"there is no branch {name!r}", code="unknown-branch")
            if len(self._heads) == 1:
                raise InvalidRequest(f"{name!r} is the only branch", code="last-branch")
            head = self._heads[name]
            others = [digest for other, digest in self._heads.items() if other != name]
        if head and not force and not is_ancestor(self._objects, head, others):
            raise InvalidRequest(
                f"branch {name!r} holds commits that no other branch has; force deletes it",
                code="branch-not-merged",
            )
        result: Digest = self._run(DeleteBranch(name, head or b"", self._clock.now_ns()))
        return result

    def set_head(self, name: str) -> None:
        """Point HEAD at a branch. Errors: UnknownRevision."""
        self._run(SetHead(name))

    # The whole

    def status(self) -> dict[str, Any]:
        """What the daemon's status shows of the repository; sizes in bytes.

        ``counts``: what was put since this life began, and how much of it was not there before.
        """
        with self._lock:
            counts = asdict(self._counts)
            staged = sum(session.memory_bytes for session in self._sessions.values())
            count = len(self._sessions)
        return {
            "sessions": count,
            "staged_bytes": staged,
            "counts": counts,
            "writer_waiting": self._writer.waiting,
            "open_files": self._storage.open_files,
            "index_recent_entries": self._index.recent_count,
            "index_runs": self._index.run_count,
            "hdf5_pid": self._segments.hdf5.pid,
        }

    def close(self) -> None:
        """Seal what is open, make the index durable, and give the lock back. May be called twice.

        Sessions that hold changes stay on disk and are there again after ``open``. Where the disk
        is full, or fails, the next ``open`` does what could not be done here. Errors: Corrupt.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
            sessions = list(self._sessions.values())
        for session in sessions:
            session.close()
        self._merger.close()
        self._storage.retire_all()
        try:
            self._writer.run(MakeCheckpoint())
        except NoSpace as error:
            _log.warning("the repository was closed as it is: %s", error)
        finally:
            self._writer.close()
            self._nodes.close()
            self._storage.close()
            self._index.close()
            self._segments.close()
            self._env.close()

    def _make_checkpoint(self) -> None:
        """Let the index give its memory back, however much is staged before a commit.

        Waits, so that a disk slower than its writers holds them up; what goes wrong is told by the
        next commit.
        """
        with self._checkpointing, suppress(HangardError):
            if self._index.wants_checkpoint:
                self._writer.run(MakeCheckpoint(), bulk=True)

    def _checkpointed(self, checkpoint: Checkpoint) -> None:
        if checkpoint.run is not None:
            self._merger.wake()

    def _run(self, operation: Any) -> Any:
        self._check_open()
        return self._writer.run(operation)

    def _check_open(self) -> None:
        if self._closed:
            raise Closed("the repository is closed", code="repository-closed")

    def _check_lease(self, identity: str | None, branch: str | None = None) -> None:
        """Errors: Busy, if another session holds the lease (on ``branch``)."""
        holder = self._sessions.get(self._leased or "")
        if holder is None or holder.id == identity:
            return
        if branch is None or holder.branch == branch:
            raise leased_elsewhere(holder)

    def _expire(self) -> None:
        oldest_ns = self._clock.now_ns() - SESSION_AGE_S_MAX * 1_000_000_000
        with self._lock:
            expired = [
                session.id for session in self._sessions.values() if session.used_ns < oldest_ns
            ]
        for identity in expired:
            self.close_session(identity, abort=True)

    def _evict(self) -> bool:
        """End one session that nobody will miss; whether there was one."""
        session = dispensable(self._sessions.values(), self._clock.now_ns())
        if session is not None:
            self.close_session(session.id, abort=True)
        return session is not None
