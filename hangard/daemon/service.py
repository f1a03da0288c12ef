"""What all handlers share: the repository, threads, memory, log, pipelines, and when to end."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from typing import Any

from hangard import __version__
from hangard.daemon.events import EventLog
from hangard.daemon.memory import Memory
from hangard.daemon.pipeline import Pipeline
from hangard.daemon.threads import Threads
from hangard.daemon.uploads import Uploads
from hangard.daemon.windows import Windows
from hangard.errors import Busy, Closed
from hangard.limits import MEMORY_BYTES_MAX, PIECE_BODY_BYTES_MAX
from hangard.reading.snapshot import RepositoryReader
from hangard.repository.repository import Repository
from hangard.repository.session import Session
from hangard.repository.sessions import session_info
from hangard.wire.messages import SchemaMessage, SessionState, StagedColumn
from hangard.wire.protocol import PROTOCOL_VERSION

# Bodies that carry pieces are counted apart: they must get through although the upload that they
# fill may have taken all of the other memory.
PIECES_BYTES_MAX = 4 * PIECE_BODY_BYTES_MAX


class Service:
    """One repository's daemon, without its sockets. Used on the event loop only."""

    def __init__(
        self, repository: Repository, events: EventLog, *, memory_bytes_max: int = MEMORY_BYTES_MAX
    ) -> None:
        self.repository = repository
        self.events = events
        self.threads = Threads()
        self.memory = Memory(memory_bytes_max)
        self.pieces_memory = Memory(PIECES_BYTES_MAX)
        self.uploads = Uploads(self.memory)
        self.windows = Windows(self.memory, events)
        self.pipelines: dict[str, Pipeline] = {}
        self.leases: dict[str, asyncio.Future[str]] = {}
        self.taken: dict[str, int] = {}  # sessions taken by force: up to which number of a stream
        self.stop_wanted = asyncio.Event()
        self.draining = False
        self._reader: RepositoryReader | None = None
        self._reader_lock = threading.Lock()
        self.quiet = asyncio.Event()  # set while no request runs
        self.quiet.set()
        self.requests_running = 0
        self.requests_total = 0
        self.used_s = time.monotonic()
        self._started_s = time.monotonic()

    @property
    def epoch(self) -> bytes:
        return self.repository.epoch

    @property
    def is_idle(self) -> bool:
        """Nothing runs, nothing is queued and nobody holds a lease."""
        queued = any(pipeline.queued for pipeline in self.pipelines.values())
        return not self.requests_running and not queued and not self.leases

    def begin_request(self) -> None:
        """Errors: Busy (``draining``) when the daemon is about to end."""
        if self.draining:
            raise Busy("the daemon is about to end; connect again", code="draining")
        self.requests_total += 1
        self.resume_request()

    def end_request(self) -> None:
        self.suspend_request()
        self.used_s = time.monotonic()

    def suspend_request(self) -> None:
        """A request that only waits (a lease) keeps nobody from thinking the daemon idle."""
        self.requests_running -= 1
        if not self.requests_running:
            self.quiet.set()

    def resume_request(self) -> None:
        self.requests_running += 1
        self.quiet.clear()

    async def find_pipeline(self, session: str) -> Pipeline:
        """The pipeline of a session that somebody attached to in this life of the daemon.

        Errors: UnknownSession; Closed (``unknown-stream``): resume the session.
        """
        pipeline = self.pipelines.get(session)
        if pipeline is not None:
            return pipeline
        await self.threads.control(self.repository.session, session)
        raise Closed(
            f"this client is not attached to session {session}; resume it", code="unknown-stream"
        )

    async def attach(self, session: Session, last_sequence: int = 0) -> SessionState:
        """Begin a stream for a client.

        Errors: Closed (``staged-changes-lost``) if ``last_sequence``, which the client knows to
        have been accepted, is not there any more.
        """
        pipeline = self.pipelines.get(session.id)
        if pipeline is None:
            pipeline = Pipeline(session.id, session, self.threads)
            self.pipelines[session.id] = pipeline
        await pipeline.drain()
        self.check_not_taken(session.id, last_sequence)
        first = await self.threads.control(_begin_stream, session, last_sequence)
        pipeline.attach(first, last_sequence)
        return await self.threads.control(self.describe, session, first)

    def describe(self, session: Session, next_sequence: int = 0) -> SessionState:
        """A session as a client sees it. In a thread: a commit may hold the session's lock."""
        staged = session.staged_columns()
        columns = {}
        for name, schema in session.columns().items():
            change = staged.get(name)
            columns[name] = StagedColumn(
                schema=SchemaMessage.of(schema),
                changed=change is not None and bool(change.total),
                reset=change is not None and change.reset,
            )
        return SessionState(
            info=session_info(session),
            epoch=self.epoch,
            next_sequence=next_sequence,
            columns=columns,
        )

    def describe_column(self, session: Session, name: str) -> StagedColumn | None:
        """One of a session's columns, None if it has no such (any more)."""
        found = session.describe_column(name)
        if found is None:
            return None
        schema, changed, reset = found
        return StagedColumn(schema=SchemaMessage.of(schema), changed=changed, reset=reset)

    def check_not_taken(self, session: str, last_sequence: int) -> None:
        """Errors: Closed (``lease-taken``) for a client whose exclusive lease was ended by force.

        ``last_sequence`` is of the client's stream; 0 of a client that begins one.
        """
        if 0 < last_sequence <= self.taken.get(session, 0):
            raise Closed(
                f"session {session} was taken from this client: it was to be held exclusively by"
                " another; open a new checkout",
                code="lease-taken",
                session=session,
            )

    def end_lease(self, session: str, how: str = "closed") -> None:
        """Let the request end that holds a session exclusively, if there is one."""
        lease = self.leases.pop(session, None)
        if lease is not None and not lease.done():
            lease.set_result(how)

    async def drop_pipeline(self, session: str, *, how: str = "closed") -> None:
        """Wait for what is queued, then forget the pipeline, its uploads and its lease."""
        pipeline = self.pipelines.pop(session, None)
        if pipeline is not None:
            await pipeline.close()
        self.uploads.drop_session(session)
        self.end_lease(session, how)

    async def when_idle(self, idle_s: float) -> None:
        """Return when nothing was asked for ``idle_s`` seconds."""
        while True:
            await self.quiet.wait()
            left_s = idle_s - (time.monotonic() - self.used_s)
            if left_s <= 0 and self.is_idle:
                return
            await asyncio.sleep(left_s if left_s > 0 else min(idle_s, 1.0))

    async def status(self) -> dict[str, Any]:
        """What ``hangard status`` shows of the daemon. Sizes in bytes, times in seconds."""
        core = await self.threads.control(self.repository.status)
        return {
            "pid": os.getpid(),
            "version": __version__,
            "protocol": PROTOCOL_VERSION,
            "epoch": self.epoch.hex(),
            "path": str(self.repository.path),
            "uptime_s": time.monotonic() - self._started_s,
            "requests_running": self.requests_running,
            "requests_total": self.requests_total,
            "memory_bytes": self.memory.used_bytes - self.memory.pinned_bytes,
            "windows_bytes": self.memory.pinned_bytes,
            "memory_bytes_max": self.memory.limit_bytes,
            "memory_waiting": self.memory.waiting,
            "windows": self.windows.count,
            "queues": {name: pipeline.queued for name, pipeline in self.pipelines.items()},
            "leases": sorted(self.leases),
            **core,
        }

    def reader(self) -> RepositoryReader:
        """The repository as clients read it, for those who cannot. Call in a thread."""
        with self._reader_lock:
            if self._reader is None:
                self._reader = RepositoryReader(self.repository.path)
            return self._reader

    async def close(self) -> None:
        """Apply everything that was accepted, then close the repository."""
        for session in list(self.pipelines):
            await self.drop_pipeline(session)
        if self._reader is not None:
            self._reader.close()
        await self.threads.control(self.repository.close)
        self.threads.close()


def _begin_stream(session: Session, last_sequence: int) -> int:
    """The first free number of a new stream.

    A skipped number is journaled at once: otherwise the stream of a client that has sent nothing
    yet would be given away again after a restart.
    """
    if last_sequence:
        session.check_contains(last_sequence)
    first = session.attach()
    session.skip(first)
    return first + 1
