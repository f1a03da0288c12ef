"""Handlers of sessions, branches and the daemon itself."""

from __future__ import annotations

import asyncio
import contextlib
import os
from functools import partial
from typing import Any

from aiohttp import web

from hangard import __version__
from hangard.daemon.bodies import decode_message, read_body
from hangard.daemon.connection import Connection
from hangard.daemon.routes import MESSAGE_BYTES_MAX, answer_with
from hangard.daemon.service import Service
from hangard.errors import Busy
from hangard.repository.session import Session
from hangard.wire import messages
from hangard.wire.protocol import CONTENT_TYPE_MESSAGE, PROTOCOL_VERSION

LEASE_S_MAX = 10.0  # an exclusive session that nobody holds a lease for is released after it


class SessionHandlers:
    """Each public method answers one endpoint."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def hello(self) -> messages.Hello:
        return messages.Hello(
            protocol=PROTOCOL_VERSION,
            version=__version__,
            pid=os.getpid(),
            epoch=self._service.epoch,
            path=str(self._service.repository.path),
        )

    async def status(self) -> dict[str, Any]:
        return await self._service.status()

    async def stop(self, _: messages.Done) -> messages.Done:
        """Answer, then drain and end."""
        self._service.stop_wanted.set()
        return messages.Done()

    async def sessions(self) -> messages.Sessions:
        found = await self._service.threads.control(self._service.repository.sessions)
        return messages.Sessions(sessions=tuple(found))

    async def open(self, request: messages.OpenSession) -> messages.SessionState:
        session = await self._service.threads.control(
            self._service.repository.open_session,
            request.branch,
            identity=request.name,
            commit=request.commit,
            exclusive=request.exclusive,
            user=request.user,
            pid=request.pid,
        )
        if request.exclusive:
            self._start_timer(session.id)
        self._service.events.write(
            "session-opened", session=session.id, branch=session.branch, peer=request.pid
        )
        return await self._service.attach(session)

    async def resume(self, request: messages.ResumeSession) -> messages.SessionState:
        repository = self._service.repository
        session = await self._service.threads.control(repository.session, request.session)
        return await self._service.attach(session, request.last_sequence)

    async def close(self, request: messages.CloseSession) -> messages.SessionLeft:
        """Leave a session; with ``abort`` drop what it staged, for all who share it.

        One that holds no staged changes ends with its last client; else it can be resumed.
        """
        repository, threads = self._service.repository, self._service.threads
        session = await threads.control(repository.session, request.session)
        pipeline = self._service.pipelines.get(request.session)
        if pipeline is not None and not request.abort:
            await pipeline.drain()
            pipeline.attached -= 1
            if pipeline.attached > 0:
                return messages.SessionLeft(staged=0)  # those who stay have it
        await self._service.drop_pipeline(request.session)
        left = await threads.control(_left, session)
        await threads.control(repository.close_session, request.session, abort=request.abort)
        self._service.events.write(
            "session-closed", session=session.id, abort=request.abort, staged=left.staged
        )
        return messages.SessionLeft(staged=0) if request.abort else left

    async def lease(self, request: web.BaseRequest) -> web.StreamResponse:
        """Hold an exclusive session: the answer's headers say that the lease is held, its body
        comes when the session ends; when the connection is lost, so is the lease."""
        body, reservation = await read_body(request, self._service.memory, MESSAGE_BYTES_MAX)
        with reservation:
            message = decode_message(body, messages.Lease)
        repository, threads = self._service.repository, self._service.threads
        await threads.control(repository.lease_session, message.session)
        if message.session in self._service.leases:
            raise Busy(f"session {message.session} has a lease already", code="session-leased")
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._service.leases[message.session] = ended
        self._stop_timer(message.session)
        connection = request.protocol
        assert isinstance(connection, Connection)
        connection.on_close(partial(_end, ended))
        try:
            answer = web.StreamResponse()
            answer.content_type = CONTENT_TYPE_MESSAGE
            await answer.prepare(request)
            # A lease may last for days: the daemon is not busy because of it.
            self._service.suspend_request()
            try:
                await ended
            finally:
                self._service.resume_request()
            with contextlib.suppress(ConnectionError):
                await answer.write(answer_with(messages.Done()).body)  # type: ignore[arg-type]
                await answer.write_eof()
            return answer
        finally:
            if self._service.leases.get(message.session) is ended:
                del self._service.leases[message.session]
            await self._release(message.session)

    async def create_branch(self, request: messages.CreateBranch) -> messages.Head:
        digest = await self._service.threads.control(
            self._service.repository.create_branch, request.name, request.commit
        )
        return messages.Head(branch=request.name, commit=digest or None)

    async def delete_branch(self, request: messages.DeleteBranch) -> messages.Head:
        digest = await self._service.threads.control(
            self._service.repository.delete_branch, request.name, force=request.force
        )
        return messages.Head(branch=request.name, commit=digest or None)

    async def set_head(self, request: messages.SetHead) -> messages.Head:
        await self._service.threads.control(self._service.repository.set_head, request.branch)
        return messages.Head(branch=request.branch)

    async def close_all(self) -> None:
        for session in list(self._timers):
            self._stop_timer(session)
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _start_timer(self, session: str) -> None:
        loop = asyncio.get_running_loop()
        self._timers[session] = loop.call_later(LEASE_S_MAX, self._lease_missing, session)

    def _stop_timer(self, session: str) -> None:
        timer = self._timers.pop(session, None)
        if timer is not None:
            timer.cancel()

    def _lease_missing(self, session: str) -> None:
        self._timers.pop(session, None)
        if session not in self._service.leases:
            task = asyncio.create_task(self._release(session))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _release(self, session: str) -> None:
        self._service.events.write("lease-ended", session=session)
        await self._service.threads.control(self._service.repository.release_session, session)


def _left(session: Session) -> messages.SessionLeft:
    # A session whose only change is a column's schema holds something, too.
    staged = session.staged_total
    return messages.SessionLeft(staged=max(staged, 1) if session.is_changed else 0)


def _end(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
