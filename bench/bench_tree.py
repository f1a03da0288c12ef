"""The prolly tree of a large column, its nodes in memory: build, look-ups, small edits, diff."""

from __future__ import annotations

from itertools import count

import numpy as np
import numpy.typing as npt
from hangard_ext.treekey import encode_key, encode_keys

from bench.data import digests
from bench.harness import Bench, Case, Mark
from hangard.model.commit import Digest
from hangard.tree.build import build
from hangard.tree.diff import diff_blocks
from hangard.tree.edit import edit
from hangard.tree.iterate import iterate
from hangard.tree.search import find, find_many
from hangard.tree.store import EMPTY_ROOT

CHANGES_FEW = 10
CHANGES_DIFF = 100


class MemoryNodes:
    """A node store that counts what it is given."""

    def __init__(self) -> None:
        self.nodes: dict[Digest, bytes] = {}
        self.put_nodes = 0
        self.put_bytes = 0

    def get(self, digest: Digest, /) -> bytes:
        return self.nodes[digest]

    def put_many(
        self, digests: npt.NDArray[np.uint8], blob: bytes, ends: npt.NDArray[np.uint64], /
    ) -> None:
        begin = 0
        for row, end in zip(digests, ends.tolist(), strict=True):
            self.nodes[row.tobytes()] = blob[begin:end]
            begin = end
        self.put_nodes += len(ends)
        self.put_bytes += len(blob)


def run(bench: Bench) -> None:
    size = bench.scaled(1_000_000, 100_000)
    lookups = bench.scaled(10_000, 2_000)
    random = np.random.default_rng(4)
    nodes = MemoryNodes()
    values = digests(size, 5)
    blob, ends = encode_keys(range(size))
    root = build(nodes, blob, ends, values)
    wanted_blob, wanted_ends = encode_keys(np.sort(random.choice(size, lookups, replace=False)))
    few = [encode_key(int(key)) for key in random.integers(0, size, 1000)]
    seeds = count(100)

    def changes(number: int) -> tuple[bytes, npt.NDArray[np.uint32], npt.NDArray[np.uint8]]:
        keys = np.sort(random.choice(size, number, replace=False))
        return (*encode_keys(keys), digests(number, next(seeds)))

    def few_found() -> int:
        return sum(find(nodes, root, key) is not None for key in few)

    def check(found: int, expected: int) -> None:
        assert found == expected, f"{found} instead of {expected}"

    other = edit(nodes, root, *changes(CHANGES_DIFF))
    assert other not in (root, EMPTY_ROOT)
    bench.measure(
        Case(
            name="encode keys of a range",
            call=lambda _: encode_keys(range(size)),
            work=size,
            unit="keys",
        ),
        Case(
            name=f"build {size / 1e6:g} million",
            prepare=MemoryNodes,
            call=lambda empty: build(empty, blob, ends, values),
            finish=lambda built: check(int(built == root), 1),
            work=size,
            unit="keys",
        ),
        Case(
            name="iterate over all",
            call=lambda _: sum(len(block[1]) for block in iterate(nodes, root)),
            finish=lambda found: check(found, size),
            work=size,
            unit="keys",
        ),
        Case(
            name=f"find {lookups} random keys, one call",
            call=lambda _: int(find_many(nodes, root, wanted_blob, wanted_ends)[1].sum()),
            finish=lambda found: check(found, lookups),
            work=lookups,
            unit="keys",
        ),
        Case(
            name="find random keys, one call each",
            call=lambda _: few_found(),
            finish=lambda found: check(found, len(few)),
            work=len(few),
            unit="keys",
        ),
        Case(
            name=f"edit {CHANGES_FEW} random keys",
            prepare=lambda: changes(CHANGES_FEW),
            call=lambda changed: edit(nodes, root, *changed),
            work=1,
            unit="edits",
        ),
        Case(
            name=f"diff of {CHANGES_DIFF} random changes",
            call=lambda _: sum(len(block[1]) for block in diff_blocks(nodes, root, other)),
            finish=lambda found: check(found, CHANGES_DIFF),
            work=1,
            unit="diffs",
        ),
    )
    for number in (1, CHANGES_FEW):
        nodes.put_nodes = nodes.put_bytes = 0
        edit(nodes, root, *changes(number))
        marks = [Mark(quantity="value", at_most=9)] if number == 1 else []
        bench.count(f"nodes rewritten for {number} key(s)", nodes.put_nodes, "nodes", *marks)
        bench.count(f"bytes of nodes for {number} key(s)", nodes.put_bytes, "B")
