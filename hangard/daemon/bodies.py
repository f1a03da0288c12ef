"""Reading a request's body: bounded, counted, against a deadline.

``client_max_size`` of aiohttp does not bind streamed reads, and it has no deadline for bodies.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import numpy as np
from aiohttp import web

from hangard.daemon.memory import Memory, Reservation
from hangard.errors import InvalidRequest

BODY_S_MAX = 60.0  # for a whole body; 64 MiB at 1 MiB/s


def declared_length(request: web.BaseRequest, bytes_max: int) -> int:
    """The body's length in bytes, checked before a byte of it is read.

    Errors: InvalidRequest (``length-required``, ``body-too-large``, ``body-encoded``).
    """
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise InvalidRequest("bodies must not be compressed", code="body-encoded")
    length = request.content_length
    if length is None:
        if not request.body_exists:
            return 0
        raise InvalidRequest("a request needs a Content-Length", code="length-required")
    if length > bytes_max:
        raise InvalidRequest(
            f"a body of {length} bytes; at most {bytes_max} are possible here",
            code="body-too-large",
            bytes_max=bytes_max,
        )
    return length


async def read_body(
    request: web.BaseRequest, memory: Memory, bytes_max: int, *, deadline_s: float = BODY_S_MAX
) -> tuple[memoryview, Reservation]:
    """The body, and its share of the memory, which the caller releases.

    Errors: InvalidRequest (those of ``declared_length``; ``body-cut-off``, ``body-timeout``), Busy.
    """
    length = declared_length(request, bytes_max)
    reservation = await memory.reserve(length)
    try:
        body = new_buffer(length)
        position = 0
        async with asyncio.timeout(deadline_s):
            while position < length:
                piece = await request.content.readany()
                if not piece or position + len(piece) > length:
                    break
                body[position : position + len(piece)] = piece
                position += len(piece)
    except TimeoutError:
        reservation.release()
        raise InvalidRequest(
            f"the body did not arrive within {deadline_s:g} s", code="body-timeout"
        ) from None
    except BaseException:
        reservation.release()
        raise
    if position != length:
        reservation.release()
        raise InvalidRequest(
            f"the body ends after {position} of {length} bytes", code="body-cut-off"
        )
    return body, reservation


def new_buffer(size_bytes: int) -> memoryview:
    """Private memory of so many bytes; an array's is not cleared first."""
    return np.empty(size_bytes, np.uint8).data


def decode_message(body: bytes | memoryview, message_type: Any) -> Any:
    """A msgpack body as a struct.

    Errors: InvalidRequest (``invalid-message``).
    """
    try:
        return msgspec.msgpack.decode(body, type=message_type)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(
            f"the body is no valid message: {error}", code="invalid-message"
        ) from error
