"""A tree with changes applied: only the paths to changed entries are read and written.

Level by level, from the leaves up: each node that a change falls into is cut again with the change
applied, and so are the nodes after it until a cut falls where an old node ended; from there on the
old nodes stand. What was replaced is the change of the level above.
"""

from __future__ import annotations

from itertools import accumulate, pairwise

import numpy as np
import numpy.typing as npt
from hangard_ext.keyblock import take_keys

from hangard.model.commit import Digest
from hangard.tree.build import invalid_changes
from hangard.tree.cursor import Cursor
from hangard.tree.levels import NODES_BYTES_MAX, Entries, LevelOutput, build_up, no_entries
from hangard.tree.store import EMPTY_ROOT, Digests, Ends, NodeStore, read_node


def edit(store: NodeStore, root: Digest, blob: bytes, ends: Ends, digests: Digests) -> Digest:
    """The root after these changes; what build would give for the resulting entries.

    Shapes: packed encoded keys, strictly ascending (hangard_ext.keyblock.sort_changes);
    digests (n, 32). A zero digest deletes; deleting an absent key changes nothing.
    Errors: InvalidRequest (``unsorted-changes``), Corrupt (``corrupt-node``); those of the store.
    """
    changes: Entries = (blob, ends, digests)
    try:
        if root == EMPTY_ROOT:
            return build_up(store, _present(changes, 0), 0)
        top = read_node(store, root).level
        for level in range(top + 1):
            if not len(changes[1]):
                return root
            changes = _edit_level(store, root, level, changes)
        root = build_up(store, _present(changes, top + 1), top + 1)
    except ValueError as error:
        raise invalid_changes(error) from error
    return _without_single_parents(store, root)


def _edit_level(store: NodeStore, root: Digest, level: int, changes: Entries) -> Entries:
    """Apply the changes of one level; the changes of the level above."""
    blob, ends, rows = changes
    cursor = Cursor(store, root, level)
    output = LevelOutput(store, level)
    old: dict[bytes, bytes] = {}
    i = 0
    while i < len(ends):
        cursor.seek(blob[ends[i - 1] if i else 0 : ends[i]])
        while True:
            row = cursor.row
            if row is not None:
                old[cursor.node.last_key] = row
            i = output.writer.merge(cursor.node, blob, ends, rows, i, cursor.is_last)
            output.flush(NODES_BYTES_MAX)
            if not output.writer.pending or not cursor.next():
                break
    new = output.finish()
    return _replacement(old, new) if old else new


def _replacement(old: dict[bytes, bytes], new: Entries) -> Entries:
    """The changes that turn the old entries, key to row, into the new ones.

    Plain dicts: there is one entry a node, mostly a handful, for which numpy took twice as long.
    """
    blob, ends, rows = new
    width = rows.shape[1]
    after = rows.tobytes()
    changes = dict.fromkeys(old, bytes(width))
    for i, (begin, end) in enumerate(pairwise([0, *ends.tolist()])):
        key, row = blob[begin:end], after[width * i : width * (i + 1)]
        if old.get(key) == row:
            del changes[key]
        else:
            changes[key] = row
    keys = sorted(changes)
    return (
        b"".join(keys),
        np.fromiter(accumulate(map(len, keys)), np.uint32, len(keys)),
        np.frombuffer(b"".join(map(changes.__getitem__, keys)), np.uint8).reshape(-1, width),
    )


def _present(changes: Entries, level: int) -> Entries:
    """Only the changes that do not delete."""
    if not len(changes[1]):
        return no_entries(level)
    return _take(changes, np.any(changes[2], axis=1))


def _take(entries: Entries, chosen: npt.NDArray[np.bool_]) -> Entries:
    if chosen.all():
        return entries
    indices = np.flatnonzero(chosen).astype(np.int64, copy=False)
    return (*take_keys(entries[0], entries[1], indices), entries[2][indices])


def _without_single_parents(store: NodeStore, root: Digest) -> Digest:
    """The first level that has a single node is the root, also where a higher tree has shrunk."""
    while root != EMPTY_ROOT:
        node = read_node(store, root)
        if node.level == 0 or len(node) > 1:
            break
        root = node.digest(0)
    return root
