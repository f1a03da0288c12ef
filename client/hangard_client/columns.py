"""Columns: mappings from keys to numpy arrays."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, TypeVar

from hangard.model.keys import Key
from hangard.reading.columns import part_of
from hangard_client.async_columns import (
    NO_DEFAULT,
    AsyncWriteColumn,
    ColumnFacts,
    ReadFacts,
    Samples,
)
from hangard_client.column_backends import BackendSpec, StagedBackendFacts
from hangard_client.new_keys import new_key
from hangard_client.reopening import refuse_pickling

T = TypeVar("T")
Array = Any  # one sample: an array, a str or bytes; many: an array (n, *shape) or a list
Run = Callable[[Coroutine[Any, Any, Any]], Any]

COMPLETIONS_MAX = 1000  # keys that tab completion offers


class Column(ReadFacts):
    """One column of a read checkout. Many threads may use it, and it can be pickled: another
    process, forked or spawned, opens it again at its first use."""

    def __getitem__(self, item: Any) -> Array:
        """``column[key]`` is a new array; ``column[key, 10:20]`` a part of it. Errors:
        UnknownKey."""
        return self._reader[item]

    def get(self, key: Any, default: Any = None) -> Any:
        """A new array, or ``default`` for a key that is not there."""
        found = self._reader.find(key)
        return default if found is None else found

    def read(self, key: Key) -> Array:
        """A new array. Errors: UnknownKey."""
        return self._reader.get(key)

    def get_many(self, keys: Iterable[Any], out: Array | None = None) -> Array:
        """Samples (n, *shape) in the order of the keys; a list with ``variable_shape``, which
        takes no ``out``. Errors: UnknownKey, InvalidRequest (``invalid-output``)."""
        return self._reader.get_packed(self._packed(keys), out)

    def find_many(self, keys: Iterable[Any], default: Any = None) -> list[Any]:
        """Samples in the order of the keys, ``default`` for each that is not there."""
        return self._find_many(keys, default)

    def view(self, key: Key) -> Array:
        """A read-only array over the mapped file. Errors: UnknownKey, InvalidRequest
        (``not-viewable``) for a sample stored compressed."""
        return self._reader.view(key)

    def contains(self, key: Any) -> bool:
        return key in self._reader

    def count(self) -> int:
        """How many samples there are."""
        return len(self._reader)

    def keys(self) -> Iterator[Key]:
        """In order: ints, then text."""
        return self._reader.keys()

    def values(self) -> Iterator[Array]:
        """Samples in the order of their keys."""
        return self._reader.values()

    def items(self) -> Iterator[tuple[Key, Array]]:
        """Keys and samples in the order of the keys, read ahead in batches."""
        return self._reader.items()

    def locations(self, keys: Iterable[Any] | None = None) -> Iterator[Any]:
        """Where samples lie on this machine (hangard.reading.columns.Location), ``purged`` if they
        were erased from all history."""
        return self._reader.locations(keys)

    def __contains__(self, key: Any) -> bool:
        return self.contains(key)

    def __len__(self) -> int:
        return self.count()

    def __iter__(self) -> Iterator[Key]:
        return self.keys()

    def _ipython_key_completions_(self) -> list[Key]:
        return list(islice(self.keys(), COMPLETIONS_MAX))


class WriteColumn(StagedBackendFacts, ColumnFacts):
    """One column of a write checkout. Many threads may use it.

    ``column[key] = array`` checks at once and sends later.
    """

    def __init__(self, inner: AsyncWriteColumn, run: Run) -> None:
        self._inner = inner
        self._run = run
        self._schema = inner.schema
        self._name = inner.name
        self._staging = inner._staging
        self._buffer = inner._buffer
        self._overlay = inner._overlay

    def __reduce__(self) -> tuple[Any, ...]:
        return refuse_pickling(self)

    def __getitem__(self, item: Any) -> Any:
        """As of a read checkout, with what this session has staged. Errors: UnknownKey."""
        if isinstance(item, tuple) and item:
            return part_of(self.read(item[0]), item[1:])
        return self.read(item)

    def get(self, key: Any, default: Any = None) -> Any:
        """A new array, or ``default`` for a key that is not there."""
        return self._run(self._inner.get(key, default))

    def read(self, key: Key) -> Array:
        """A new array. Errors: UnknownKey."""
        buffered = self._overlay.find_buffered(self._inner._encoded(key))
        if buffered is not None:
            return buffered
        if self._overlay.is_local:
            return self._overlay.base.get(key)
        return self._run(self._inner.read(key))

    def get_many(self, keys: Iterable[Any], out: Array | None = None) -> Array:
        """Samples (n, *shape) in the order of the keys; a list with ``variable_shape``, which
        takes no ``out``. Errors: UnknownKey, InvalidRequest (``invalid-output``)."""
        return self._run(self._inner.get_many(keys, out))

    def find_many(self, keys: Iterable[Any], default: Any = None) -> list[Any]:
        """Samples in the order of the keys, ``default`` for each that is not there."""
        return self._run(self._inner.find_many(keys, default))  # type: ignore[no-any-return]

    def contains(self, key: Any) -> bool:
        return self._run(self._inner.contains(key))  # type: ignore[no-any-return]

    def count(self) -> int:
        """How many samples there are."""
        return self._run(self._inner.count())  # type: ignore[no-any-return]

    def keys(self) -> Iterator[Key]:
        """In order: ints, then text."""
        return self._each(self._inner.keys())

    def values(self) -> Iterator[Array]:
        """Samples in the order of their keys."""
        return self._each(self._inner.values())

    def items(self) -> Iterator[tuple[Key, Array]]:
        """Keys and samples in the order of the keys, read ahead in batches."""
        return self._each(self._inner.items())

    def put(self, key: Key, value: Array) -> None:
        """Stage a sample; ``column[key] = value`` does the same.

        Errors: InvalidType, InvalidRequest; Closed; what failed of samples sent earlier.
        """
        if self._staging.put(self._buffer, key, value):
            self._wait_for_room()

    def put_many(self, keys: Iterable[Any], batch: Any) -> None:
        """Stage samples: ``batch`` is (n, *shape), or a sequence of arrays.

        When this returns they survive the end of this process. Errors: as ``put``.
        """
        checked = self._inner._checked(keys, batch)
        self._wait_for(self._staging.put_many(self._buffer, *checked))

    def append(self, value: Any) -> str:
        """Stage a sample under a new key, which is the result (hangard_client.new_keys). Errors: as
        ``put``."""
        key = new_key()
        self.put(key, value)
        return key

    def setdefault(self, key: Key, default: Any) -> Any:
        """The sample of a key, which becomes ``default`` if there is none. Errors: as ``put``."""
        return self._run(self._inner.setdefault(key, default))

    def update(self, other: Samples | None = None, /, **samples: Any) -> None:
        """Stage samples from a mapping or pairs, and by name. All are checked before any is
        staged; then as ``put_many``."""
        self.put_many(*self._inner._pairs_of(other, samples))

    def pop(self, key: Any, default: Any = NO_DEFAULT) -> Any:
        """A sample, whose deletion is staged. Errors: UnknownKey, unless there is a default."""
        return self._run(self._inner.pop(key, default))

    def delete(self, key: Any) -> None:
        """Stage the deletion of a sample. Errors: UnknownKey; as ``put``."""
        encoded = self._inner._encoded(key)
        if not self.contains(key):
            raise self._overlay.unknown(encoded)
        if self._staging.delete(self._buffer, encoded):
            self._wait_for_room()

    def change_backend(
        self,
        backend: BackendSpec = None,
        backend_options: Mapping[str, Any] | None = None,
        *,
        backend_opts: BackendSpec = None,
        **spec: Any,
    ) -> None:
        """Store later samples another way; those written before stay where they are.

        ``change_backend("hdf5")``, ``change_backend("00", {"complevel": 9})``,
        ``change_backend({"name": "hdf5", "complevel": 9})``, which ``backend_opts=`` takes as well,
        or its parts by name: ``change_backend(name="hdf5", complevel=9)``. A code or a name alone
        means that backend's defaults. On an error the old setting stays.
        Errors: InvalidRequest, InvalidType, naming the option and its legal values.
        """
        self._run(
            self._inner.change_backend(backend, backend_options, backend_opts=backend_opts, **spec)
        )

    def flush(self) -> None:
        """Wait until everything staged in the session survives a crash of the daemon."""
        self._run(self._inner.flush())

    def __setitem__(self, key: Any, value: Any) -> None:
        if self._staging.put(self._buffer, key, value):
            self._wait_for_room()

    def __delitem__(self, key: Any) -> None:
        self.delete(key)

    def __contains__(self, key: Any) -> bool:
        return self.contains(key)

    def __len__(self) -> int:
        return self.count()

    def __iter__(self) -> Iterator[Key]:
        return self.keys()

    def _ipython_key_completions_(self) -> list[Key]:
        return list(islice(self.keys(), COMPLETIONS_MAX))

    def _find_many(self, keys: Iterable[Any], default: Any) -> list[Any]:
        return self.find_many(keys, default)

    def _each(self, items: AsyncIterator[T]) -> Iterator[T]:
        """An asynchronous iterator from a thread, some items at a time."""
        while chunk := self._run(_take(items)):
            yield from chunk

    def _wait_for_room(self) -> None:
        while (post := self._staging.oldest_post()) is not None:
            post.result()

    def _wait_for(self, post: Any) -> None:
        if post is not None:
            post.result()
        self._staging.check()


CHUNK_ITEMS = 1024  # one hop to the loop for so many


async def _take(items: AsyncIterator[T]) -> list[T]:
    chunk: list[T] = []
    async for item in items:
        chunk.append(item)
        if len(chunk) >= CHUNK_ITEMS:
            break
    return chunk
