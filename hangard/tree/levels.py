"""Nodes of one level go to the store, their digests to the level above."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from hangard_ext.digest import digest_ragged
from hangard_ext.treewriter import NodeWriter

from hangard.model.commit import Digest
from hangard.tree.store import DIGEST_BYTES, EMPTY_ROOT, NODE_CONTEXT, Ends, NodeStore

NODES_BYTES_MAX = 4 * 1024 * 1024
"""Finished nodes that gather before they are hashed and put."""

COUNT_BYTES = 8

Rows: TypeAlias = npt.NDArray[np.uint8]
"""Beside each key: at level 0 its digest, (n, 32); above digest and count, (n, 40)."""

Entries: TypeAlias = tuple[bytes, Ends, Rows]


class LevelOutput:
    """The nodes written at one level, as entries of the level above."""

    def __init__(self, store: NodeStore, level: int) -> None:
        self._store = store
        self.writer = NodeWriter(level)
        self._blobs: list[bytes] = []
        self._ends: list[Ends] = []
        self._rows: list[Rows] = []
        self._key_bytes = 0

    def add(self, entries: Entries) -> None:
        """Append entries, all after those before.

        Errors: ValueError for entries that are not strictly ascending or have a zero digest.
        """
        blob, ends, rows = entries
        begin = 0
        while begin < len(ends):
            begin = self.writer.add(blob, ends, rows, begin, NODES_BYTES_MAX)
            self.flush(NODES_BYTES_MAX)

    def flush(self, above_bytes: int = 0) -> None:
        """Hash and put finished nodes, if they have ``above_bytes`` or more."""
        if not self.writer.finished_bytes or self.writer.finished_bytes < above_bytes:
            return
        nodes, node_ends, blob, ends, counts = self.writer.take()
        rows = np.empty((len(node_ends), DIGEST_BYTES + COUNT_BYTES), np.uint8)
        digests = np.empty((len(node_ends), DIGEST_BYTES), np.uint8)
        digest_ragged(NODE_CONTEXT, nodes, node_ends, digests)
        self._store.put_many(digests, nodes, node_ends)
        rows[:, :DIGEST_BYTES] = digests
        rows[:, DIGEST_BYTES:] = counts.astype("<u8", copy=False).view(np.uint8).reshape(-1, 8)
        self._blobs.append(blob)
        self._ends.append(ends + np.uint32(self._key_bytes))
        self._rows.append(rows)
        self._key_bytes += len(blob)

    def finish(self) -> Entries:
        """End the last node; the entries of the level above for all nodes written."""
        self.writer.finish()
        self.flush()
        if not self._rows:
            return no_entries(self.writer.level + 1)
        return b"".join(self._blobs), np.concatenate(self._ends), np.concatenate(self._rows)


def no_entries(level: int) -> Entries:
    """Entries of a level, none."""
    width = DIGEST_BYTES + COUNT_BYTES if level else DIGEST_BYTES
    return b"", np.empty(0, np.uint32), np.empty((0, width), np.uint8)


def build_up(store: NodeStore, entries: Entries, level: int) -> Digest:
    """The root over all entries of one level: levels are added until one has a single node."""
    if not len(entries[1]):
        return EMPTY_ROOT
    while level == 0 or len(entries[1]) > 1:
        output = LevelOutput(store, level)
        output.add(entries)
        entries = output.finish()
        level += 1
    return entries[2][0, :DIGEST_BYTES].tobytes()
