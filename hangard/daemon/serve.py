"""Serve one repository until told to stop: sockets, signals, drain."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from hangard import __version__
from hangard.daemon import place
from hangard.daemon.allocator import keep_freed_memory
from hangard.daemon.changes import ChangeHandlers
from hangard.daemon.configuration import ConfigurationHandlers
from hangard.daemon.connection import Connections
from hangard.daemon.events import EventHandler, EventLog
from hangard.daemon.importing import ImportHandlers
from hangard.daemon.leases import LeaseHandlers
from hangard.daemon.lookups import LookupHandlers
from hangard.daemon.maintenance import MaintenanceHandlers
from hangard.daemon.merging import MergeHandlers
from hangard.daemon.reads import ReadHandlers
from hangard.daemon.refs import RefHandlers
from hangard.daemon.routes import Router
from hangard.daemon.service import Service
from hangard.daemon.sessions import SessionHandlers
from hangard.errors import HangardError
from hangard.limits import (
    MEMORY_BYTES_MAX,
    PIECE_BODY_BYTES_MAX,
    REQUEST_BODY_BYTES_MAX,
)
from hangard.repository.repository import Repository
from hangard.wire import (
    configuration,
    integrity,
    maintenance,
    merging,
    messages,
    protocol,
    refs,
)
from hangard.wire.endpoint import Endpoint
from hangard.wire.importing import BRANCHES_MOVE, MoveBranches
from hangard.wire.leases import LEASE_HOLDER, LEASE_TAKE

DRAIN_S_MAX = 30.0  # for requests that run when the daemon is told to stop
HOUSEKEEPING_S = 60.0


async def serve(
    path: str | Path,
    *,
    events: EventLog | None = None,
    idle_s: float | None = None,
    memory_bytes_max: int = MEMORY_BYTES_MAX,
    on_ready: Callable[[Endpoint], None] | None = None,
    catch_signals: bool = True,
    config: Mapping[str, str] | None = None,
) -> None:
    """Serve the repository at ``path`` until a stop request, SIGTERM, SIGINT or idleness.

    ``idle_s``    end when nothing was asked for so many seconds; None: never
    ``config``    settings of the daemon, the last that count (hangard.config)
    ``on_ready``  called with the endpoint once requests can come

    Errors: NoRepository, Busy (``repository-locked``) if another daemon serves it, Corrupt,
    PermissionDenied.
    """
    keep_freed_memory()
    log = events or EventLog()
    root = await asyncio.to_thread(Path(path).resolve)
    handler = EventHandler(log)
    logging.getLogger().addHandler(handler)
    try:
        # What recovery has to tell goes to the log, too.
        repository = await asyncio.to_thread(Repository.open, root)
        service = Service(repository, log, memory_bytes_max=memory_bytes_max)
        await _serve(service, root, idle_s, on_ready, catch_signals, dict(config or {}))
    finally:
        logging.getLogger().removeHandler(handler)
        if events is None:
            log.close()


async def _serve(
    service: Service,
    root: Path,
    idle_s: float | None,
    on_ready: Callable[[Endpoint], None] | None,
    catch_signals: bool,
    config: dict[str, str],
) -> None:
    loop = asyncio.get_running_loop()
    router, leases = build_router(service)
    connections = Connections(router.handle, service.events)
    sockets = place.socket_paths(root)
    listener = place.bind(sockets[0])
    server = await loop.create_unix_server(connections, sock=listener)
    endpoint = Endpoint(
        protocol=protocol.PROTOCOL_VERSION,
        socket=str(sockets[0]),
        windows_socket=str(sockets[1]),
        pid=os.getpid(),
        epoch=service.epoch.hex(),
        version=__version__,
        config=config,
    )
    signals = _catch_signals(service) if catch_signals else ()
    windows = place.bind(sockets[1])
    tasks = [
        asyncio.create_task(_keep_house(service)),
        asyncio.create_task(service.windows.serve(windows)),
    ]
    if idle_s is not None:
        tasks.append(asyncio.create_task(_stop_when_idle(service, idle_s)))
    try:
        place.write_endpoint(root, endpoint)
        service.events.write("ready", pid=endpoint.pid, path=root, socket=endpoint.socket)
        if on_ready is not None:
            on_ready(endpoint)
        await service.stop_wanted.wait()
    finally:
        service.events.write("stopping", requests=service.requests_running)
        place.remove_endpoint(root)
        server.close()
        service.draining = True
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for session in list(service.leases):
            service.end_lease(session)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S_MAX):
                await service.quiet.wait()
        connections.pre_shutdown()
        await connections.shutdown(DRAIN_S_MAX)
        await service.windows.close()
        windows.close()
        await leases.close_all()
        try:
            await service.close()
        finally:
            for path in sockets:
                path.unlink(missing_ok=True)
        for number in signals:
            loop.remove_signal_handler(number)
        service.events.write("stopped", pid=endpoint.pid)


def build_router(service: Service) -> tuple[Router, LeaseHandlers]:
    """All endpoints of the protocol."""
    router = Router(service)
    leases = LeaseHandlers(service)
    sessions = SessionHandlers(service, leases)
    changes = ChangeHandlers(service)
    lookups = LookupHandlers(service)
    reads = ReadHandlers(service)
    settings = ConfigurationHandlers(service)
    upkeep = MaintenanceHandlers(service)
    merges = MergeHandlers(service)
    named = RefHandlers(service)
    upkeep = MaintenanceHandlers(service)
    frames = partial(router.frames, memory=service.memory, bytes_max=REQUEST_BODY_BYTES_MAX)

    router.query(protocol.HELLO, sessions.hello)
    router.query(protocol.STATUS, sessions.status)
    router.query(protocol.SESSIONS, sessions.sessions)
    router.message(protocol.STOP, messages.Done, sessions.stop)
    router.message(protocol.SESSION_OPEN, messages.OpenSession, sessions.open)
    router.message(protocol.SESSION_RESUME, messages.ResumeSession, sessions.resume)
    router.message(protocol.SESSION_CLOSE, messages.CloseSession, sessions.close)
    router.add("POST", protocol.SESSION_LEASE, leases.hold)
    router.message(LEASE_HOLDER, messages.Done, leases.holder)
    router.message(LEASE_TAKE, messages.Done, leases.take)
    router.message(protocol.COLUMNS, messages.ColumnRequest, changes.column)
    router.message(
        merging.MERGE, merging.MergeRequest, merges.merge, bytes_max=REQUEST_BODY_BYTES_MAX
    )
    router.query(maintenance.MAINTENANCE, upkeep.stage)
    router.message(maintenance.REPACK, maintenance.RepackRequest, upkeep.repack)
    router.message(integrity.GC, integrity.GcRequest, upkeep.gc)
    router.message(integrity.PURGE, integrity.PurgeRequest, upkeep.purge)
    router.message(integrity.PURGE_UNDO, integrity.PurgeRequest, upkeep.undo_purge)
    router.message(configuration.CONFIG, configuration.SetConfig, settings.set)
    router.message(protocol.FLUSH, messages.FlushRequest, changes.flush)
    frames(protocol.CHANGES, changes.change)
    frames(protocol.COMMIT, changes.commit)
    router.frames(
        protocol.PIECES,
        changes.piece,
        memory=service.pieces_memory,
        bytes_max=PIECE_BODY_BYTES_MAX,
    )
    frames(protocol.STAGED, lookups.staged)
    router.message(protocol.STAGED_KEYS, messages.StagedKeysRequest, lookups.staged_keys)
    router.message(protocol.TREE, messages.OpenTree, reads.tree)
    router.message(protocol.NODE, messages.NodeRequest, reads.node)
    frames(protocol.SAMPLES, reads.samples)
    router.message(protocol.BRANCH_CREATE, refs.CreateBranch, named.create_branch)
    router.message(protocol.BRANCH_DELETE, refs.DeleteBranch, named.delete_branch)
    router.message(protocol.BRANCH_RENAME, refs.RenameBranch, named.rename_branch)
    router.message(protocol.BRANCH_RESET, refs.ResetBranch, named.reset_branch)
    router.message(protocol.SESSION_RESET, refs.ResetSession, named.reset_session)
    router.message(protocol.HEAD, refs.SetHead, named.set_head)
    router.message(protocol.TAG_CREATE, refs.CreateTag, named.create_tag)
    router.message(protocol.TAG_DELETE, refs.DeleteTag, named.delete_tag)
    router.message(BRANCHES_MOVE, MoveBranches, ImportHandlers(service).move_branches)
    return router, leases


def _catch_signals(service: Service) -> tuple[signal.Signals, ...]:
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGTERM, signal.SIGINT)
    for number in numbers:
        loop.add_signal_handler(number, service.stop_wanted.set)
    return numbers


async def _stop_when_idle(service: Service, idle_s: float) -> None:
    await service.when_idle(idle_s)
    service.events.write("idle", idle_s=idle_s)
    service.stop_wanted.set()


async def _keep_house(service: Service) -> None:
    """Every minute: let the repository drop sessions that nobody used for long, and forget what
    belonged to them, and uploads that nobody goes on with."""
    while True:
        served = set(service.pipelines)  # before the sessions are listed: one may just be opened
        try:
            found = await service.threads.control(service.repository.sessions)
            for session in served - {info.id for info in found}:
                service.events.write("session-expired", session=session)
                await service.drop_pipeline(session)
        except HangardError as error:
            service.events.write("housekeeping-failed", level="warning", error=error)
        service.uploads.drop_idle()
        await asyncio.sleep(HOUSEKEEPING_S)
