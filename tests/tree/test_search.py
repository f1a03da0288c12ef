import pytest
from hangard_ext.treecache import NodeCache
from reference import tree as model
from reference import treekey as twin_keys
from reference import treenode as twin

from hangard.errors import Corrupt
from hangard.tree.build import build
from hangard.tree.iterate import iterate
from hangard.tree.search import count, find, find_many
from hangard.tree.store import EMPTY_ROOT

KINDS = ["ints", "names", "long", "quiet"]


def built(kind):
    samples = {key: model.digest(i) for i, key in enumerate(model.pool(kind)[::2])}
    store = twin.MemoryStore()
    return samples, store, build(store, *model.changes_of(samples))


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_keys_are_found_with_and_without_a_cache(kind, cached):
    samples, store, root = built(kind)
    source = NodeCache(store.get, 10**6) if cached else store
    keys = model.pool(kind)
    assert [find(source, root, key) for key in keys[:100]] == [samples.get(k) for k in keys[:100]]
    digests, found = find_many(source, root, *twin_keys.pack(keys))
    assert found.tolist() == [key in samples for key in keys]
    assert [bytes(row) for row in digests] == [samples.get(key, twin.ZERO) for key in keys]


@pytest.mark.parametrize("kind", KINDS)
def test_iteration_gives_all_entries_in_order_from_the_start_key_on(kind):
    samples, store, root = built(kind)
    keys = model.pool(kind)
    for start in (
        None,
        keys[0],
        keys[1],
        keys[len(keys) // 2],
        keys[-1],
        keys[-1] + b"\xff",
        b"\0",
    ):
        got = [pair for block in iterate(store, root, start) for pair in twin_keys.pairs_of(*block)]
        assert got == [
            pair for pair in sorted(samples.items()) if start is None or pair[0] >= start
        ]


def test_an_empty_tree_has_nothing():
    store = twin.MemoryStore()
    assert find(store, EMPTY_ROOT, b"\x10") is None
    assert list(iterate(store, EMPTY_ROOT)) == []
    assert count(store, EMPTY_ROOT) == 0


def test_the_count_reads_the_root_only():
    samples, store, root = built("ints")
    store.reads = 0
    assert count(store, root) == len(samples)
    assert store.reads == 1


def test_what_is_no_node_is_corrupt():
    class Junk:
        def get(self, digest):
            return b"junk"

    blob, ends = twin_keys.pack([b"\x10"])
    for call in (
        lambda: find(Junk(), b"r" * 32, b"\x10"),
        lambda: find_many(Junk(), b"r" * 32, blob, ends),
        lambda: count(Junk(), b"r" * 32),
        lambda: list(iterate(Junk(), b"r" * 32)),
    ):
        with pytest.raises(Corrupt) as caught:
            call()
        assert caught.value.code == "corrupt-node"
