"""Entries by key.

A NodeCache is a NodeSource: readers that search often keep one and pass it, which makes a search
without cache misses one call into compiled code.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hangard_ext.treecache import NodeCache

from hangard.model.commit import Digest
from hangard.tree.store import EMPTY_ROOT, Digests, Ends, NodeSource, corrupt_node, read_node

SEARCH_CACHE_BYTES_MAX = 1024 * 1024
"""What one find_many over a source without a cache may keep of the upper levels."""


def find(source: NodeSource, root: Digest, key: bytes) -> Digest | None:
    """The digest under an encoded key, or None.

    Errors: Corrupt (``corrupt-node``); those of the source.
    """
    nodes = source if isinstance(source, NodeCache) else NodeCache(source.get, 0)
    try:
        return nodes.find(root, key)
    except ValueError as error:
        raise corrupt_node(error) from error


def find_many(
    source: NodeSource, root: Digest, blob: bytes, ends: Ends
) -> tuple[Digests, npt.NDArray[np.bool_]]:
    """The digests under packed keys in any order: (digests (n, 32), found (n,)), zeros if absent.

    Errors: Corrupt (``corrupt-node``); those of the source.
    """
    nodes = (
        source if isinstance(source, NodeCache) else NodeCache(source.get, SEARCH_CACHE_BYTES_MAX)
    )
    try:
        return nodes.find_many(root, blob, ends)
    except ValueError as error:
        raise corrupt_node(error) from error


def count(source: NodeSource, root: Digest) -> int:
    """How many entries a tree has; reads the root only."""
    return 0 if root == EMPTY_ROOT else read_node(source, root).count
