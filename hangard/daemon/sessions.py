"""Handlers of sessions and the daemon itself."""

from __future__ import annotations

import os
from typing import Any

import msgspec

from hangard import __version__
from hangard.daemon.leases import LeaseHandlers
from hangard.daemon.service import Service
from hangard.errors import Busy, InvalidRequest
from hangard.repository.session import Session
from hangard.repository.sessions import session_info
from hangard.wire import messages
from hangard.wire.protocol import PROTOCOL_VERSION


class SessionHandlers:
    """Each public method answers one endpoint."""

    def __init__(self, service: Service, leases: LeaseHandlers) -> None:
        self._service = service
        self._leases = leases

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
        return messages.Sessions(sessions=tuple(map(self._with_clients, found)))

    def _with_clients(self, info: messages.SessionInfo) -> messages.SessionInfo:
        pipeline = self._service.pipelines.get(info.id)
        clients = pipeline.attached if pipeline is not None else 0
        return msgspec.structs.replace(info, clients=clients)

    async def open(self, request: messages.OpenSession) -> messages.SessionState:
        session = await self._service.threads.control(
            self._service.repository.open_session,
            request.branch,
            identity=request.name,
            commit=b"" if request.orphan else request.commit,
            exclusive=request.exclusive,
            user=request.user,
            pid=request.pid,
        )
        if request.exclusive:
            self._leases.expect(session.id)
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
        if request.unattached and not request.abort:
            if pipeline is not None:
                await pipeline.drain()
            info = await threads.control(session_info, session)
            check_unused(info, pipeline.attached if pipeline is not None else 0)
        elif pipeline is not None and not request.abort:
            await pipeline.drain()
            pipeline.detach(request.last_sequence)
            await threads.control(session.forget_stream, request.last_sequence)
            if request.release:
                self._service.end_lease(request.session)
                await threads.control(repository.release_session, request.session)
            if pipeline.attached > 0:
                return messages.SessionLeft(staged=0)  # those who stay have it
        await self._service.drop_pipeline(request.session)
        left = await threads.control(_left, session)
        await threads.control(repository.close_session, request.session, abort=request.abort)
        if request.abort or not left.staged:
            self._service.taken.pop(request.session, None)  # the next one of this id is another
        self._service.events.write(
            "session-closed", session=session.id, abort=request.abort, staged=left.staged
        )
        return messages.SessionLeft(staged=0) if request.abort else left


def check_unused(info: messages.SessionInfo, clients: int) -> None:
    """Errors: Busy (``session-in-use``), InvalidRequest (``session-changed``)."""
    if clients > 0 and info.alive:
        raise Busy(
            f"process {info.pid} uses session {info.id}; let it close its checkout, or abort the"
            " session",
            code="session-in-use",
            session=info.id,
            pid=info.pid,
        )
    if info.staged:
        raise InvalidRequest(
            f"session {info.id} holds {info.staged} changes that are not committed: resume it and"
            " commit them, or abort it",
            code="session-changed",
            session=info.id,
        )


def _left(session: Session) -> messages.SessionLeft:
    # A session whose only change is a column's schema holds something, too.
    staged = session.staged_total
    return messages.SessionLeft(staged=max(staged, 1) if session.is_changed else 0)
