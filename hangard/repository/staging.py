"""What one session has changed and not yet committed, column by column, in memory.

Changes arrive as blocks of packed keys with digests (zero digest = deleted). Blocks are kept as
they came and merged only when somebody asks, so that staging n samples costs one sort, not n
dictionary entries.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from hangard_ext import keyblock

from hangard.model.schema import Schema

Digests = npt.NDArray[np.uint8]
Ends = npt.NDArray[np.uint32]

NOT_STAGED, STAGED, DELETED = 0, 1, 2

# Small blocks are merged early: a loop that sends one key at a time must not make every look-up
# walk thousands of blocks.
BLOCKS_MAX = 64


@dataclass(frozen=True, slots=True)
class ChangeBlock:
    """Packed keys and their digests; ``digests`` has shape (n, 32)."""

    blob: bytes
    ends: Ends
    digests: Digests

    def __len__(self) -> int:
        return len(self.ends)

    def starting_with(self, prefix: bytes) -> ChangeBlock:
        """The keys of a sorted block that begin with ``prefix``."""
        first, stop = (self._position(end) for end in (prefix, prefix + b"\xff"))
        offset = int(self.ends[first - 1]) if first else 0
        return ChangeBlock(
            self.blob[offset : int(self.ends[stop - 1]) if stop else 0],
            self.ends[first:stop] - np.uint32(offset),
            self.digests[first:stop],
        )

    def _position(self, key: bytes) -> int:
        """How many keys of a sorted block lie before ``key``."""

        def key_at(i: int) -> bytes:
            return self.blob[int(self.ends[i - 1]) if i else 0 : int(self.ends[i])]

        return bisect_left(range(len(self)), key, key=key_at)

    @property
    def memory_bytes(self) -> int:
        return len(self.blob) + self.ends.nbytes + self.digests.nbytes


def empty_block() -> ChangeBlock:
    """A block of no changes."""
    return ChangeBlock(b"", np.empty(0, np.uint32), np.empty((0, 32), np.uint8))


@dataclass(slots=True)
class StagedColumn:
    """One column as a session has changed it.

    ``schema``   the column's schema from the session's view; None once it is removed
    ``reset``    the base commit's samples of this name do not belong to the column any more (it was
                 removed, and perhaps created again)
    ``schema_changed``  the schema differs from the base commit's
    """

    schema: Schema | None
    reset: bool = False
    schema_changed: bool = False
    _sorted: ChangeBlock = field(default_factory=empty_block)
    _blocks: list[ChangeBlock] = field(default_factory=list)

    def add(self, block: ChangeBlock) -> None:
        """Stage a block; within and between blocks the last change of a key wins."""
        self._blocks.append(block)
        if len(self._blocks) >= BLOCKS_MAX:
            self.changes()

    def remove(self) -> None:
        """Remove the column with all its samples."""
        self.schema = None
        self.reset = True
        self.schema_changed = True
        self._sorted = empty_block()
        self._blocks.clear()

    def changes(self) -> ChangeBlock:
        """All changes, sorted by key, one a key."""
        if self._blocks:
            blocks = [self._sorted, *self._blocks] if len(self._sorted) else self._blocks
            self._sorted = ChangeBlock(*keyblock.sort_changes(*_concatenated(blocks)))
            self._blocks = []
        return self._sorted

    def find(self, blob: bytes, ends: Ends) -> tuple[npt.NDArray[np.uint8], Digests]:
        """Look packed keys up: states (n,) of NOT_STAGED, STAGED, DELETED; digests (n, 32)."""
        changes = self.changes()
        states = np.zeros(len(ends), np.uint8)
        digests = np.zeros((len(ends), 32), np.uint8)
        if len(changes):
            positions = keyblock.find_keys(changes.blob, changes.ends, blob, ends)
            hits = positions >= 0
            digests[hits] = changes.digests[positions[hits]]
            states[hits] = np.where(digests[hits].any(axis=1), STAGED, DELETED)
        if self.reset:
            states[states == NOT_STAGED] = DELETED
        return states, digests

    def copy(self) -> StagedColumn:
        """The same state, merged; later changes of either do not show in the other."""
        return StagedColumn(self.schema, self.reset, self.schema_changed, self.changes())

    @property
    def total(self) -> int:
        """Staged changes; a key that was changed in two blocks may count twice."""
        return len(self._sorted) + sum(len(block) for block in self._blocks)

    @property
    def is_changed(self) -> bool:
        return bool(self.schema_changed or self.reset or len(self._sorted) or self._blocks)

    @property
    def memory_bytes(self) -> int:
        return self._sorted.memory_bytes + sum(block.memory_bytes for block in self._blocks)


def _concatenated(blocks: list[ChangeBlock]) -> tuple[bytes, Ends, Digests]:
    if len(blocks) == 1:
        return blocks[0].blob, blocks[0].ends, blocks[0].digests
    starts = np.cumsum([0] + [len(block.blob) for block in blocks[:-1]])
    ends: Any = np.concatenate(
        [block.ends + np.uint32(start) for block, start in zip(blocks, starts, strict=True)]
    )
    digests = np.concatenate([block.digests for block in blocks])
    return b"".join(block.blob for block in blocks), ends, digests
