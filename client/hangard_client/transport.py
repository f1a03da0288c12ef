"""Requests over the daemon's Unix socket. A transport has one method, so that tests can swap it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import weakref
from collections.abc import Coroutine, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from hangard.errors import Unavailable
from hangard.wire import protocol
from hangard.wire.frames import Buffer
from hangard.wire.requests import Request
from hangard.wire.status import OK, decode_error

if TYPE_CHECKING:
    import aiohttp

T = TypeVar("T")

CONNECTIONS_MAX = 8
KEEPALIVE_S = 30.0  # below the daemon's, so that the daemon seldom closes what is about to be used
WRITE_BYTES = 256 * 1024  # written at once; more would be copied and moved in the loop's buffer


class Transport(Protocol):
    """Sends a request and gives the parsed answer, or raises the error that the daemon raised."""

    async def send(self, request: Request[T]) -> T: ...


class UnixTransport:
    """Over a Unix socket, with aiohttp. Belongs to the event loop it is first used on.

    Errors: Unavailable (``unreachable``: it was not sent; ``connection-lost``, ``no-answer``: it
    may have been carried out).
    """

    def __init__(self, socket_path: str) -> None:
        self._socket_path = socket_path
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = os.getpid()
        self._held: set[int] = set()
        _living.add(self)

    def __del__(self) -> None:
        """Close what nobody closed, where it belongs: aiohttp would complain to the user."""
        session, loop = self._session, self._loop
        if session is None or loop is None or os.getpid() != self._pid:
            return
        with contextlib.suppress(RuntimeError):
            if loop.is_closed() or asyncio._get_running_loop() is loop:
                _begin(session.close())
            else:
                loop.call_soon_threadsafe(lambda: _begin(session.close()))

    async def send(self, request: Request[T]) -> T:
        import aiohttp

        try:
            async with self._open().request(
                request.method,
                f"http://hangard{request.path}",
                data=_payload(request.body, request.content_type),
                timeout=aiohttp.ClientTimeout(total=request.timeout_s or None),
            ) as response:
                body = await response.read()
                status = response.status
        except (aiohttp.ClientConnectorError, aiohttp.ClientConnectorDNSError) as error:
            raise Unavailable(f"no daemon listens: {error}", code="unreachable") from error
        except TimeoutError as error:
            raise Unavailable(
                f"the daemon did not answer within {request.timeout_s:g} s", code="no-answer"
            ) from error
        except (aiohttp.ClientError, ConnectionError) as error:
            raise Unavailable(
                f"the connection to the daemon was lost: {error}", code="connection-lost"
            ) from error
        if status != OK:
            raise decode_error(status, body)
        return request.parse(body)

    async def hold(self, request: Request[T], held: asyncio.Event) -> T:
        """Send a request whose answer lasts: ``held`` is set when its headers are here.

        Returns its body, some bytes, when that comes. Errors: as ``send``.
        """
        import aiohttp

        try:
            async with self._open().request(
                request.method,
                f"http://hangard{request.path}",
                data=_payload(request.body, request.content_type),
                timeout=aiohttp.ClientTimeout(total=None),
            ) as response:
                if response.status != OK:
                    raise decode_error(response.status, await response.read())
                held.set()
                # Not to its end: that the connection is closed tells that the answer was heard.
                with self._not_in_children(response):
                    body = await response.content.readany()
        except (aiohttp.ClientError, ConnectionError) as error:
            raise Unavailable(
                f"the connection to the daemon was lost: {error}", code="connection-lost"
            ) from error
        if not body:
            raise Unavailable("the daemon ended", code="connection-lost")
        return request.parse(body)

    @contextlib.contextmanager
    def _not_in_children(self, response: aiohttp.ClientResponse) -> Iterator[None]:
        """A forked child that lived longer would hold the lease on its parent's behalf."""
        connection = response.connection
        assert connection is not None
        assert connection.transport is not None
        descriptor = connection.transport.get_extra_info("socket").fileno()
        self._held.add(descriptor)
        try:
            yield
        finally:
            self._held.discard(descriptor)

    def _after_fork(self) -> None:
        if not self._held:
            return
        # In its place, since the child's copy of the event loop may still close the number.
        nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        while self._held:
            os.dup2(nothing, self._held.pop(), inheritable=False)
        os.close(nothing)

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            import aiohttp

            self._loop = asyncio.get_running_loop()
            self._session = aiohttp.ClientSession(
                connector=aiohttp.UnixConnector(
                    self._socket_path, limit=CONNECTIONS_MAX, keepalive_timeout=KEEPALIVE_S
                ),
                headers={protocol.HEADER_PROTOCOL: str(protocol.PROTOCOL_VERSION)},
                skip_auto_headers=("User-Agent", "Accept-Encoding", "Accept"),
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session


_living: weakref.WeakSet[UnixTransport] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for transport in list(_living):
        transport._after_fork()


os.register_at_fork(after_in_child=_after_fork_in_child)


def _begin(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine up to its first wait: a session's closes its sockets before it."""
    with contextlib.suppress(StopIteration):
        work.send(None)
    work.close()


def _payload(parts: Sequence[Buffer], content_type: str) -> Any:
    """The body: small ones as bytes, large ones written part by part without joining them."""
    import aiohttp

    size = sum(memoryview(part).nbytes for part in parts)
    if not parts:
        return None
    if size <= WRITE_BYTES:
        return aiohttp.BytesPayload(b"".join(parts), content_type=content_type)

    class Parts(aiohttp.Payload):
        _size = size

        async def write(self, writer: Any) -> None:
            for part in parts:
                view = memoryview(part)
                for start in range(0, len(view), WRITE_BYTES):
                    await writer.write(view[start : start + WRITE_BYTES])

        async def write_with_length(self, writer: Any, content_length: int | None) -> None:
            await self.write(writer)

        def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
            raise TypeError("a binary body has no text")

    return Parts(parts, content_type=content_type)
