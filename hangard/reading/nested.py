"""Columns whose samples have parts: a sample key and a subsample key name one array.

A sample is there as long as it has a subsample. What is read of one sample costs its subsamples,
whatever else the column holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from hangard_ext.keyblock import take_keys
from hangard_ext.pairkey import pair_keys, second_parts
from hangard_ext.treekey import decode_keys

from hangard.errors import InvalidRequest, InvalidType
from hangard.model.keys import Key, PackedKeys, encode_key, encode_keys
from hangard.reading.columns import ColumnReader
from hangard.tree.iterate import iterate
from hangard.tree.samples import sample_blocks, sample_entries
from hangard.tree.store import Changes, corrupt_node

WHOLE = object()
"""What ``split_item`` gives for an item that names a sample only."""


class NestedReader:
    """A nested column of one commit, sample by sample. Many threads may use one.

    Errors: InvalidType and InvalidRequest for what cannot be a sample key; Corrupt.
    """

    def __init__(self, column: ColumnReader) -> None:
        self.column = column
        self._samples: int | None = None

    def count_samples(self) -> int:
        """Reads the tree but for what lies within a large sample; once."""
        nodes = self.column.nodes  # Closed, although it was counted before
        if self._samples is None:
            blocks = sample_blocks(nodes, self.column.root)
            self._samples = sum(len(ends) for _, ends in blocks)
        return self._samples

    def at(self, item: Any) -> Any:
        """What ``column[item]`` is (see ``split_item``); for a sample alone a dict of all of it.

        Errors: UnknownKey.
        """
        sample, part, rest = split_item(item)
        if part is WHOLE or is_several(part):
            return self.read_sample(sample, ... if part is WHOLE else part)
        return self.column[(sample, part, *rest)]

    def read_sample(self, sample: Any, part: Any = ...) -> dict[Key, Any]:
        """Subsamples of a sample by key, in order: all, or a slice of their positions.

        Errors: UnknownKey.
        """
        blob, ends, digests = self.entries(sample)
        if not len(ends):
            raise self.column.unknown(sample)
        pairs = chosen((blob, ends), part)
        if part is not ...:
            digests = np.ascontiguousarray(digests[part])
        rows = self.column.read_digests(digests)
        return dict(zip(subsample_keys(pairs), rows, strict=True))

    def subsample_keys(self, sample: Any) -> list[Key]:
        """In order. Errors: UnknownKey."""
        blob, ends, _ = self.entries(sample)
        if not len(ends):
            raise self.column.unknown(sample)
        return subsample_keys((blob, ends))

    def contains(self, key: Any) -> bool:
        """Whether there is a sample, or for a pair the subsample."""
        return key in self.column if isinstance(key, tuple) else self.has_sample(key)

    def has_sample(self, sample: Any) -> bool:
        encoded = encode_key(sample, False)
        for blob, _, _ in iterate(self.column.nodes, self.column.root, encoded):
            return blob.startswith(encoded)
        return False

    def samples(self) -> Iterator[Key]:
        """Sample keys in order: ints, then text."""
        for block in sample_blocks(self.column.nodes, self.column.root):
            yield from decode_keys(*block)

    def entries(self, sample: Any) -> Changes:
        """The pairs (blob, ends) and digests (n, 32) of a sample; n is 0 if it is not there."""
        encoded = encode_key(sample, False)
        return sample_entries(self.column.nodes, self.column.root, encoded)


def subsample_keys(pairs: PackedKeys) -> list[Key]:
    """The subsample keys of packed pairs, in their order."""
    try:
        return decode_keys(*second_parts(*pairs))
    except ValueError as error:
        raise corrupt_node(error) from error


def split_item(item: Any) -> tuple[Any, Any, tuple[Any, ...]]:
    """What ``column[item]`` means: sample, what of it, and how that is indexed.

    ``s``: (s, WHOLE, ()); ``s, sub``, ``s, ...`` and ``s, 1:3``: (s, that, ()); ``s, sub, 10:20``:
    (s, sub, (10:20,)). Errors: InvalidType (``invalid-key-type``).
    """
    if not isinstance(item, tuple):
        return item, WHOLE, ()
    if not item:
        raise InvalidType("() names no sample", code="invalid-key-type")
    if len(item) == 1:
        return item[0], WHOLE, ()
    sample, part, rest = item[0], item[1], item[2:]
    if rest and (part is ... or isinstance(part, slice)):
        raise InvalidType(
            "several subsamples cannot be indexed at once: column[sample, subsample, 10:20]",
            code="invalid-key-type",
        )
    return sample, part, rest


def is_several(part: Any) -> bool:
    """Whether the second part of an item stands for several subsamples."""
    return part is ... or isinstance(part, slice)


def chosen(pairs: PackedKeys, part: Any) -> PackedKeys:
    """The packed pairs that ``...`` or a slice of positions takes of a sample's.

    Errors: InvalidType for positions that are no ints.
    """
    if part is ...:
        return pairs
    try:
        positions = np.arange(len(pairs[1]))[part]
    except TypeError:
        raise InvalidType(
            f"a slice of subsamples goes by position, not {part!r}", code="invalid-key-type"
        ) from None
    return take_keys(*pairs, np.ascontiguousarray(positions))


def encode_pairs(keys: Any) -> PackedKeys:
    """The keys of many subsamples: any iterable of pairs, or a pair of arrays (or ranges, lists).

    ``(samples, subsamples)`` has two arrays of one length; ``(sample, subsamples)`` names one
    sample for all. Errors: as hangard.model.keys; InvalidRequest (``wrong-count``).
    """
    if not (isinstance(keys, tuple) and len(keys) == 2 and _is_many(keys[1])):
        return encode_keys(keys, True)
    samples, subsamples = keys
    first = encode_keys(samples if _is_many(samples) else [samples], False)
    second = encode_keys(subsamples, False)
    if _is_many(samples) and len(first[1]) != len(second[1]):
        raise InvalidRequest(
            f"{len(first[1])} sample keys need as many subsample keys, not {len(second[1])}",
            code="wrong-count",
        )
    return pair_keys(*first, *second)


def _is_many(part: Any) -> bool:
    return isinstance(part, list | range | np.ndarray) and not (
        isinstance(part, np.ndarray) and part.ndim == 0
    )
