"""What two trees differ in. Direction: from the first to the second, always."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TypeAlias

from hangard_ext.treediff import TreeDiff

from hangard.model.commit import Digest
from hangard.tree.ahead import NodesAhead
from hangard.tree.store import EMPTY_ROOT, Digests, Ends, NodeSource, NodesSource, corrupt_node

DiffBlock: TypeAlias = tuple[bytes, Ends, Digests, Digests]
"""(blob, ends (n,), digests of the first tree (n, 32), of the second); zero digest: absent."""


def diff_blocks(source: NodeSource, a: Digest, b: Digest) -> Iterator[DiffBlock]:
    """The differing keys, ascending, in packed blocks; subtrees that are equal are not read.
    Of a source that has ``get_many``, many nodes at once.

    Errors: Corrupt (``corrupt-node``); those of the source.
    """
    try:
        if isinstance(source, NodesSource):
            source = NodesAhead(source, a, b)
        yield from TreeDiff(source.get, a, b)
    except ValueError as error:
        raise corrupt_node(error) from error


def diff(
    source: NodeSource, a: Digest, b: Digest
) -> Iterator[tuple[bytes, Digest | None, Digest | None]]:
    """The differing keys one by one: (encoded key, digest in a or None, digest in b or None)."""
    for blob, ends, digests_a, digests_b in diff_blocks(source, a, b):
        in_a, in_b = digests_a.tobytes(), digests_b.tobytes()
        for i, (begin, end) in enumerate(pairwise([0, *ends.tolist()])):
            row = slice(32 * i, 32 * i + 32)
            yield blob[begin:end], _or_none(in_a[row]), _or_none(in_b[row])


def count_diff(source: NodeSource, a: Digest, b: Digest) -> tuple[int, int, int]:
    """How many keys the second tree has more, has not, and has with another digest.

    Errors: as diff_blocks.
    """
    added = deleted = changed = 0
    for _, _, digests_a, digests_b in diff_blocks(source, a, b):
        in_a, in_b = digests_a.any(axis=1), digests_b.any(axis=1)
        added += int((~in_a & in_b).sum())
        deleted += int((in_a & ~in_b).sum())
        changed += int((in_a & in_b).sum())
    return added, deleted, changed


def _or_none(digest: Digest) -> Digest | None:
    return None if digest == EMPTY_ROOT else digest
