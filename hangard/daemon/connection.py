"""Connections: who may connect, how many, and how long a request's headers may take.

aiohttp has no deadline for headers; a client that sends them byte by byte would hold a connection
for ever.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Callable
from typing import Any

from aiohttp import web

from hangard.daemon.events import EventLog

HEADERS_S_MAX = 10.0
KEEPALIVE_S = 75.0
CONNECTIONS_MAX = 1024
HEADER_LINE_BYTES_MAX = 4096
HEADER_LINES_MAX = 64
READ_BUFFER_BYTES = 1 << 20  # aiohttp pauses reading above twice this
LINGERING_S = 2.0  # how long the rest of a refused body is read, so that the answer arrives

_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid (unix(7))


def peer_uid(peer: Any) -> int | None:
    """The user at the other end of a connected Unix socket, as the kernel knows it."""
    try:
        raw = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    except OSError:
        return None
    return int(_CREDENTIALS.unpack(raw)[1])


def may_connect(peer: Any) -> bool:
    """Only the daemon's own user and root may."""
    uid = peer_uid(peer)
    return uid is not None and uid in (os.geteuid(), 0)


class Connection(web.RequestHandler):
    """One connection, with a deadline for headers and callbacks for its end."""

    def __init__(self, server: Connections, **kwargs: Any) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), **kwargs)
        self._owner = server
        self._deadline: asyncio.TimerHandle | None = None
        self._busy = False
        self._on_close: list[Callable[[], None]] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if not self._owner.admit(transport):
            self._busy = True
            transport.close()
            return
        self._start_deadline()

    def data_received(self, data: bytes) -> None:
        if not self._busy and self._deadline is None:
            self._start_deadline()
        super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._cancel_deadline()
        super().connection_lost(exc)
        callbacks, self._on_close = self._on_close, []
        for callback in callbacks:
            callback()

    def begin_request(self) -> None:
        """A request's headers are here."""
        self._busy = True
        self._cancel_deadline()

    def end_request(self) -> None:
        self._busy = False

    def on_close(self, callback: Callable[[], None]) -> None:
        """Call back when the connection is lost; at once if it already is."""
        if self.transport is None:
            callback()
        else:
            self._on_close.append(callback)

    def _start_deadline(self) -> None:
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(self._owner.headers_s_max, self._headers_late)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _headers_late(self) -> None:
        self._deadline = None
        if not self._busy and self.transport is not None:
            self._owner.events.write("headers-late", level="warning")
            self.force_close()


class Connections(web.Server):
    """Makes a Connection for each client that the kernel hands over."""

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Any],
        events: EventLog,
        *,
        headers_s_max: float = HEADERS_S_MAX,
    ) -> None:
        super().__init__(handler)
        self.events = events
        self.headers_s_max = headers_s_max

    def admit(self, transport: asyncio.BaseTransport) -> bool:
        """Whether a new connection may stay."""
        if len(self.connections) > CONNECTIONS_MAX:
            self.events.write("connection-refused", level="warning", reason="too many")
            return False
        if not may_connect(transport.get_extra_info("socket")):
            self.events.write("connection-refused", level="warning", reason="another user")
            return False
        return True

    def __call__(self) -> web.RequestHandler:
        return Connection(
            self,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=KEEPALIVE_S,
            lingering_time=LINGERING_S,
            max_field_size=HEADER_LINE_BYTES_MAX,
            max_headers=HEADER_LINES_MAX,
            max_line_size=HEADER_LINE_BYTES_MAX,
            read_bufsize=READ_BUFFER_BYTES,
            tcp_keepalive=False,
        )
