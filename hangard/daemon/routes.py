"""From an HTTP request to a handler and back: the only part of the daemon that speaks HTTP.

A handler takes a message or a framed body and returns a message, or the parts of a framed one.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
from aiohttp import web

from hangard.daemon.applying import as_hangard_error
from hangard.daemon.bodies import decode_message, read_body
from hangard.daemon.connection import Connection
from hangard.daemon.memory import Memory, Reservation
from hangard.daemon.service import Service
from hangard.errors import HangardError, InvalidRequest, NotFound
from hangard.wire import protocol, status

MESSAGE_BYTES_MAX: Final = 2 * 1024 * 1024  # a body that is one message

Answer = web.StreamResponse
Route = Callable[[web.BaseRequest], Awaitable[Answer]]
MessageHandler = Callable[[Any], Awaitable[Any]]
FramesHandler = Callable[[memoryview, Reservation], Awaitable[Any]]


class Router:
    """Finds the route of a request, and answers errors."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._routes: dict[tuple[str, str], Route] = {}
        self._paths: set[str] = set()

    def add(self, method: str, path: str, route: Route) -> None:
        self._routes[method, path] = route
        self._paths.add(path)

    def message(
        self,
        path: str,
        message_type: Any,
        handler: MessageHandler,
        *,
        bytes_max: int = MESSAGE_BYTES_MAX,
    ) -> None:
        """A POST whose body is one message."""
        memory = self._service.memory

        async def route(request: web.BaseRequest) -> Answer:
            body, reservation = await read_body(request, memory, bytes_max)
            with reservation:
                message = decode_message(body, message_type)
            return answer_with(await handler(message))

        self.add("POST", path, route)

    def query(self, path: str, handler: Callable[[], Awaitable[Any]]) -> None:
        """A GET without arguments."""

        async def route(request: web.BaseRequest) -> Answer:
            return answer_with(await handler())

        self.add("GET", path, route)

    def frames(self, path: str, handler: FramesHandler, *, memory: Memory, bytes_max: int) -> None:
        """A POST with a framed body; the handler may keep its reservation beyond its answer."""

        async def route(request: web.BaseRequest) -> Answer:
            body, reservation = await read_body(request, memory, bytes_max)
            try:
                answer = await handler(body, reservation)
            except BaseException:
                reservation.release()
                raise
            return answer_with(answer)

        self.add("POST", path, route)

    async def handle(self, request: web.BaseRequest) -> Answer:
        """Answer one request; the server calls it."""
        connection = request.protocol
        assert isinstance(connection, Connection)
        connection.begin_request()
        try:
            return await self._answer(request)
        finally:
            connection.end_request()

    async def _answer(self, request: web.BaseRequest) -> Answer:
        try:
            self._service.begin_request()
            try:
                return await self._find(request)(request)
            finally:
                self._service.end_request()
        except asyncio.CancelledError:
            raise
        except HangardError as error:
            if error.code == "internal-error":
                self._log_bug(request, error)
            return answer_error(error)
        except ConnectionError as error:
            # The client went away; what of its request was accepted goes on.
            self._service.events.write("client-lost", path=request.path, error=error)
            return answer_error(InvalidRequest("the body was cut off", code="body-cut-off"))
        except Exception as error:
            self._log_bug(request, error)
            return answer_error(as_hangard_error(error))

    def _find(self, request: web.BaseRequest) -> Route:
        protocol.check_version(request.headers.get(protocol.HEADER_PROTOCOL), peer="client")
        route = self._routes.get((request.method, request.path))
        if route is not None:
            return route
        if request.path in self._paths:
            raise InvalidRequest(
                f"{request.path} cannot be asked with {request.method}", code="wrong-method"
            )
        raise NotFound(f"there is nothing at {request.path[:200]}", code="unknown-endpoint")

    def _log_bug(self, request: web.BaseRequest, error: BaseException) -> None:
        self._service.events.write(
            "internal-error",
            level="error",
            path=request.path,
            error=repr(error),
            trace="".join(traceback.format_exception(error)[-12:]),
        )


def answer_with(answer: Any) -> web.Response:
    """A message as msgpack, or the parts of a framed body."""
    if isinstance(answer, list):
        return web.Response(body=b"".join(answer), content_type=protocol.CONTENT_TYPE_FRAMES)
    body = msgspec.msgpack.encode(answer)
    return web.Response(body=body, content_type=protocol.CONTENT_TYPE_MESSAGE)


def answer_error(error: HangardError) -> web.Response:
    headers = {protocol.HEADER_ERROR: type(error).__name__, **status.headers_of(error)}
    return web.Response(
        status=status.status_of(error),
        body=status.encode_error(error),
        content_type=protocol.CONTENT_TYPE_MESSAGE,
        headers=headers,
    )
