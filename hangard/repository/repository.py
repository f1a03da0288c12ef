"""One repository, open for writing: what a daemon serves. Synchronous and thread-safe."""

from __future__ import annotations

import logging
import os
import secrets
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from hangard import __version__
from hangard.backends.disk import Disk
from hangard.db.environment import WritableEnvironment, create_directory
from hangard.db.filesystem import free_bytes
from hangard.db.full_disk import as_no_space
from hangard.db.writer import Writer
from hangard.encoding.records import CREATED_VERSION, HEADS
from hangard.errors import (
    Closed,
    Corrupt,
    HangardError,
    InvalidRequest,
    NoSpace,
    NothingStaged,
)
from hangard.index import Index
from hangard.model.commit import Digest
from hangard.model.names import check_ref_name
from hangard.repository import recovery
from hangard.repository.batching import Batcher, Counts, Rows
from hangard.repository.changes import Change, ColumnChange, Deletion, Prepared
from hangard.repository.clock import Clock, SystemClock
from hangard.repository.committing import (
    CommitOperation,
    GroupCommit,
    Heads,
    MakeCheckpoint,
)
from hangard.repository.configuration import SetConfig
from hangard.repository.detached import DetachedCommit, DetachedTips
from hangard.repository.importing import move_branches
from hangard.repository.maintenance import RunMerger
from hangard.repository.merging import Merger
from hangard.repository.nodes import Nodes
from hangard.repository.objects import Objects
from hangard.repository.publishing import Publisher
from hangard.repository.purging import load_tombstones
from hangard.repository.refs import Refs
from hangard.repository.reindexing import mark_damaged
from hangard.repository.repacking import Repacker
from hangard.repository.segments import SegmentFactory
from hangard.repository.session import Session
from hangard.repository.session_registry import SessionRegistry
from hangard.repository.shapes import ShapeTable
from hangard.repository.staging import Digests, Ends
from hangard.repository.storage import Checkpoint, Storage
from hangard.repository.upkeep import Upkeep
from hangard.wire.importing import MoveBranches
from hangard.wire.merging import MergeRequest, MergeResult
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
            tables.put_meta(CREATED_VERSION, __version__.encode())

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
        self._nodes = Nodes(env.directory, self._storage)
        self._objects = Objects(env)
        self._heads: Heads = found.heads
        hooks = GroupCommit(self._storage, self._heads, self._checkpointed)
        self._writer = Writer(env, before_group=hooks.before_group, after_group=hooks.after_group)
        self._batcher = Batcher(self._storage, ShapeTable(env, self._writer))
        self._merger = RunMerger(
            self._index,
            self._writer,
            self._storage.take_number,
            partial(mark_damaged, env.directory),
        )
        self._sessions = SessionRegistry(
            env, disk, clock, objects=self._objects, heads=self._heads, writer=self._writer
        )
        load_tombstones(env, self._storage.usage)
        self._sessions.resume_all(found.sessions, self._storage.find_known)
        self.publisher = Publisher(
            self._writer, self._storage, self._objects, clock, self._sessions.check_lease
        )
        self.refs = Refs(
            env,
            self._writer,
            clock,
            objects=self._objects,
            heads=self._heads,
            sessions=self._sessions,
            publisher=self.publisher,
        )
        self._merging = Merger(
            Nodes(env.directory, self._storage),
            self._objects,
            self._heads,
            self.publisher,
            clock,
        )

        self._tips = DetachedTips(clock)
        self.upkeep = Upkeep(
            env,
            disk,
            self._storage,
            self._index,
            self._writer,
            sessions=self._sessions,
            tips=self._tips,
            objects=self._objects,
            clock=clock,
        )
        self.repacker = Repacker(
            env,
            self._storage,
            self._index,
            self._writer,
            objects=self._objects,
            heads=self._heads,
            maintenance=self.upkeep.maintenance,
        )

    @property
    def is_hdf5_readable(self) -> Callable[[os.PathLike[str]], bool]:
        """Tells whether h5py opens a segment that nobody writes."""
        return self._segments.hdf5.is_readable

    def in_flight(self) -> AbstractContextManager[None]:
        """Around work that finds or writes nodes and samples which a ref names when it is over:
        gc keeps them (hangard.repository.usage)."""
        return self._storage.usage.in_flight()

    # Sessions (hangard.repository.session_registry says what each does)

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
        """A new session on ``branch`` (default: HEAD's), from its head or from ``commit`` (b"":
        from no commit).

        Errors: as SessionRegistry.open.
        """
        self._check_open()
        return self._sessions.open(
            branch or self.head(),
            identity=identity,
            commit=commit,
            exclusive=exclusive,
            user=user,
            pid=pid,
        )

    def session(self, identity: str) -> Session:
        """Errors: UnknownSession; Closed after ``close``."""
        self._check_open()
        return self._sessions.get(identity)

    def sessions(self) -> list[SessionInfo]:
        """All sessions, the oldest first; those that nobody used for long are dropped first."""
        return self._sessions.infos()

    def close_session(self, identity: str, *, abort: bool) -> None:
        """Leave a session: one that holds changes stays and can be resumed, unless ``abort``."""
        self._check_open()
        self._sessions.leave(identity, abort=abort)

    def lease_session(self, identity: str) -> None:
        """Hold the exclusive lease again. Errors: UnknownSession, Busy (``exclusive-session``)."""
        self._check_open()
        self._sessions.lease(identity)

    def release_session(self, identity: str) -> None:
        """End an exclusive session's lease: it blocks nobody any more, and can be resumed."""
        self._sessions.release(identity)

    def leased_session(self) -> SessionInfo | None:
        """The session that holds the exclusive lease."""
        return self._sessions.leased()

    # Changes

    def prepare_rows(
        self,
        identity: str,
        column: str,
        blob: bytes,
        ends: Ends,
        dtype: str,
        shape: tuple[int, ...],
        rows: Rows,
    ) -> Prepared:
        """Hash, deduplicate and store a batch; see Session.prepare_rows."""
        session = self.session(identity)
        self._sessions.check_room(session)
        with self._storage.usage.in_flight():
            prepared = session.prepare_rows(self._batcher, column, blob, ends, dtype, shape, rows)
            self._storage.usage.hold(prepared)
        with self._lock:
            self._counts += prepared.counts
        if self._index.wants_checkpoint:
            self._make_checkpoint()
        return prepared

    def prepare_deletion(self, identity: str, column: str, blob: bytes, ends: Ends) -> Deletion:
        """Packed keys of a column to delete. Errors: Busy (``too-much-staged``)."""
        self._sessions.check_room(self.session(identity))
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
        if not request.message.strip() and not request.allow_empty_message:
            raise InvalidRequest("a commit needs a message", code="empty-message")
        session = self.session(identity)
        with session.committing:
            known = self.find_result(request.command_id)
            if known is not None:
                return known
            operation = self._commit_operation(request, session)
            if request.detached is None:
                self._sessions.check_lease(identity, session.branch)
            try:
                result: CommitResult = self._writer.run(operation, bulk=operation.is_bulk)
            except NothingStaged:
                # Samples that were lost may just have been put again: readers find them from now.
                if self._index.pending_count:
                    self._writer.run(MakeCheckpoint(), bulk=True)
                raise
            except Corrupt as error:
                if error.code == "commit-failed":
                    self._storage.fail(error)
                raise
            return result

    def _commit_operation(
        self, request: CommitRequest, session: Session
    ) -> CommitOperation | DetachedCommit:
        if request.detached is not None:
            return DetachedCommit(
                request, session, store=self._nodes, objects=self._objects, tips=self._tips
            )
        return CommitOperation(
            request, session, store=self._nodes, objects=self._objects, clock=self._clock
        )

    def expecting_commit(self) -> AbstractContextManager[None]:
        """While its block runs a commit is on its way: others may wait a moment to share its
        fsync."""
        return self._writer.expecting()

    def find_result(self, command: bytes) -> CommitResult | None:
        """What a commit command did, None if it was never carried out."""
        return self._objects.find_result(command)

    def merge(self, request: MergeRequest) -> MergeResult:
        """Merge, revert or cherry-pick. Errors: as Merger.carry_out; UnknownSession."""
        self._check_open()
        session = self.session(request.session) if request.session else None
        if session is not None:  # whose branch may have been renamed
            request = msgspec.structs.replace(request, branch=session.branch)
        with self.in_flight():
            return self._merging.carry_out(request, session)

    # Branches

    def head(self) -> str:
        """The branch that HEAD names."""
        return self.refs.head()

    def create_branch(self, name: str, commit: Digest | None = None) -> Digest:
        """As Refs.create_branch, and the digest."""
        self._check_open()
        return self.refs.create_branch(name, commit)

    def delete_branch(self, name: str, force: bool = False) -> Digest:
        """As Refs.delete_branch."""
        self._check_open()
        return self.refs.delete_branch(name, force=force)

    def move_branches(self, request: MoveBranches) -> None:
        """Put branches on commits that were imported; see hangard.repository.importing."""
        self._check_open()
        move_branches(
            request, publisher=self.publisher, objects=self._objects, heads=dict(self._heads)
        )

    def set_head(self, name: str) -> None:
        """Point HEAD at a branch. Errors: UnknownRevision."""
        self._check_open()
        self.refs.set_head(name)

    def set_config(self, values: Mapping[str, str | None]) -> dict[str, str]:
        """Make settings, or take them away; all there are then. Errors: InvalidRequest."""
        self._check_open()
        result: dict[str, str] = self._writer.run(SetConfig(values))
        return result

    # The whole

    def status(self) -> dict[str, Any]:
        """What the daemon's status shows of the repository; sizes in bytes.

        ``counts``: what was put since this life began, and how much of it was not there before.
        """
        with self._lock:
            counts = asdict(self._counts)
        return {
            "sessions": len(self._sessions),
            "staged_bytes": self._sessions.memory_bytes,
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
        self.repacker.close()
        self._sessions.close()
        self._merger.close()
        self._storage.retire_all()
        try:
            self._writer.run(MakeCheckpoint())
        except NoSpace as error:
            _log.warning("the repository was closed as it is: %s", error)
        finally:
            self._writer.close()
            self._nodes.close()
            self._merging.close()
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

    def _check_open(self) -> None:
        if self._closed:
            raise Closed("the repository is closed", code="repository-closed")
