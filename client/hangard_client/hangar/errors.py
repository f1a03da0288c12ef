"""Errors that are of hangard's classes and of the builtin types that Hangar raises."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from hangard.errors import HangardError, InvalidRequest, NoRepository


def as_builtin(error: HangardError, builtin: type[Exception]) -> HangardError:
    """The same error, which ``except builtin`` catches, too."""
    if isinstance(error, builtin):
        return error
    return _combined((type(error), builtin))(error.message, code=error.code, **error.details)


@contextmanager
def raising(builtin: type[Exception], *kinds: type[HangardError]) -> Iterator[None]:
    """Within the block errors of these kinds are of type ``builtin``, too."""
    try:
        yield
    except kinds as error:
        translated = as_builtin(error, builtin)
        if translated is error:
            raise
        raise translated from error


def refusal(builtin: type[Exception], message: str, code: str) -> HangardError:
    """A call that is wrong now, as the builtin type that Hangar raises for it."""
    return as_builtin(InvalidRequest(message, code=code), builtin)


def not_initialised(path: object) -> HangardError:
    """What every member but ``init`` raises where no repository is: a RuntimeError."""
    return as_builtin(
        NoRepository(f"there is no repository in {path}; make one with repo.init(name, email)"),
        RuntimeError,
    )


@cache
def _combined(kinds: tuple[type[HangardError], type[Exception]]) -> type[HangardError]:
    return type(kinds[0].__name__, kinds, {"__module__": kinds[0].__module__})
