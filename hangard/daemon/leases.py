"""The exclusive lease: held by an open connection, ended with it or by force."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial

from aiohttp import web

from hangard.daemon.bodies import decode_message, read_body
from hangard.daemon.connection import Connection
from hangard.daemon.routes import MESSAGE_BYTES_MAX, answer_with
from hangard.daemon.service import Service
from hangard.errors import Busy, UnknownSession
from hangard.wire.leases import Lease, LeaseEnded, LeaseHolder
from hangard.wire.messages import Done
from hangard.wire.protocol import CONTENT_TYPE_MESSAGE

LEASE_S_MAX = 10.0  # an exclusive session that nobody holds a lease for is released after it
TAKEN_S_MAX = 5.0  # how long who took a lease waits until its holder has heard of it


class LeaseHandlers:
    """Each public method but ``expect`` and ``close_all`` answers one endpoint."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._gone: dict[str, asyncio.Event] = {}  # set when the holder's connection has ended
        self._over: dict[str, asyncio.Event] = {}  # set when another may hold the lease

    async def hold(self, request: web.BaseRequest) -> web.StreamResponse:
        """Hold an exclusive session: the answer's headers say that the lease is held, its body
        comes when it ends; when the connection is lost, so is the lease."""
        body, reservation = await read_body(request, self._service.memory, MESSAGE_BYTES_MAX)
        with reservation:
            session = decode_message(body, Lease).session
        repository, threads = self._service.repository, self._service.threads
        leases = self._service.leases
        if session in leases and leases[session].done():
            await self._over[session].wait()  # it is just being released
        if session in leases:
            raise Busy(f"session {session} has a lease already", code="session-leased")
        ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        leases[session] = ended
        gone = self._gone[session] = asyncio.Event()
        over = self._over[session] = asyncio.Event()
        try:
            await threads.control(repository.lease_session, session)
            self._stop_timer(session)
            connection = request.protocol
            assert isinstance(connection, Connection)
            connection.on_close(partial(_end, ended, gone))
            answer = web.StreamResponse()
            answer.content_type = CONTENT_TYPE_MESSAGE
            await answer.prepare(request)
            # A lease may last for days: the daemon is not busy because of it.
            self._service.suspend_request()
            try:
                how = await ended
            finally:
                self._service.resume_request()
            if how == "lost":
                self._detach(session)
            with contextlib.suppress(ConnectionError, TimeoutError):
                await answer.write(answer_with(LeaseEnded(taken=how == "taken")).body)  # type: ignore[arg-type]
                if how == "taken":
                    async with asyncio.timeout(TAKEN_S_MAX):
                        await gone.wait()  # its client closes the connection when it has heard
                await answer.write_eof()
            return answer
        finally:
            if leases.get(session) is ended:
                _end(ended, gone)
                await self._release(session)
                if leases.get(session) is ended:
                    del leases[session]
            over.set()
            if self._gone.get(session) is gone:
                del self._gone[session], self._over[session]

    async def holder(self, _: Done) -> LeaseHolder:
        """Who holds the lease."""
        found = await self._service.threads.control(self._service.repository.leased_session)
        return LeaseHolder(session=found)

    async def take(self, _: Done) -> LeaseHolder:
        """End the lease by force. Its holder is told, and refused from then on."""
        service = self._service
        found = await service.threads.control(service.repository.leased_session)
        if found is None:
            return LeaseHolder()
        with contextlib.suppress(UnknownSession):
            session = await service.threads.control(service.repository.session, found.id)
            # Streams that began before this are the old holder's.
            service.taken[found.id] = await service.threads.control(session.attach)
        gone = self._gone.get(found.id)
        await service.drop_pipeline(found.id, how="taken")
        await self._release(found.id)
        if gone is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TAKEN_S_MAX):
                    await gone.wait()
        service.events.write("lease-taken", session=found.id, pid=found.pid)
        return LeaseHolder(session=found)

    def expect(self, session: str) -> None:
        """A session was opened exclusively: its client is about to hold the lease."""
        loop = asyncio.get_running_loop()
        self._stop_timer(session)
        self._timers[session] = loop.call_later(LEASE_S_MAX, self._missing, session)

    async def close_all(self) -> None:
        for session in list(self._timers):
            self._stop_timer(session)
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _detach(self, session: str) -> None:
        """The client is gone without having left the session."""
        pipeline = self._service.pipelines.get(session)
        if pipeline is not None:
            pipeline.attached = max(0, pipeline.attached - 1)

    def _stop_timer(self, session: str) -> None:
        timer = self._timers.pop(session, None)
        if timer is not None:
            timer.cancel()

    def _missing(self, session: str) -> None:
        self._timers.pop(session, None)
        if session not in self._service.leases:
            task = asyncio.create_task(self._release(session))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _release(self, session: str) -> None:
        self._service.events.write("lease-ended", session=session)
        await self._service.threads.control(self._service.repository.release_session, session)


def _end(ended: asyncio.Future[str], gone: asyncio.Event) -> None:
    gone.set()
    if not ended.done():
        ended.set_result("lost")
