"""All entries of a tree in the order of their keys."""

from __future__ import annotations

from collections.abc import Iterator

from hangard.model.commit import Digest
from hangard.tree.cursor import Cursor
from hangard.tree.store import EMPTY_ROOT, Changes, NodeSource


def iterate(source: NodeSource, root: Digest, start: bytes | None = None) -> Iterator[Changes]:
    """Blocks (blob, ends (n,), digests (n, 32)), one a leaf, from the encoded key ``start`` on.

    ``start`` need not be present.
    Errors: Corrupt (``corrupt-node``); those of the source.
    """
    if root == EMPTY_ROOT:
        return
    cursor = Cursor(source, root, 0)
    cursor.seek(start or b"")
    begin = cursor.node.search(start) if start else 0
    if begin < len(cursor.node):
        yield cursor.node.block(begin)
    while cursor.next():
        yield cursor.node.block()
