"""Columns with subsamples: a sample is a small mapping of its own.

A pair (sample, subsample) is the key of one array; a sample key alone stands for the whole sample,
which is there as long as it has a subsample.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy.typing as npt

from hangard.errors import UnknownKey
from hangard.model.keys import Key, PackedKeys, check_key, encode_key
from hangard.reading.columns import ColumnReader, part_of
from hangard.reading.nested import (
    WHOLE,
    NestedReader,
    encode_pairs,
    is_several,
    split_item,
)
from hangard_client.async_columns import NO_DEFAULT, Samples, pairs_of
from hangard_client.async_nested_columns import AsyncNestedWriteColumn, sample_pairs
from hangard_client.columns import Column, WriteColumn
from hangard_client.new_keys import new_key
from hangard_client.reopening import Origin

Array = npt.NDArray[Any]


class Subsamples:
    """The subsamples of one sample of a read checkout, by key. It can be pickled."""

    def __init__(self, owner: NestedColumn | NestedWriteColumn, sample: Key) -> None:
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

    @property
    def data(self) -> dict[Key, Any]:
        """All of them. Errors: UnknownKey once there is none."""
        return self._owner.read_sample(self._sample)

    def __getitem__(self, item: Any) -> Any:
        """``subsamples[key]``, ``[key, 10:20]``; ``[...]`` and ``[1:3]`` (by position) are dicts.
        Errors: UnknownKey."""
        return self._owner[(self._sample, *(item if isinstance(item, tuple) else (item,)))]

    def get(self, subsample: Key, default: Any = None) -> Any:
        """A subsample, or ``default`` if there is none of that key."""
        return self._owner.get((self._sample, subsample), default)

    def get_many(self, subsamples: Iterable[Any], out: Array | None = None) -> Any:
        """Subsamples in the order of the keys. Errors: UnknownKey."""
        return self._owner.get_many((self._sample, list(subsamples)), out)

    def keys(self) -> list[Key]:
        """In order: ints, then text. Empty once there is none."""
        try:
            return self._owner.subsample_keys(self._sample)
        except UnknownKey:
            return []

    def values(self) -> Iterator[Any]:
        """In the order of their keys."""
        return iter(self._data().values())

    def items(self) -> Iterator[tuple[Key, Any]]:
        """In the order of their keys."""
        return iter(self._data().items())

    def __contains__(self, subsample: Any) -> bool:
        return (self._sample, subsample) in self._owner

    def __len__(self) -> int:
        return len(self.keys())

    def __iter__(self) -> Iterator[Key]:
        return iter(self.keys())

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._sample!r} in column {self.column!r}>"

    def _data(self) -> dict[Key, Any]:
        try:
            return self.data
        except UnknownKey:
            return {}

    def _ipython_key_completions_(self) -> list[Key]:
        return self.keys()


class WriteSubsamples(Subsamples):
    """The subsamples of one sample of a write checkout, by key."""

    _owner: NestedWriteColumn

    def put(self, subsample: Key, value: Any) -> None:
        """Stage a subsample; ``subsamples[key] = value`` does the same. Errors: as
        WriteColumn.put."""
        self._owner.put((self._sample, subsample), value)  # type: ignore[arg-type]

    def update(self, other: Samples | None = None, /, **subsamples: Any) -> None:
        """Stage subsamples from a mapping or pairs, and by name; all are checked before any is
        staged."""
        keys, values = pairs_of(other, subsamples)
        self._owner.put_sample(self._sample, list(zip(keys, values, strict=True)))

    def append(self, value: Any) -> str:
        """Stage a subsample under a new key, which is the result."""
        key = new_key()
        self.put(key, value)
        return key

    def delete(self, subsample: Key) -> None:
        """Stage the deletion of a subsample. Errors: UnknownKey."""
        self._owner.delete((self._sample, subsample))

    def pop(self, subsample: Key, default: Any = NO_DEFAULT) -> Any:
        """A subsample, whose deletion is staged. Errors: UnknownKey, unless there is a default."""
        return self._owner.pop((self._sample, subsample), default)

    def __setitem__(self, subsample: Any, value: Any) -> None:
        self.put(subsample, value)

    def __delitem__(self, subsample: Any) -> None:
        self.delete(subsample)


class NestedColumn(Column):
    """One column of a read checkout whose samples have subsamples. Many threads may use it, and it
    can be pickled.

    As a mapping it goes by sample. ``get_many`` and ``find_many`` take pairs, ``(samples,
    subsamples)`` as two arrays, or one sample with many: ``(sample, subsamples)``.
    """

    def __init__(self, reader: ColumnReader, origin: Origin | None = None) -> None:
        super().__init__(reader, origin)
        self._nested = NestedReader(reader)

    def __getitem__(self, item: Any) -> Any:
        """``column[s]``: Subsamples; ``column[s, sub]``: one, ``column[s, sub, 10:20]`` a part of
        it; ``column[s, ...]`` and ``[s, 1:3]`` (by position): dicts. Errors: UnknownKey."""
        sample, part, _ = split_item(item)
        if part is not WHOLE:
            return self._nested.at(item)
        if not self._nested.has_sample(sample):
            raise self._reader.unknown(sample)
        return Subsamples(self, sample)

    def get(self, key: Any, default: Any = None) -> Any:
        """The subsamples of a sample, or what a pair names; ``default`` if that is not there."""
        try:
            return self[key]
        except UnknownKey:
            return default

    def read_sample(self, sample: Key, part: Any = ...) -> dict[Key, Any]:
        """Subsamples of a sample by key: all, or a slice of their positions. Errors: UnknownKey."""
        return self._nested.read_sample(sample, part)

    def subsample_keys(self, sample: Key) -> list[Key]:
        """In order: ints, then text. Errors: UnknownKey."""
        return self._nested.subsample_keys(sample)

    def contains(self, key: Any) -> bool:
        """Whether there is a sample, or for a pair the subsample."""
        return self._nested.contains(key)

    def count(self) -> int:
        """How many samples there are."""
        return self._nested.count_samples()

    def count_subsamples(self) -> int:
        """How many subsamples all samples have together."""
        return len(self._reader)

    @property
    def num_subsamples(self) -> int:
        """As ``count_subsamples``."""
        return self.count_subsamples()

    def keys(self) -> Iterator[Key]:
        """Sample keys in order: ints, then text."""
        return self._nested.samples()

    def values(self) -> Iterator[Any]:
        """The subsamples of each sample."""
        return (Subsamples(self, sample) for sample in self._nested.samples())

    def items(self) -> Iterator[tuple[Key, Any]]:
        """Sample keys, each with its subsamples."""
        return ((sample, Subsamples(self, sample)) for sample in self._nested.samples())

    def subsample_items(self) -> Iterator[tuple[Key, Any]]:
        """Pairs (sample, subsample), each with its array, in order, read ahead in batches."""
        return super().items()

    def _packed(self, keys: Any) -> PackedKeys:
        return encode_pairs(keys)


class NestedWriteColumn(WriteColumn):
    """One column of a write checkout whose samples have subsamples. Many threads may use it.

    ``column[s] = mapping`` stages subsamples of a sample, the others of it stay;
    ``column[s, sub] = array`` one; ``update`` takes such mappings by sample. As a mapping it goes
    by sample; ``get_many``, ``find_many`` and ``put_many`` take keys as NestedColumn does.
    """

    _inner: AsyncNestedWriteColumn

    def __getitem__(self, item: Any) -> Any:
        """As of a read checkout, with what this session has staged. Errors: UnknownKey."""
        sample, part, rest = split_item(item)
        if part is WHOLE:
            if sample not in self:
                raise self._overlay.unknown(encode_key(sample, False))
            return WriteSubsamples(self, sample)
        if is_several(part):
            return self.read_sample(sample, part)
        found = self.read((sample, part))
        return part_of(found, rest) if rest else found

    def get(self, key: Any, default: Any = None) -> Any:
        """The subsamples of a sample, or what a pair names; ``default`` if that is not there."""
        try:
            return self[key]
        except UnknownKey:
            return default

    def read_sample(self, sample: Key, part: Any = ...) -> dict[Key, Any]:
        """Subsamples of a sample by key: all, or a slice of their positions. Errors: UnknownKey."""
        return self._run(self._inner.read_sample(sample, part))  # type: ignore[no-any-return]

    def subsample_keys(self, sample: Key) -> list[Key]:
        """In order: ints, then text. Errors: UnknownKey."""
        return self._run(self._inner.subsample_keys(sample))  # type: ignore[no-any-return]

    def contains(self, key: Any) -> bool:
        """Whether there is a sample, or for a pair the subsample."""
        if isinstance(key, tuple) or not self._overlay.only_adds:
            return super().contains(key)
        # Asked for each `column[s]`: for a sample that is committed it takes no hop to the loop.
        return NestedReader(self._overlay.base).has_sample(key) or super().contains(key)

    def count_subsamples(self) -> int:
        """How many subsamples all samples have together."""
        return self._run(self._inner.count_subsamples())  # type: ignore[no-any-return]

    @property
    def num_subsamples(self) -> int:
        """As ``count_subsamples``."""
        return self.count_subsamples()

    def values(self) -> Iterator[Any]:
        """The subsamples of each sample."""
        return (WriteSubsamples(self, sample) for sample in self.keys())

    def items(self) -> Iterator[tuple[Key, Any]]:
        """Sample keys, each with its subsamples."""
        return ((sample, WriteSubsamples(self, sample)) for sample in self.keys())

    def subsample_items(self) -> Iterator[tuple[Key, Any]]:
        """Pairs (sample, subsample), each with its array, in order, read ahead in batches."""
        return self._each(self._inner.subsample_items())

    def put_sample(self, sample: Key, subsamples: Samples) -> None:
        """Stage subsamples of one sample, from a mapping or pairs; the others of it stay. All are
        checked before any is staged; then as ``put``: ``column[sample] = ...`` does the same."""
        keys, values = sample_pairs(self._inner, sample, subsamples)
        for key, value in zip(keys, values, strict=True):
            self.put(key, value)

    def append(self, value: Samples) -> str:
        """Stage a sample, a mapping or pairs of subsamples, under a new key, which is the
        result."""
        key = new_key()
        self.put_sample(key, value)
        return key

    def delete(self, key: Any) -> None:
        """Stage the deletion of a sample, or of what a pair names. Errors: UnknownKey."""
        self._run(self._inner.delete(key))

    def __setitem__(self, item: Any, value: Any) -> None:
        if isinstance(item, tuple):
            self.put(item, value)
        else:
            self.put_sample(item, value)
