"""Columns for asyncio. What reads local files does so at once; the rest is awaited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from hangard.errors import InvalidType, UnknownKey
from hangard.model.keys import Key, PackedKeys, encode_key, encode_keys
from hangard.model.ragged import RaggedRows
from hangard.model.schema import Schema
from hangard.reading.columns import ColumnReader, part_of
from hangard_client.buffers import ColumnBuffer
from hangard_client.column_backends import AsyncBackendChange, BackendFacts
from hangard_client.new_keys import new_key
from hangard_client.overlay import Overlay
from hangard_client.ragged_buffers import checked_batch
from hangard_client.reopening import Origin, Unopened, open_origin, refuse_pickling
from hangard_client.staging import Staging

Array = Any  # one sample: an array, a str or bytes; many: an array (n, *shape) or a list

Samples = Mapping[Any, Any] | Iterable[tuple[Any, Any]]

NO_DEFAULT: Any = object()
BATCH_ROWS = 1024  # samples that iteration over a write checkout reads at once


class ColumnFacts(BackendFacts):
    """What all columns tell about themselves, also after their checkout was closed."""

    _schema: Schema
    _name: str

    @property
    def name(self) -> str:
        return self._name

    @property
    def contains_subsamples(self) -> bool:
        """Whether it is a nested column: its keys are pairs (sample, subsample)."""
        return self.schema.layout == "nested"

    @property
    def kind(self) -> str:
        """What its samples are: ``ndarray``, ``str`` or ``bytes``."""
        return self.schema.kind

    @property
    def variable_shape(self) -> bool:
        """Whether its samples differ in shape; those of kind str and bytes always may."""
        return self.schema.variable_shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of text and bytes: uint8."""
        return self._schema.numpy_dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of every sample; with ``variable_shape`` the bound of each dimension."""
        return self._schema.shape

    def __array__(self, *_: Any, **__: Any) -> npt.NDArray[Any]:
        """Refused: numpy would take the keys for the samples. Errors: InvalidType."""
        raise InvalidType(
            f"column {self.name!r} is no array; column.get_many(keys) stacks samples into one",
            code="column-is-no-array",
        )

    def __repr__(self) -> str:
        what = f"{self.dtype} {self.shape}" if self.kind == "ndarray" else self.kind
        if self.variable_shape and self.kind == "ndarray":
            what = f"{self.dtype} up to {self.shape}"
        return f"<{type(self).__name__} {self.name!r}: {what}, backend {self.backend}>"


class ReadFacts(ColumnFacts, Unopened):
    """A column of a read checkout: it can be pickled, and opens itself elsewhere."""

    def __init__(self, reader: ColumnReader, origin: Origin | None = None) -> None:
        self._reader = reader
        self._origin = origin
        self._schema = reader.schema
        self._name = reader.name

    def _packed(self, keys: Any) -> PackedKeys:
        return encode_keys(keys, False)

    def _find_many(self, keys: Iterable[Any], default: Any) -> list[Any]:
        return self._reader.find_packed(self._packed(keys), default)

    def _pickled(self) -> tuple[Any, ...]:
        if self._origin is None:
            return super()._pickled()
        self._reader.check_open()
        return str(self._origin.path), self._origin.commit, self._name

    def _open_again(self) -> None:
        path, commit, name = self._place
        origin = open_origin(path, commit, shared=True)
        type(self).__init__(self, origin.tree[name], origin)


class AsyncColumn(ReadFacts):
    """One column of a read checkout. It can be pickled."""

    def __getitem__(self, item: Any) -> Any:
        """As a synchronous column: a read of local files needs no ``await``. Errors:
        UnknownKey."""
        return self._reader[item]

    async def get(self, key: Any, default: Any = None) -> Any:
        """A new array, or ``default`` for a key that is not there."""
        found = self._reader.find(key)
        return default if found is None else found

    async def read(self, key: Key) -> Array:
        """A new array. Errors: UnknownKey."""
        return self._reader.get(key)

    async def get_many(self, keys: Iterable[Any], out: Array | None = None) -> Array:
        """Samples (n, *shape) in the order of the keys; a list with ``variable_shape``, which
        takes no ``out``. Errors: UnknownKey, InvalidRequest (``invalid-output``)."""
        return await asyncio.to_thread(self._reader.get_packed, self._packed(keys), out)

    async def find_many(self, keys: Iterable[Any], default: Any = None) -> list[Any]:
        """Samples in the order of the keys, ``default`` for each that is not there."""
        return await asyncio.to_thread(self._reader.find_packed, self._packed(keys), default)

    async def view(self, key: Key) -> Array:
        """A read-only array over the mapped file. Errors: UnknownKey, InvalidRequest."""
        return self._reader.view(key)

    async def contains(self, key: Any) -> bool:
        return key in self._reader

    async def count(self) -> int:
        """How many samples there are."""
        return len(self._reader)

    async def keys(self) -> AsyncIterator[Key]:
        """In order: ints, then text."""
        for key in self._reader:
            yield key

    async def values(self) -> AsyncIterator[Array]:
        """Samples in the order of their keys."""
        async for _, sample in self.items():
            yield sample

    async def items(self) -> AsyncIterator[tuple[Key, Array]]:
        """Keys and samples in the order of the keys, read ahead in batches."""
        batches = self._reader.batches()
        while (batch := await asyncio.to_thread(next, batches, None)) is not None:
            for pair in zip(*batch, strict=True):
                yield pair

    def __aiter__(self) -> AsyncIterator[Key]:
        return self.keys()


class AsyncWriteColumn(AsyncBackendChange, ColumnFacts):
    """One column of a write checkout."""

    def __init__(self, staging: Staging, buffer: ColumnBuffer, overlay: Overlay) -> None:
        self._staging = staging
        self._buffer = buffer
        self._overlay = overlay
        self._schema = buffer.schema
        self._name = buffer.column

    def __reduce__(self) -> tuple[Any, ...]:
        return refuse_pickling(self)

    async def get(self, key: Any, default: Any = None) -> Any:
        """A new array, or ``default`` for a key that is not there."""
        try:
            return await self.read(key)
        except UnknownKey:
            return default

    async def read(self, key: Key) -> Array:
        """A new array. Errors: UnknownKey."""
        encoded = self._encoded(key)
        buffered = self._overlay.find_buffered(encoded)
        if buffered is not None:
            return buffered
        if self._overlay.is_local:
            return self._overlay.base.get(key)
        (found,) = await self._overlay.get_many(_one(encoded), None)
        return found if self._schema.variable_shape else np.array(found)

    async def get_many(self, keys: Iterable[Any], out: Array | None = None) -> Array:
        """Samples (n, *shape) in the order of the keys; a list with ``variable_shape``, which
        takes no ``out``. Errors: UnknownKey, InvalidRequest (``invalid-output``)."""
        return await self._overlay.get_many(self._packed(keys), out)

    async def find_many(self, keys: Iterable[Any], default: Any = None) -> list[Any]:
        """Samples in the order of the keys, ``default`` for each that is not there."""
        return await self._overlay.find_many(self._packed(keys), default)

    async def at(self, item: Any) -> Any:
        """What ``column[item]`` is to a synchronous caller: a sample, or with ``(key, 10:20)`` a
        part of it. Errors: UnknownKey."""
        if isinstance(item, tuple) and item:
            return part_of(await self.read(item[0]), item[1:])
        return await self.read(item)

    async def contains(self, key: Any) -> bool:
        return bool((await self._overlay.contains_many(_one(self._encoded(key))))[0])

    async def count(self) -> int:
        """How many samples there are."""
        return await self._overlay.count()

    async def keys(self) -> AsyncIterator[Key]:
        """In order: ints, then text."""
        async for block in self._overlay.key_blocks():
            for key in block:
                yield key

    async def values(self) -> AsyncIterator[Array]:
        """Samples in the order of their keys."""
        async for _, sample in self.items():
            yield sample

    async def items(self) -> AsyncIterator[tuple[Key, Array]]:
        """Keys and samples in the order of the keys, read ahead in batches."""
        keys: list[Key] = []
        async for block in self._overlay.key_blocks():
            keys += block
            if len(keys) >= BATCH_ROWS:
                for pair in zip(keys, await self.get_many(keys), strict=True):
                    yield pair
                keys = []
        for pair in zip(keys, await self.get_many(keys), strict=True):
            yield pair

    def __aiter__(self) -> AsyncIterator[Key]:
        return self.keys()

    async def put(self, key: Key, value: Array) -> None:
        """Stage a sample: checked at once, sent later.

        Errors: InvalidType, InvalidRequest; Closed; what failed of samples sent earlier.
        """
        if self._staging.put(self._buffer, key, value):
            await self._wait_for_room()

    async def put_many(self, keys: Iterable[Any], batch: Any) -> None:
        """Stage samples: ``batch`` is (n, *shape), or a sequence of arrays.

        When this returns they survive the end of this process. Errors: as ``put``.
        """
        await self._wait_for(self._staging.put_many(self._buffer, *self._checked(keys, batch)))

    async def append(self, value: Any) -> str:
        """Stage a sample under a new key, which is the result (hangard_client.new_keys). Errors: as
        ``put``."""
        key = new_key()
        await self.put(key, value)
        return key

    async def setdefault(self, key: Key, default: Any) -> Any:
        """The sample of a key, which becomes ``default`` if there is none. Errors: as ``put``."""
        found = await self.get(key)
        if found is None:
            await self.put(key, default)
            return default
        return found

    async def update(self, other: Samples | None = None, /, **samples: Any) -> None:
        """Stage samples from a mapping or pairs, and by name. All are checked before any is
        staged; then as ``put_many``."""
        await self.put_many(*self._pairs_of(other, samples))

    async def pop(self, key: Any, default: Any = NO_DEFAULT) -> Any:
        """A sample, whose deletion is staged. Errors: UnknownKey, unless there is a default."""
        try:
            found = await self.read(key)
        except UnknownKey:
            if default is NO_DEFAULT:
                raise
            return default
        await self.delete(key)
        return found

    async def delete(self, key: Any) -> None:
        """Stage the deletion of a sample. Errors: UnknownKey; as ``put``."""
        encoded = self._encoded(key)
        if not await self.contains(key):
            raise self._overlay.unknown(encoded)
        if self._staging.delete(self._buffer, encoded):
            await self._wait_for_room()

    async def flush(self) -> None:
        """Wait until everything staged in the session survives a crash of the daemon."""
        self._staging.enqueue_all()
        await self._staging.sender.flush()

    def _packed(self, keys: Any) -> PackedKeys:
        return encode_keys(keys, False)

    def _pairs_of(self, other: Any, named: Mapping[str, Any]) -> tuple[list[Any], list[Any]]:
        return pairs_of(other, named)

    def _checked(self, keys: Any, batch: Any) -> tuple[PackedKeys, npt.NDArray[Any] | RaggedRows]:
        """Many samples as they are sent. Errors: InvalidType, InvalidRequest."""
        packed = self._packed(keys)
        return packed, checked_batch(self.name, self._schema, batch, len(packed[1]))

    def _encoded(self, key: Any) -> bytes:
        return encode_key(key, False)

    async def _wait_for_room(self) -> None:
        while (post := self._staging.oldest_post()) is not None:
            await asyncio.wait([post])  # type: ignore[type-var]

    async def _wait_for(self, post: Any) -> None:
        if post is not None:
            await asyncio.wait([post])
        self._staging.check()


def many_of(column: AsyncWriteColumn, samples: Any) -> tuple[Any, Any]:
    """Keys and samples as ``put_many`` takes them: given as such a pair, or as ``update`` does."""
    if isinstance(samples, tuple) and len(samples) == 2:
        return samples
    return column._pairs_of(samples, {})


def pairs_of(other: Any, named: Mapping[str, Any]) -> tuple[list[Any], list[Any]]:
    """Keys and values of what ``update`` was given. Errors: InvalidType (``not-pairs``)."""
    keys: list[Any] = []
    values: list[Any] = []
    if isinstance(other, Mapping) or hasattr(other, "keys"):
        keys, values = list(other.keys()), [other[key] for key in other.keys()]  # noqa: SIM118
    elif other is not None:
        if isinstance(other, str | bytes) or not hasattr(other, "__iter__"):
            raise not_pairs(other)
        for pair in other:
            if not isinstance(pair, tuple | list) or len(pair) != 2:
                raise not_pairs(pair)
            keys.append(pair[0])
            values.append(pair[1])
    return keys + list(named), values + list(named.values())


def not_pairs(value: object) -> InvalidType:
    return InvalidType(
        f"give a mapping or pairs of a key and a sample, not {type(value).__name__}",
        code="not-pairs",
    )


def _one(encoded: bytes) -> tuple[bytes, npt.NDArray[np.uint32]]:
    return encoded, np.array([len(encoded)], np.uint32)
