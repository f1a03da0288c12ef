"""Columns for asyncio. What reads local files does so at once; the rest is awaited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from hangard.errors import InvalidType, UnknownKey
from hangard.model.keys import Key, encode_keys
from hangard.model.schema import Schema
from hangard.reading.columns import ColumnReader
from hangard_client.buffers import ColumnBuffer, checked_rows
from hangard_client.column_backends import AsyncBackendChange, BackendFacts
from hangard_client.overlay import Overlay
from hangard_client.staging import Staging, encoded_key

Array = npt.NDArray[Any]

BATCH_ROWS = 1024  # samples that iteration over a write checkout reads at once


class ColumnFacts(BackendFacts):
    """What all columns tell about themselves."""

    _schema: Schema
    name: str

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._schema.numpy_dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of every sample."""
        return self._schema.shape

    def __array__(self, *_: Any, **__: Any) -> npt.NDArray[Any]:
        """Refused: numpy would take the keys for the samples. Errors: InvalidType."""
        raise InvalidType(
            f"column {self.name!r} is no array; column.get_many(keys) stacks samples into one",
            code="column-is-no-array",
        )

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} {self.name!r}: {self.dtype} {self.shape},"
            f" backend {self.backend}>"
        )


class AsyncColumn(ColumnFacts):
    """One column of a read checkout."""

    def __init__(self, reader: ColumnReader) -> None:
        self._reader = reader
        self._schema = reader.schema
        self.name = reader.name

    async def get(self, key: Key, default: Any = None) -> Any:
        """A new array, or ``default`` for a key that is not there."""
        found = self._reader.find(key)
        return default if found is None else found

    async def read(self, key: Key) -> Array:
        """A new array. Errors: UnknownKey."""
        return self._reader.get(key)

    async def get_many(self, keys: Iterable[Any], out: Array | None = None) -> Array:
        """Samples (n, *shape) in the order of the keys. Errors: UnknownKey."""
        return await asyncio.to_thread(self._reader.get_many, keys, out)

    async def view(self, key: Key) -> Array:
        """A read-only array over the mapped file. Errors: UnknownKey, InvalidRequest."""
        return self._reader.view(key)

    async def contains(self, key: Key) -> bool:
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
        self.name = buffer.column

    async def get(self, key: Key, default: Any = None) -> Any:
        """A new array, or ``default`` for a key that is not there."""
        try:
            return await self.read(key)
        except UnknownKey:
            return default

    async def read(self, key: Key) -> Array:
        """A new array. Errors: UnknownKey."""
        encoded = encoded_key(key)
        buffered = self._overlay.find_buffered(encoded)
        if buffered is not None:
            return buffered
        if self._overlay.is_local:
            return self._overlay.base.get(key)
        return np.array((await self._overlay.get_many(_one(encoded), None))[0])

    async def get_many(self, keys: Iterable[Any], out: Array | None = None) -> Array:
        """Samples (n, *shape) in the order of the keys. Errors: UnknownKey."""
        return await self._overlay.get_many(encode_keys(keys, False), out)

    async def contains(self, key: Key) -> bool:
        return bool((await self._overlay.contains_many(_one(encoded_key(key))))[0])

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
        packed = encode_keys(keys, False)
        rows = checked_rows(self.name, self._schema, batch, len(packed[1]))
        await self._wait_for(self._staging.put_many(self._buffer, packed, rows))

    async def update(self, samples: Mapping[Key, Array] | Iterable[tuple[Key, Array]]) -> None:
        """Stage samples from a mapping or pairs; as ``put_many``."""
        for key, value in samples.items() if isinstance(samples, Mapping) else samples:
            await self.put(key, value)
        await self._wait_for(self._staging.ship(self.name))

    async def delete(self, key: Key) -> None:
        """Stage the deletion of a sample. Errors: UnknownKey; as ``put``."""
        encoded = encoded_key(key)
        if not await self.contains(key):
            raise self._overlay.unknown(encoded)
        if self._staging.delete(self._buffer, encoded):
            await self._wait_for_room()

    async def flush(self) -> None:
        """Wait until everything staged in the session survives a crash of the daemon."""
        self._staging.enqueue_all()
        await self._staging.sender.flush()

    async def _wait_for_room(self) -> None:
        while (post := self._staging.oldest_post()) is not None:
            await asyncio.wait([post])  # type: ignore[type-var]

    async def _wait_for(self, post: Any) -> None:
        if post is not None:
            await asyncio.wait([post])
        self._staging.check()


def _one(encoded: bytes) -> tuple[bytes, npt.NDArray[np.uint32]]:
    return encoded, np.array([len(encoded)], np.uint32)
