"""A nested column of a write checkout, sample by sample, as its session sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import numpy as np
from hangard_ext.keyblock import merge_changes, take_keys
from hangard_ext.pairkey import group_pairs

from hangard.errors import UnknownKey
from hangard.model.keys import Key, PackedKeys, encode_key
from hangard.reading.nested import NestedReader
from hangard.tree.samples import sample_blocks, sample_entries
from hangard.tree.store import Changes
from hangard_client.overlay import Overlay, merged_blocks


class NestedOverlay:
    """What a session has staged of a nested column, over what its base commit has.

    One sample costs its own subsamples. The coroutines run on the connection's loop.
    """

    def __init__(self, overlay: Overlay) -> None:
        self._overlay = overlay

    async def pairs(self, sample: Any) -> PackedKeys:
        """The packed keys of a sample, in order; none if it is not there."""
        encoded = encode_key(sample, False)
        changes = await self._overlay.changes(encoded)
        return self._merged(encoded, changes)

    async def pairs_there(self, sample: Any) -> PackedKeys:
        """As ``pairs``. Errors: UnknownKey for a sample that is not there."""
        pairs = await self.pairs(sample)
        if not len(pairs[1]):
            raise self.unknown(sample)
        return pairs

    async def sample_keys(self) -> AsyncIterator[list[Key]]:
        """Sample keys in order, a block at a time, as they are when the iteration begins."""
        changes = self._of_samples(await self._overlay.changes())
        base = self._overlay.base
        for block in merged_blocks(sample_blocks(base.nodes, base.root), changes):
            yield block

    async def count_samples(self) -> int:
        changes = await self._overlay.changes()
        if not len(changes[1]):
            return NestedReader(self._overlay.base).count_samples()
        total = 0
        async for block in self.sample_keys():
            total += len(block)
        return total

    def unknown(self, sample: Any) -> UnknownKey:
        return self._overlay.unknown(encode_key(sample, False))

    def _merged(self, sample: bytes, changes: Changes) -> PackedKeys:
        """A sample's pairs in the base with changes of it applied."""
        base = self._overlay.base
        blob, ends, digests = sample_entries(base.nodes, base.root, sample)
        if len(changes[1]):
            blob, ends, digests = merge_changes([(blob, ends, digests), changes])
            kept = np.flatnonzero(digests.any(axis=1))
            return take_keys(blob, ends, kept)
        return blob, ends

    def _of_samples(self, changes: Changes) -> Changes:
        """Changes of samples: there (a mark) or gone (zeros), for each that has changed pairs."""
        samples, sample_ends, stops = group_pairs(changes[0], changes[1])
        puts = np.asarray(changes[2].any(axis=1))
        marks = np.zeros((len(sample_ends), 32), np.uint8)
        first = begin = 0
        for i, (sample_end, stop) in enumerate(
            zip(sample_ends.tolist(), stops.tolist(), strict=True)
        ):
            is_there = bool(puts[first:stop].any())
            if not is_there:
                part = take_keys(changes[0], changes[1], np.arange(first, stop))
                gone = (*part, changes[2][first:stop])
                is_there = bool(len(self._merged(samples[begin:sample_end], gone)[1]))
            marks[i, 0] = is_there
            first, begin = stop, sample_end
        return samples, sample_ends, marks
