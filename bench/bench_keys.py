"""Keys: encoding and sorting them, and finding them through a cache of nodes."""

from __future__ import annotations

import random
from collections.abc import Iterable

from hangard_ext.keyblock import sort_changes
from hangard_ext.treecache import NodeCache
from hangard_ext.treekey import encode_key, encode_keys

from bench.bench_tree import MemoryNodes
from bench.data import digests
from bench.harness import Bench, Case
from hangard.model.commit import Digest
from hangard.tree.build import build

BATCH = 60_000
HOT = 1000
CACHE_BYTES = 256 * 1024 * 1024


def run(bench: Bench) -> None:
    encoding(bench)
    size = bench.scaled(1_000_000, 100_000)
    nodes = MemoryNodes()
    searching(bench, nodes, build(nodes, *encode_keys(range(size)), digests(size)), size)


def encoding(bench: Bench) -> None:
    numbers = list(range(BATCH))
    names = [f"train/{i:06d}.png" for i in numbers]
    blob, ends = encode_keys(random.Random(1).sample(names, BATCH))
    values = digests(BATCH)

    def case(name: str, keys: Iterable[object]) -> Case:
        return Case(name=name, call=lambda _: encode_keys(keys), work=BATCH, unit="keys")

    bench.measure(
        case("encode a range", range(BATCH)),
        case("encode a list of ints", numbers),
        case("encode a list of names", names),
        Case(
            name="sort shuffled names",
            call=lambda _: sort_changes(blob, ends, values),
            work=BATCH,
            unit="keys",
        ),
    )


def searching(bench: Bench, nodes: MemoryNodes, root: Digest, size: int) -> None:
    chosen = random.Random(3).sample(range(size), BATCH)
    encoded = [encode_key(key) for key in chosen]
    shuffled = encode_keys(chosen)
    ascending = encode_keys(range(BATCH))
    cache = NodeCache(nodes.get, CACHE_BYTES)

    def find_each(keys: list[bytes]) -> int:
        find = cache.find
        return sum(find(root, key) is not None for key in keys)

    def check(found: int) -> None:
        assert found == BATCH, f"{found} of {BATCH} keys found"

    bench.measure(
        Case(
            name="find random keys one by one, all cached",
            prepare=lambda: find_each(encoded),
            call=lambda _: find_each(encoded),
            finish=check,
            work=BATCH,
            unit="keys",
        ),
        Case(
            name=f"find {HOT} hot keys one by one",
            call=lambda _: find_each(encoded[:HOT] * (BATCH // HOT)),
            finish=check,
            work=BATCH,
            unit="keys",
        ),
        Case(
            name="find random keys in one call, all cached",
            call=lambda _: int(cache.find_many(root, *shuffled)[1].sum()),
            finish=check,
            work=BATCH,
            unit="keys",
        ),
        Case(
            name="find ascending keys in one call, all cached",
            call=lambda _: int(cache.find_many(root, *ascending)[1].sum()),
            finish=check,
            work=BATCH,
            unit="keys",
        ),
        Case(
            name="find random keys one by one, nothing cached",
            prepare=cache.clear,
            call=lambda _: find_each(encoded),
            finish=check,
            work=BATCH,
            unit="keys",
        ),
    )
