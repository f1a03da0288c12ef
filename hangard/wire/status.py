"""HTTP statuses and error classes: the only module that knows both.

A client rebuilds an error from the ``ErrorMessage`` in the body, never from the status alone; the
status is for people and tools that look at the traffic.
"""

from __future__ import annotations

from typing import Final

import msgspec

from hangard.errors import (
    AlreadyExists,
    Busy,
    Closed,
    Conflict,
    Corrupt,
    HangardError,
    InvalidRequest,
    NoSpace,
    NotFound,
    PermissionDenied,
    Unavailable,
)
from hangard.wire.messages import ErrorMessage

OK: Final = 200
INTERNAL: Final = 500
RETRY_AFTER_S: Final = 1  # what a busy daemon suggests

# Looked up from the first: subclasses stand before their bases.
_STATUSES: Final[tuple[tuple[type[HangardError], int], ...]] = (
    (AlreadyExists, 409),
    (InvalidRequest, 400),
    (NotFound, 404),
    (Conflict, 409),
    (Closed, 410),
    (NoSpace, 507),
    (PermissionDenied, 403),
    (Unavailable, 503),
    (Corrupt, INTERNAL),
    (HangardError, INTERNAL),
)
_CODE_STATUSES: Final = {
    "body-too-large": 413,
    "header-too-large": 431,
    "body-timeout": 408,
    "unknown-endpoint": 404,
    "protocol-mismatch": 426,
    "session-limit": 503,
    "memory-limit": 503,
    "draining": 503,
}


def status_of(error: HangardError) -> int:
    """The HTTP status that goes with an error. A full queue is 429, other waits are 503."""
    if error.code in _CODE_STATUSES:
        return _CODE_STATUSES[error.code]
    if isinstance(error, Busy):
        return 429
    return next(status for cls, status in _STATUSES if isinstance(error, cls))


def headers_of(error: HangardError) -> dict[str, str]:
    """Headers that go with an error: Retry-After with Busy."""
    return {"Retry-After": str(RETRY_AFTER_S)} if isinstance(error, Busy) else {}


def encode_error(error: HangardError) -> bytes:
    """The body of an error answer."""
    return msgspec.msgpack.encode(ErrorMessage.of(error))


def decode_error(status: int, body: bytes) -> HangardError:
    """The error that an answer with this status and body stands for."""
    try:
        message = msgspec.msgpack.decode(body, type=ErrorMessage)
    except msgspec.DecodeError:
        return Unavailable(
            f"the peer answered with HTTP status {status} and no message: is it hangard?",
            code="unreadable-answer",
        )
    return message.rebuild()
