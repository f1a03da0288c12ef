"""The one tree of errors. Class = what the caller should do; ``code`` = the exact cause.

::

    HangardError
    |- InvalidRequest (ValueError)      fix the call
    |  |- InvalidType (TypeError)
    |  |- NothingStaged (RuntimeError)
    |  `- AlreadyExists (LookupError)
    |- NotFound (LookupError)           what was named is not there
    |  |- UnknownKey (KeyError)
    |  |- UnknownColumn (KeyError)
    |  |- UnknownRevision (ValueError)
    |  |- UnknownSession (KeyError)
    |  |- Purged                       it was erased on purpose, and is in no file
    |  `- NoRepository (FileNotFoundError)
    |- Conflict                         re-read and retry, or name a strategy
    |  `- HeadMoved                     compute it again from the branch's new head
    |- Busy (TimeoutError)              wait and retry
    |- Closed (PermissionError)         open it again
    |- Corrupt (OSError)                stop and verify
    |- NoSpace (OSError)                free space and retry
    |- PermissionDenied (PermissionError)
    `- Unavailable (ConnectionError)    the daemon cannot be reached, or speaks another protocol

Codes are kebab-case, unique to one cause, and never change their meaning. Only
``hangard.wire.status`` knows HTTP
statuses; a client rebuilds the same class from class name, code, message and details.
"""

from __future__ import annotations

from typing import Any, Self

__all__ = [
    "AlreadyExists",
    "Busy",
    "Closed",
    "Conflict",
    "Corrupt",
    "HangardError",
    "HeadMoved",
    "InvalidRequest",
    "InvalidType",
    "NoRepository",
    "NoSpace",
    "NotFound",
    "NothingStaged",
    "PermissionDenied",
    "Purged",
    "Unavailable",
    "UnknownColumn",
    "UnknownKey",
    "UnknownRevision",
    "UnknownSession",
    "rebuild",
]


class HangardError(Exception):
    """Base of all errors of hangard.

    ``message`` says what to do, ``code`` names the cause, ``details`` holds plain values (str,
    int, bytes, lists and
    dicts of them) that survive the way from the daemon to the client.
    """

    default_code = "internal-error"

    def __init__(self, message: str, *, code: str | None = None, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.details = details

    def __str__(self) -> str:
        return self.message

    def again(self) -> Self:
        """The same error, to be raised once more: one that is kept would gather the tracebacks of
        all who met it."""
        return type(self)(self.message, code=self.code, **self.details)

    def __reduce__(self) -> tuple[Any, ...]:
        return (rebuild, (type(self).__name__, self.code, self.message, self.details))


class InvalidRequest(HangardError, ValueError):
    """The call itself is wrong: name, dtype, shape, option or order of calls."""

    default_code = "invalid-request"


class InvalidType(InvalidRequest, TypeError):
    """An argument has the wrong type."""

    default_code = "invalid-type"


class NothingStaged(InvalidRequest, RuntimeError):
    """A commit was asked for, but the session has no change against its base."""

    default_code = "nothing-staged"


class AlreadyExists(InvalidRequest, LookupError):
    """A name that was to be created is taken."""

    default_code = "already-exists"


class NotFound(HangardError, LookupError):
    """What was named does not exist."""

    default_code = "not-found"


class UnknownKey(NotFound, KeyError):
    """No sample under this key."""

    default_code = "unknown-key"


class UnknownColumn(NotFound, KeyError):
    """No column of this name."""

    default_code = "unknown-column"


class UnknownRevision(NotFound, ValueError):
    """No branch, tag or commit of this name."""

    default_code = "unknown-revision"


class UnknownSession(NotFound, KeyError):
    """No session with this id: never opened, aborted or expired."""

    default_code = "unknown-session"


class Purged(NotFound):
    """The sample was erased from all history; its key is still there."""

    default_code = "purged-sample"


class NoRepository(NotFound, FileNotFoundError):
    """There is no repository at this path or above it."""

    default_code = "no-repository"


class Conflict(HangardError):
    """Both sides changed the same keys since their common base; ``details["keys"]`` lists them."""

    default_code = "conflict"


class HeadMoved(Conflict):
    """A branch is not where the caller expected it; ``details["head"]`` is where it is now."""

    default_code = "head-moved"


class Busy(HangardError, TimeoutError):
    """A limit is reached or an exclusive session holds the branch; the same call may succeed
    later."""

    default_code = "busy"


class Closed(HangardError, PermissionError):
    """The checkout, session or client is closed, or a daemon's restart lost what was only
    buffered."""

    default_code = "closed"


class Corrupt(HangardError, OSError):
    """Stored bytes do not match their checksum or format."""

    default_code = "corrupt"


class NoSpace(HangardError, OSError):
    """The disk is full; nothing of the request was stored."""

    default_code = "no-space"


class PermissionDenied(HangardError, PermissionError):
    """The peer or the file mode does not allow it."""

    default_code = "permission-denied"


class Unavailable(HangardError, ConnectionError):
    """The daemon cannot be started or reached, or its protocol version differs."""

    default_code = "unavailable"


_BY_NAME: dict[str, type[HangardError]] = {
    cls.__name__: cls
    for cls in (
        HangardError,
        InvalidRequest,
        InvalidType,
        NothingStaged,
        AlreadyExists,
        NotFound,
        UnknownKey,
        UnknownColumn,
        UnknownRevision,
        UnknownSession,
        Purged,
        NoRepository,
        Conflict,
        HeadMoved,
        Busy,
        Closed,
        Corrupt,
        NoSpace,
        PermissionDenied,
        Unavailable,
    )
}


def rebuild(class_name: str, code: str, message: str, details: dict[str, Any]) -> HangardError:
    """The error that a daemon raised, made again in the client; an unknown class becomes
    HangardError."""
    return _BY_NAME.get(class_name, HangardError)(message, code=code, **details)
