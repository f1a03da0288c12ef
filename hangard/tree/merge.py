"""Two trees that come from a common one, brought together key by key."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from hangard_ext.keyblock import find_keys, take_keys

from hangard.limits import CONFLICT_KEYS_MAX
from hangard.model.commit import Digest
from hangard.tree.diff import DiffBlock, diff_blocks
from hangard.tree.store import DIGEST_BYTES, EMPTY_ROOT, Changes, Digests, Ends, NodeSource


@dataclass(frozen=True, slots=True)
class KeyConflict:
    """A key that both sides changed to different results; None: absent there."""

    key: bytes
    base: Digest | None
    ours: Digest | None
    theirs: Digest | None


@dataclass(frozen=True, slots=True)
class ThreeWay:
    """What becomes of the changes of one side when they are applied to the other.

    ``changes``             of theirs, those to apply to ours: keys that ours left alone
    ``conflicting``         of theirs, those that conflict; applied as well, theirs wins
    ``conflicts``           the first of the conflicts, for reports
    ``conflict_count``      how many there are
    """

    changes: Changes
    conflicting: Changes
    conflicts: tuple[KeyConflict, ...]

    @property
    def conflict_count(self) -> int:
        return len(self.conflicting[1])


def three_way(
    source: NodeSource,
    base: Digest,
    ours: Digest,
    theirs: Digest,
    conflicts_max: int = CONFLICT_KEYS_MAX,
) -> ThreeWay:
    """Compare what both sides made of the base, key by key; absent is a value.

    A key that both changed alike, or that both deleted, is no conflict. Time and memory grow with
    the differences, not with the trees.
    Errors: Corrupt (``corrupt-node``); those of the source.
    """
    their_blob, their_ends, was, becomes = _whole(source, base, theirs)
    our_blob, our_ends, _, is_now = _whole(source, base, ours)
    at = find_keys(our_blob, our_ends, their_blob, their_ends)
    both = at >= 0
    clashing = both.copy()
    clashing[both] = (is_now[at[both]] != becomes[both]).any(axis=1)
    clashes = np.flatnonzero(clashing)
    conflicts = []
    for i in clashes[:conflicts_max].tolist():
        key = their_blob[their_ends[i - 1] if i else 0 : their_ends[i]]
        sides = (was[i], is_now[at[i]], becomes[i])
        conflicts.append(KeyConflict(key, *(_digest(side.tobytes()) for side in sides)))
    return ThreeWay(
        changes=_taken(their_blob, their_ends, becomes, np.flatnonzero(~both)),
        conflicting=_taken(their_blob, their_ends, becomes, clashes),
        conflicts=tuple(conflicts),
    )


def _whole(source: NodeSource, a: Digest, b: Digest) -> DiffBlock:
    """All differences as one block."""
    blocks = list(diff_blocks(source, a, b))
    if not blocks:
        none = np.empty((0, DIGEST_BYTES), np.uint8)
        return b"", np.empty(0, np.uint32), none, none
    blobs, ends, first, second = zip(*blocks, strict=True)
    begins = np.cumsum([0, *map(len, blobs[:-1])], dtype=np.uint32)
    shifted = [block + begin for block, begin in zip(ends, begins, strict=True)]
    return b"".join(blobs), np.concatenate(shifted), np.concatenate(first), np.concatenate(second)


def _taken(blob: bytes, ends: Ends, digests: Digests, indices: npt.NDArray[np.int64]) -> Changes:
    return (*take_keys(blob, ends, indices), digests[indices])


def _digest(digest: Digest) -> Digest | None:
    return None if digest == EMPTY_ROOT else digest
