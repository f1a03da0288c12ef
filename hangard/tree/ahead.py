"""The nodes that a diff of two trees will open, brought many at once instead of one by one.

A node that only one of the trees has is opened for certain. So the levels are compared from the
top: the children that two rows of nodes do not share are the next rows, in pieces, each piece down
to its leaves before the next one. That is the order of the diff's own walk, which stays what
decides: a node that it asks for and that is not there is brought alone.
"""

from __future__ import annotations

from collections.abc import Iterator

from hangard_ext.treediff import children_apart

from hangard.errors import HangardError
from hangard.model.commit import Digest
from hangard.tree.store import EMPTY_ROOT, NodesSource

PIECE_NODES_MAX = 512  # brought at once; of 2 to 3 KiB each, as a rule
READY_NODES_MAX = 4 * PIECE_NODES_MAX

_BOTH_THROUGH = (b"\x02", b"\x03")  # children_apart: bit 1, with or without bit 0


class NodesAhead:
    """A source of nodes over another for one walk over what differs between two trees.

    At most READY_NODES_MAX nodes wait in it. Errors: those of the source, when the walk asks.
    """

    def __init__(self, source: NodesSource, a: Digest, b: Digest) -> None:
        self._source = source
        self._ready: dict[Digest, bytes] = {}
        self._pieces: Iterator[None] = iter(()) if a == b else self._bring_all(a, b)

    def get(self, digest: Digest, /) -> bytes:
        """One node."""
        node = self._ready.pop(digest, None)
        if node is None:
            self._bring_next()
            node = self._ready.pop(digest, None)
        return self._source.get(digest) if node is None else node

    def _bring_next(self) -> None:
        if len(self._ready) > READY_NODES_MAX - PIECE_NODES_MAX:
            self._ready.clear()  # the walk passed over them
        try:
            next(self._pieces, None)
        except (HangardError, ValueError):
            # The walk may never need the node that this is about; if it does, it says so.
            self._pieces = iter(())

    def _bring_all(self, a: Digest, b: Digest) -> Iterator[None]:
        roots = [root for root in (a, b) if root != EMPTY_ROOT]
        nodes = self._bring(roots)
        yield
        yield from self._bring_below(nodes[:1], nodes[1:])

    def _bring_below(self, a: list[bytes], b: list[bytes]) -> Iterator[None]:
        """What the rows do not share beneath; rows of different level, as of trees of different
        height, until the lower one has its turn."""
        level_a, level_b = _level(a), _level(b)
        level = max(level_a, level_b)
        if level == 0:
            return
        # Of the lower row, if there is one, the first piece of the higher one gets all.
        waiting = (a if level_a < level else [], b if level_b < level else [])
        digests, marks = children_apart(
            a if level_a == level else [], b if level_b == level else []
        )
        begin = 0
        while begin < len(digests):
            end = _piece_end(marks, begin)
            nodes = self._bring(digests[begin:end])
            yield
            rows = [*waiting[0]], [*waiting[1]]
            waiting = [], []
            for node, mark in zip(nodes, marks[begin:end], strict=True):
                rows[mark & 1].append(node)
            yield from self._bring_below(*rows)
            begin = end

    def _bring(self, digests: list[Digest]) -> list[bytes]:
        nodes = self._source.get_many(digests)
        self._ready.update(zip(digests, nodes, strict=True))
        return nodes


def _level(nodes: list[bytes]) -> int:
    return nodes[0][1] if nodes and len(nodes[0]) > 1 else 0


def _piece_end(marks: bytes, begin: int) -> int:
    """Where a piece ends: if it can, where nodes of one side reach no further than the other's."""
    end = begin + PIECE_NODES_MAX
    if end >= len(marks):
        return len(marks)
    through = max(marks.rfind(mark, begin, end) for mark in _BOTH_THROUGH)
    return end if through < 0 else through + 1
