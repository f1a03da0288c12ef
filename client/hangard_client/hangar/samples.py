"""What flat columns, nested columns and the samples of nested columns have in common: a mapping of
keys."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from hangard.errors import Corrupt, InvalidRequest, UnknownKey
from hangard_client.hangar.errors import as_builtin, refusal
from hangard_client.hangar.scopes import Scope, WriteScope


class SampleReader:
    """Values by key. ``local`` changes nothing: all samples are local.

    Errors: UnknownKey (a KeyError); Corrupt (a RuntimeError, too); Closed (a PermissionError) after
    the checkout was closed.
    """

    _native: Any
    _scope: Scope

    def __init__(self, native: Any, scope: Scope) -> None:
        self._native = native
        self._scope = scope

    def __getitem__(self, key: Any) -> Any:
        self._scope.check()
        try:
            return self._given(self._read(key))
        except InvalidRequest as error:
            raise self._no_key(key, error) from error
        except Corrupt as error:
            raise as_builtin(error, RuntimeError) from error

    def get(self, key: Any, default: Any = None) -> Any:
        """A value, or ``default`` if there is none of this key."""
        try:
            return self[key]
        except KeyError:
            return default

    def __contains__(self, key: object) -> bool:
        self._scope.check()
        try:
            return key in self._native
        except InvalidRequest:
            return False

    def __len__(self) -> int:
        self._scope.check()
        return len(self._native)

    def __iter__(self) -> Iterator[Any]:
        return self.keys()

    def keys(self, local: bool = False) -> Iterator[Any]:
        """Ints in order, then text."""
        self._scope.check()
        return iter(self._native.keys())

    def values(self, local: bool = False) -> Iterator[Any]:
        """In the order of their keys."""
        return (value for _, value in self.items(local))

    def items(self, local: bool = False) -> Iterator[tuple[Any, Any]]:
        """Keys and values."""
        self._scope.check()
        return self._items()

    @property
    def iswriteable(self) -> bool:
        self._scope.check()
        return False

    @property
    def contains_remote_references(self) -> bool:
        """Whether samples lie on a server only: none does."""
        self._scope.check()
        return False

    @property
    def remote_reference_keys(self) -> tuple[Any, ...]:
        """Keys of the samples that lie on a server only."""
        self._scope.check()
        return ()

    def __setitem__(self, key: Any, value: Any) -> None:
        raise read_only()

    def __delitem__(self, key: Any) -> None:
        raise read_only()

    def __enter__(self) -> Any:
        self._scope.check()
        return self

    def __exit__(self, *_: object) -> None:
        self._scope.check()

    def __reduce__(self) -> tuple[Any, ...]:
        self._scope.check()
        return reopened, (type(self), self._native)

    def _read(self, key: Any) -> Any:
        return self._native[key]

    def _given(self, value: Any) -> Any:
        """A native value as Hangar's."""
        return value

    def _no_key(self, key: Any, error: InvalidRequest) -> Exception:
        """What is raised for something that cannot be a key."""
        return UnknownKey(f"there is no {key!r}: {error}")

    def _items(self) -> Iterator[tuple[Any, Any]]:
        items = iter(self._native.items())
        while True:
            self._scope.check()
            try:
                pair = next(items, None)
            except Corrupt as error:
                raise as_builtin(error, RuntimeError) from error
            if pair is None:
                return
            yield pair[0], self._given(pair[1])

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))

    def _ipython_key_completions_(self) -> list[Any]:
        return list(self._native._ipython_key_completions_())


class SampleWriter(SampleReader):
    """Values by key, to read and to write.

    Errors besides the reader's: InvalidRequest (a ValueError) for keys and samples that do not fit.
    """

    _is_writer = True
    _scope: WriteScope

    @property
    def iswriteable(self) -> bool:
        self._scope.check()
        return True

    def __delitem__(self, key: Any) -> None:
        self._scope.check()
        try:
            self._native.delete(key)
        except InvalidRequest as error:
            raise self._no_key(key, error) from error
        self._scope.written()

    def __enter__(self) -> Any:
        self._scope.enter()
        return self

    def __exit__(self, *_: object) -> None:
        self._scope.leave()

    def __reduce__(self) -> tuple[Any, ...]:
        raise not_picklable()


def pairs(other: Any, kwargs: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    """What ``update`` was given. Errors: InvalidRequest, a TypeError and a ValueError."""
    if isinstance(other, Mapping):
        yield from other.items()
    elif other is not None:
        for pair in _iterated(other):
            if not isinstance(pair, (tuple, list)) or len(pair) != 2:
                raise _no_mapping()
            yield pair[0], pair[1]
    yield from kwargs.items()


def _iterated(other: Any) -> Iterable[Any]:
    if isinstance(other, str | bytes) or not hasattr(other, "__iter__"):
        raise _no_mapping()
    given: Iterable[Any] = other
    return given


def _no_mapping() -> Exception:
    return refusal(TypeError, "give a mapping, or (key, value) pairs", "not-a-mapping")


def reopened(kind: Any, native: Any) -> Any:
    """What was pickled: it needs no checkout any more."""
    return kind(native, Scope())


def read_only() -> Exception:
    """What writing through a read checkout raises: an AttributeError, as in Hangar."""
    return refusal(AttributeError, "the checkout is read-only", "read-checkout")


def not_picklable() -> Exception:
    """What pickling a writer raises: a PermissionError."""
    return refusal(
        PermissionError, "objects of a write checkout are not pickled", "write-not-picklable"
    )
