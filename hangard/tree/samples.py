"""Trees whose keys are pairs: the entries of one sample, and the samples.

What is read of a tree is what is asked for: one sample costs its own leaves, and a list of samples
passes over those that lie within a sample.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

import numpy as np
from hangard_ext.keyblock import take_keys
from hangard_ext.pairkey import group_pairs

from hangard.model.commit import Digest
from hangard.model.keys import PackedKeys
from hangard.tree.cursor import Cursor
from hangard.tree.iterate import iterate
from hangard.tree.store import EMPTY_ROOT, Changes, NodeSource, corrupt_node

BEYOND = b"\xff"
"""No key part begins with it, so what ends in it sorts behind all keys of the sample before."""


def sample_entries(source: NodeSource, root: Digest, sample: bytes) -> Changes:
    """All entries (blob, ends (n,), digests (n, 32)) of one encoded sample key, in order.

    None has it: n is 0. Errors: Corrupt (``corrupt-node``); those of the source.
    """
    blocks = []
    for block in iterate(source, root, sample):
        stop = _position(block, sample + BEYOND)
        if stop < len(block[1]):
            blocks.append(_first(block, stop))
            break
        blocks.append(block)
    return joined(blocks)


def sample_blocks(source: NodeSource, root: Digest) -> Iterator[PackedKeys]:
    """The encoded sample keys of a tree, each once, in order, in blocks that are not empty.

    Errors: Corrupt (``corrupt-node``); those of the source.
    """
    if root == EMPTY_ROOT:
        return
    cursor = Cursor(source, root, 0)
    last = b""
    while True:
        cursor.seek(last + BEYOND if last else b"")
        if last and cursor.node.last_key < last + BEYOND:
            return
        blob, ends, _ = cursor.node.block()
        try:
            samples = group_pairs(blob, ends)[:2]
        except ValueError as error:
            raise corrupt_node(error) from error
        if last and samples[0][: int(samples[1][0])] == last:
            samples = take_keys(*samples, np.arange(1, len(samples[1])))
        if not len(samples[1]):
            return
        yield samples
        begin = int(samples[1][-2]) if len(samples[1]) > 1 else 0
        last = samples[0][begin:]


def joined(blocks: list[Changes]) -> Changes:
    """Blocks, one after the other, as one."""
    if len(blocks) == 1:
        return blocks[0]
    if not blocks:
        return b"", np.empty(0, np.uint32), np.empty((0, 32), np.uint8)
    starts = np.cumsum([0] + [len(blob) for blob, _, _ in blocks[:-1]]).tolist()
    return (
        b"".join(blob for blob, _, _ in blocks),
        np.concatenate(
            [block[1] + np.uint32(start) for block, start in zip(blocks, starts, strict=True)]
        ),
        np.concatenate([digests for _, _, digests in blocks]),
    )


def _position(block: Changes, key: bytes) -> int:
    """How many keys of a sorted block lie before ``key``."""
    blob, ends, _ = block

    def key_at(i: int) -> bytes:
        return blob[int(ends[i - 1]) if i else 0 : int(ends[i])]

    return bisect_left(range(len(ends)), key, key=key_at)


def _first(block: Changes, count: int) -> Changes:
    blob, ends, digests = block
    return blob[: int(ends[count - 1]) if count else 0], ends[:count], digests[:count]
