"""Columns with subsamples, for asyncio: a sample is a small mapping of its own.

A pair (sample, subsample) is the key of one array; a sample key alone stands for the whole sample,
which is there as long as it has a subsample.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, Generic, TypeVar

import numpy.typing as npt

from hangard.errors import UnknownKey
from hangard.model.keys import Key, PackedKeys, check_key, encode_key
from hangard.reading.columns import ColumnReader, part_of
from hangard.reading.nested import (
    WHOLE,
    NestedReader,
    chosen,
    encode_pairs,
    is_several,
    split_item,
    subsample_keys,
)
from hangard_client.async_columns import (
    NO_DEFAULT,
    AsyncColumn,
    AsyncWriteColumn,
    Samples,
    pairs_of,
)
from hangard_client.buffers import ColumnBuffer
from hangard_client.nested_overlay import NestedOverlay
from hangard_client.new_keys import new_key
from hangard_client.overlay import Overlay
from hangard_client.reopening import Origin
from hangard_client.staging import Staging

C = TypeVar("C", bound="AsyncNestedColumn | AsyncNestedWriteColumn")
Array = npt.NDArray[Any]


class AsyncSubsamples(Generic[C]):
    """The subsamples of one sample, by key."""

    def __init__(self, owner: C, sample: Key) -> None:
        self._owner = owner
        self._sample = check_key(sample, False)

    @property
    def sample(self) -> Key:
        """The key of the sample."""
        return self._sample

    @property
    def column(self) -> str:
        """The name of the column."""
        return self._owner.name

    async def data(self) -> dict[Key, Any]:
        """All of them. Errors: UnknownKey once there is none."""
        return await self._owner.read_sample(self._sample)

    async def read(self, subsample: Key) -> Any:
        """Errors: UnknownKey."""
        return await self._owner.read((self._sample, subsample))  # type: ignore[arg-type]

    async def get(self, subsample: Key, default: Any = None) -> Any:
        """A subsample, or ``default`` if there is none of that key."""
        return await self._owner.get((self._sample, subsample), default)

    async def get_many(self, subsamples: Iterable[Any], out: Array | None = None) -> Any:
        """Subsamples in the order of the keys. Errors: UnknownKey."""
        return await self._owner.get_many((self._sample, list(subsamples)), out)

    async def contains(self, subsample: Key) -> bool:
        return await self._owner.contains((self._sample, subsample))

    async def count(self) -> int:
        return len(await self.keys())

    async def keys(self) -> list[Key]:
        """In order: ints, then text. Empty once there is none."""
        try:
            return await self._owner.subsample_keys(self._sample)
        except UnknownKey:
            return []

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._sample!r} in column {self.column!r}>"


class AsyncWriteSubsamples(AsyncSubsamples["AsyncNestedWriteColumn"]):
    """The subsamples of one sample of a write checkout."""

    async def put(self, subsample: Key, value: Any) -> None:
        """Stage a subsample. Errors: as AsyncWriteColumn.put."""
        await self._owner.put((self._sample, subsample), value)  # type: ignore[arg-type]

    async def update(self, other: Samples | None = None, /, **subsamples: Any) -> None:
        """Stage subsamples from a mapping or pairs, and by name; all are checked before any is
        staged."""
        keys, values = pairs_of(other, subsamples)
        await self._owner.put_sample(self._sample, list(zip(keys, values, strict=True)))

    async def append(self, value: Any) -> str:
        """Stage a subsample under a new key, which is the result."""
        key = new_key()
        await self.put(key, value)
        return key

    async def delete(self, subsample: Key) -> None:
        """Stage the deletion of a subsample. Errors: UnknownKey."""
        await self._owner.delete((self._sample, subsample))

    async def pop(self, subsample: Key, default: Any = NO_DEFAULT) -> Any:
        """A subsample, whose deletion is staged. Errors: UnknownKey, unless there is a default."""
        return await self._owner.pop((self._sample, subsample), default)


class AsyncNestedColumn(AsyncColumn):
    """One column of a read checkout whose samples have subsamples. It can be pickled.

    ``get``, ``contains``, ``count``, ``keys``, ``values`` and ``items`` go by sample. ``get_many``
    and ``find_many`` take pairs, ``(samples, subsamples)`` as two arrays, or one sample with many:
    ``(sample, subsamples)``.
    """

    def __init__(self, reader: ColumnReader, origin: Origin | None = None) -> None:
        super().__init__(reader, origin)
        self._nested = NestedReader(reader)

    def __getitem__(self, item: Any) -> Any:
        """``column[s]``: AsyncSubsamples; ``column[s, sub]``: one; ``column[s, ...]`` or
        ``[s, 1:3]``: a dict. Errors: UnknownKey."""
        sample, part, _ = split_item(item)
        if part is not WHOLE:
            return self._nested.at(item)
        if not self._nested.has_sample(sample):
            raise self._reader.unknown(sample)
        return AsyncSubsamples(self, sample)

    async def get(self, key: Any, default: Any = None) -> Any:
        """The subsamples of a sample, or what a pair names; ``default`` if that is not there."""
        try:
            return self[key]
        except UnknownKey:
            return default

    async def read_sample(self, sample: Key, part: Any = ...) -> dict[Key, Any]:
        """Subsamples of a sample by key: all, or a slice of their positions. Errors: UnknownKey."""
        return await asyncio.to_thread(self._nested.read_sample, sample, part)

    async def subsample_keys(self, sample: Key) -> list[Key]:
        """In order: ints, then text. Errors: UnknownKey."""
        return self._nested.subsample_keys(sample)

    async def contains(self, key: Any) -> bool:
        """Whether there is a sample, or for a pair the subsample."""
        return self._nested.contains(key)

    async def count(self) -> int:
        """How many samples there are."""
        return await asyncio.to_thread(self._nested.count_samples)

    async def count_subsamples(self) -> int:
        """How many subsamples all samples have together."""
        return len(self._reader)

    async def keys(self) -> AsyncIterator[Key]:
        """Sample keys in order: ints, then text."""
        for sample in self._nested.samples():
            yield sample

    async def values(self) -> AsyncIterator[Any]:
        """The subsamples of each sample."""
        for sample in self._nested.samples():
            yield AsyncSubsamples(self, sample)

    async def items(self) -> AsyncIterator[tuple[Key, Any]]:
        """Sample keys, each with its subsamples."""
        for sample in self._nested.samples():
            yield sample, AsyncSubsamples(self, sample)

    async def subsample_items(self) -> AsyncIterator[tuple[Key, Any]]:
        """Pairs (sample, subsample), each with its array, in order, read ahead in batches."""
        async for pair in super().items():
            yield pair

    def _packed(self, keys: Any) -> PackedKeys:
        return encode_pairs(keys)


class AsyncNestedWriteColumn(AsyncWriteColumn):
    """One column of a write checkout whose samples have subsamples.

    ``get``, ``contains``, ``count``, ``keys``, ``values``, ``items``, ``delete``, ``pop`` and
    ``update`` (whose values are mappings or pairs of subsamples) go by sample, or by pair where a
    pair is given; ``get_many``, ``find_many`` and
    ``put_many`` take keys as AsyncNestedColumn does.
    """

    def __init__(self, staging: Staging, buffer: ColumnBuffer, overlay: Overlay) -> None:
        super().__init__(staging, buffer, overlay)
        self._nested = NestedOverlay(overlay)

    async def at(self, item: Any) -> Any:
        """What ``column[item]`` is to a synchronous caller: AsyncWriteSubsamples for a sample, one
        array for a pair, a dict for ``(s, ...)`` and ``(s, 1:3)``. Errors: UnknownKey."""
        sample, part, rest = split_item(item)
        if part is WHOLE:
            await self._nested.pairs_there(sample)
            return AsyncWriteSubsamples(self, sample)
        if is_several(part):
            return await self.read_sample(sample, part)
        found = await self.read((sample, part))
        return part_of(found, rest) if rest else found

    async def get(self, key: Any, default: Any = None) -> Any:
        """The subsamples of a sample, or what a pair names; ``default`` if that is not there."""
        try:
            return await self.at(key)
        except UnknownKey:
            return default

    async def read_sample(self, sample: Key, part: Any = ...) -> dict[Key, Any]:
        """Subsamples of a sample by key: all, or a slice of their positions. Errors: UnknownKey."""
        pairs = chosen(await self._nested.pairs_there(sample), part)
        rows = await self._overlay.get_many(pairs, None)
        return dict(zip(subsample_keys(pairs), rows, strict=True))

    async def subsample_keys(self, sample: Key) -> list[Key]:
        """In order: ints, then text. Errors: UnknownKey."""
        return subsample_keys(await self._nested.pairs_there(sample))

    async def contains(self, key: Any) -> bool:
        """Whether there is a sample, or for a pair the subsample."""
        if isinstance(key, tuple):
            return await super().contains(key)
        return len((await self._nested.pairs(key))[1]) > 0

    async def count(self) -> int:
        """How many samples there are."""
        return await self._nested.count_samples()

    async def count_subsamples(self) -> int:
        """How many subsamples all samples have together."""
        return await super().count()

    async def keys(self) -> AsyncIterator[Key]:
        """Sample keys in order: ints, then text."""
        async for block in self._nested.sample_keys():
            for sample in block:
                yield sample

    async def values(self) -> AsyncIterator[Any]:
        """The subsamples of each sample."""
        async for sample in self.keys():
            yield AsyncWriteSubsamples(self, sample)

    async def items(self) -> AsyncIterator[tuple[Key, Any]]:
        """Sample keys, each with its subsamples."""
        async for sample in self.keys():
            yield sample, AsyncWriteSubsamples(self, sample)

    async def subsample_items(self) -> AsyncIterator[tuple[Key, Any]]:
        """Pairs (sample, subsample), each with its array, in order, read ahead in batches."""
        async for pair in super().items():
            yield pair

    async def put_sample(self, sample: Key, subsamples: Samples) -> None:
        """Stage subsamples of one sample, from a mapping or pairs; the others of it stay. All are
        checked before any is staged; then as ``put``."""
        keys, values = sample_pairs(self, sample, subsamples)
        for key, value in zip(keys, values, strict=True):
            await self.put(key, value)

    async def append(self, value: Samples) -> str:
        """Stage a sample, a mapping or pairs of subsamples, under a new key, which is the
        result."""
        key = new_key()
        await self.put_sample(key, value)
        return key

    async def delete(self, key: Any) -> None:
        """Stage the deletion of a sample, or of what a pair names. Errors: UnknownKey."""
        if isinstance(key, tuple):
            await super().delete(key)
            return
        blob, ends = await self._nested.pairs_there(key)
        begin = 0
        for end in ends.tolist():
            if self._staging.delete(self._buffer, blob[begin:end]):
                await self._wait_for_room()
            begin = end

    async def pop(self, key: Any, default: Any = NO_DEFAULT) -> Any:
        """A sample as a dict, or what a pair names; its deletion is staged. Errors: UnknownKey,
        unless there is a default."""
        if isinstance(key, tuple):
            return await super().pop(key, default)
        try:
            found = await self.read_sample(key)
        except UnknownKey:
            if default is NO_DEFAULT:
                raise
            return default
        await self.delete(key)
        return found

    def _packed(self, keys: Any) -> PackedKeys:
        return encode_pairs(keys)

    def _pairs_of(self, other: Any, named: Mapping[str, Any]) -> tuple[list[Any], list[Any]]:
        return nested_pairs_of(other, named)

    def _encoded(self, key: Any) -> bytes:
        return encode_key(key, True)


def sample_pairs(
    column: AsyncNestedWriteColumn, sample: Any, subsamples: Any
) -> tuple[list[Any], list[Any]]:
    """Pair keys and values of one sample's subsamples. Errors: as ``put``, before any is staged."""
    names, values = pairs_of(subsamples, {})
    keys = [(sample, name) for name in names]
    column._checked(keys, values)
    return keys, values


def nested_pairs_of(other: Any, named: Any) -> tuple[list[Any], list[Any]]:
    """Pair keys and values of a two-level ``update``. Errors: InvalidType (``not-pairs``)."""
    keys: list[Any] = []
    values: list[Any] = []
    for sample, subsamples in zip(*pairs_of(other, named), strict=True):
        names, rows = pairs_of(subsamples, {})
        keys += [(sample, name) for name in names]
        values += rows
    return keys, values
