"""The way to a repository's daemon: found or started, asked again when it went away."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

from hangard.errors import Busy, Closed, Unavailable
from hangard.wire import protocol, requests
from hangard.wire.endpoint import Endpoint
from hangard.wire.messages import Hello
from hangard.wire.requests import Request
from hangard_client import starting
from hangard_client.transport import UnixTransport
from hangard_client.windows import Windows

P = ParamSpec("P")
T = TypeVar("T")

ATTEMPTS_MAX = 5
BUSY_S_MAX = 60.0  # how long a busy daemon is asked again
WINDOWS_PAUSE_S = 10.0  # until windows are asked for again after there were none
BUSY_PAUSE_S = 0.02  # the first pause; it doubles up to a second


class Connection:
    """Requests to one repository's daemon. Belongs to the event loop it is used on.

    ``hello`` tells which daemon answers; its ``epoch`` changes when another took its place.
    """

    def __init__(
        self, repository: Path, *, idle_s: float = starting.IDLE_S, shared_memory: bool = True
    ) -> None:
        self.repository = repository
        self.hello: Hello | None = None
        self.endpoint: Endpoint | None = None
        self._idle_s = idle_s
        self._shared_memory = shared_memory
        self._windows: Windows | None = None
        self._ask_again_s = 0.0
        self._windows_of: UnixTransport | None = None
        self._transport: UnixTransport | None = None
        self._forgotten: list[UnixTransport] = []
        self._lock = asyncio.Lock()
        self._pid = os.getpid()
        self._closed = False

    async def send(self, request: Request[T]) -> T:
        """Send a request; a lost daemon is found or started again, a busy one asked again.

        Errors: those of the daemon; Unavailable; Busy after ``BUSY_S_MAX`` seconds; Closed.
        """
        pause_s, waited_s = BUSY_PAUSE_S, 0.0
        attempt = 0
        while True:
            transport = await self.connect()
            try:
                return await transport.send(request)
            except Unavailable as error:
                attempt += 1
                if error.code == "unreachable":
                    self._forget(transport)
                resend = request.idempotent or error.code == "unreachable"
                if error.code == "protocol-mismatch" or not resend or attempt >= ATTEMPTS_MAX:
                    raise
            except Busy as error:
                if error.code == "draining":
                    self._forget(transport)
                elif error.code not in _WORTH_WAITING or waited_s >= BUSY_S_MAX:
                    raise
            await asyncio.sleep(pause_s)
            waited_s += pause_s
            pause_s = min(2 * pause_s, 1.0)

    async def connect(self) -> UnixTransport:
        """A transport to the daemon, which is started if there is none."""
        self._check_open()
        if self._transport is not None:
            return self._transport
        async with self._lock:
            if self._transport is not None:
                return self._transport
            for attempt in range(ATTEMPTS_MAX):
                endpoint = await in_thread(
                    starting.find_or_start, self.repository, idle_s=self._idle_s
                )
                transport = UnixTransport(endpoint.socket)
                try:
                    hello = await transport.send(requests.hello())
                    protocol.check_version(str(hello.protocol), peer="daemon")
                except BaseException as error:
                    await transport.close()
                    lost = isinstance(error, Unavailable) and error.code != "protocol-mismatch"
                    ending = isinstance(error, Busy) and error.code == "draining"
                    if not (lost or ending) or attempt == ATTEMPTS_MAX - 1:
                        raise
                    await asyncio.sleep(BUSY_PAUSE_S * (attempt + 1))
                    continue
                self.hello, self.endpoint, self._transport = hello, endpoint, transport
                return transport
        raise Unavailable("no daemon answered", code="unreachable")

    async def windows(self) -> Windows | None:
        """Shared memory to this daemon; None if there is none to be had."""
        transport = await self.connect()
        refused = self._windows is None and time.monotonic() > self._ask_again_s
        if self._windows_of is not transport or refused:
            self.drop_windows()
            self._windows_of = transport
            self._ask_again_s = time.monotonic() + WINDOWS_PAUSE_S
            if self._shared_memory and self.endpoint is not None and self.endpoint.windows_socket:
                with contextlib.suppress(Unavailable):
                    path = self.endpoint.windows_socket
                    self._windows = await _opened(path)
        return self._windows

    def drop_windows(self) -> None:
        """Give the windows back; others are asked for when they are needed."""
        windows, self._windows, self._windows_of = self._windows, None, None
        if windows is not None:
            windows.close()

    async def close(self) -> None:
        """Close the connections; the daemon goes on."""
        self._closed = True
        self.drop_windows()
        if self._transport is not None:
            self._forget(self._transport)
        while self._forgotten:
            await self._forgotten.pop().close()

    def _forget(self, transport: UnixTransport) -> None:
        # Not closed yet: an answer may still be on its way to somebody else.
        if self._transport is transport:
            self._transport = None
            self._forgotten.append(transport)

    def _check_open(self) -> None:
        if self._closed:
            raise Closed("the repository object is closed; open it again", code="client-closed")
        if os.getpid() != self._pid:
            raise Closed(
                "this repository was opened before a fork; open it again in this process",
                code="forked",
            )


async def _opened(path: str) -> Windows:
    """Windows; a caller that is cancelled meanwhile leaves none behind. Errors: as Windows."""
    opening = asyncio.ensure_future(in_thread(Windows, path))
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(_close_unwanted)
        raise


def _close_unwanted(opening: asyncio.Future[Windows]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()


_WORTH_WAITING = frozenset({"queue-full", "memory-limit", "upload-limit", "busy"})


async def in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run what blocks in a thread; at the interpreter's end, when no thread can be had, here."""
    if threading.main_thread().is_alive():
        return await asyncio.to_thread(work, *args, **kwargs)
    return work(*args, **kwargs)
