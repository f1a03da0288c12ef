"""A position among the nodes of one level of a tree."""

from __future__ import annotations

from hangard_ext.treenode import Node

from hangard.errors import Corrupt
from hangard.model.commit import Digest
from hangard.tree.store import NodeSource, read_node


class Cursor:
    """Steps through the nodes of one level from left to right; reads only what it passes.

    Begins nowhere: seek() first. Errors: Corrupt (``corrupt-node``), and those of the source.
    """

    def __init__(self, source: NodeSource, root: Digest, level: int) -> None:
        self._source = source
        self._level = level
        self._path: list[tuple[Node, int]] = []  # above the level: node and the entry taken
        self.node = read_node(source, root)

    @property
    def is_last(self) -> bool:
        """Whether no node of the level follows."""
        return all(i == len(node) - 1 for node, i in self._path)

    @property
    def row(self) -> bytes | None:
        """What the level above says about the node: digest and count; None at the root."""
        if not self._path:
            return None
        node, i = self._path[-1]
        return node.row(i)

    def seek(self, key: bytes) -> None:
        """Go to the node where the key belongs: the first one that ends at or after it, or the
        last one. Keys must not descend from call to call."""
        while len(self._path) > 1 and self._path[-1][0].last_key < key:
            self._path.pop()
        if self._path:
            self.node, _ = self._path.pop()
        while self.node.level > self._level:
            self._take(min(self.node.search(key), len(self.node) - 1))

    def next(self) -> bool:
        """Go to the node that follows; False, and no move, at the last one."""
        if self.is_last:
            return False
        self.node, i = self._path.pop()
        while i == len(self.node) - 1:
            self.node, i = self._path.pop()
        self._take(i + 1)
        while self.node.level > self._level:
            self._take(0)
        return True

    def _take(self, i: int) -> None:
        parent = self.node
        self.node = read_node(self._source, parent.digest(i), parent.level - 1)
        # Without this, a forged tree could send an edit round in circles.
        if self.node.last_key != parent.key(i):
            raise Corrupt(
                f"node {parent.digest(i).hex()} does not end where its parent says",
                code="corrupt-node",
            )
        self._path.append((parent, i))
