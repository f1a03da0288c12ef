import random

import numpy as np
import pytest
from hangard_ext import treekey
from hangard_ext.treecache import NodeCache
from hangard_ext.treediff import TreeDiff
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import tree as model
from reference import treenode as twin

from hangard.errors import Corrupt
from hangard.tree import ahead
from hangard.tree.build import build
from hangard.tree.diff import diff
from hangard.tree.edit import edit
from hangard.tree.store import EMPTY_ROOT, MemoryNodes, read_node


class OneByOne:
    """A source without get_many."""

    def __init__(self, source):
        self.get = source.get


class ManyNodes(twin.MemoryStore):
    """A store that brings many nodes at once, and counts how often and how many."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def get_many(self, digests):
        self.asked.append(len(digests))
        return [self.nodes[digest] for digest in digests]


KINDS = ["ints", "names", "long", "quiet", "mixed"]


@st.composite
def contents(draw, keys):
    """{key: digest}: a few stretches of the pool, with single keys changed or missing."""
    at = st.integers(0, len(keys))
    samples = {}
    for _ in range(draw(st.integers(0, 2))):
        begin, end = sorted((draw(at), draw(at)))
        samples.update((key, model.digest(1)) for key in keys[begin:end])
    for key in draw(st.lists(st.sampled_from(keys), max_size=8)):
        samples[key] = model.digest(draw(st.integers(1, 3)))
    for key in draw(st.lists(st.sampled_from(keys), max_size=8)):
        samples.pop(key, None)
    return samples


@st.composite
def pairs(draw):
    keys = model.pool(draw(st.sampled_from(KINDS)))
    return draw(contents(keys)), draw(contents(keys))


@settings(max_examples=120, deadline=None)
@given(pairs())
def test_the_diff_of_two_trees_is_the_difference_of_the_dicts(made):
    a, b = made
    store = twin.MemoryStore()
    root_a, root_b = (build(store, *model.changes_of(side)) for side in made)
    assert list(diff(store, root_a, root_b)) == model.difference(a, b)
    assert list(diff(store, root_b, root_a)) == model.difference(b, a)


@settings(max_examples=120, deadline=None)
@given(pairs(), st.integers(1, 5), st.sampled_from([0, 20_000, 10**7]))
def test_nodes_that_come_many_at_once_make_the_same_diff(made, piece, cache_bytes):
    store = ManyNodes()
    root_a, root_b = (build(store, *model.changes_of(side)) for side in made)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ahead, "PIECE_NODES_MAX", piece)
        patch.setattr(ahead, "READY_NODES_MAX", 4 * piece)
        for a, b in ((root_a, root_b), (root_b, root_a)):
            expected = list(diff(OneByOne(store), a, b))
            for source in (
                store,
                MemoryNodes(store),
                NodeCache(store.get, cache_bytes),
                NodeCache(store.get, cache_bytes, store.get_many),
            ):
                assert list(diff(source, a, b)) == expected


def test_a_tree_against_the_empty_one_is_all_of_it():
    samples = {key: model.digest(1) for key in model.pool("names")}
    store = twin.MemoryStore()
    root = build(store, *model.changes_of(samples))
    assert list(diff(store, EMPTY_ROOT, root)) == model.difference({}, samples)
    assert list(diff(store, root, EMPTY_ROOT)) == model.difference(samples, {})


def big():
    store = twin.MemoryStore()
    blob, ends = treekey.encode_keys(range(0, 400_000, 2))
    return store, build(store, blob, ends, np.full((200_000, 32), 7, np.uint8))


def test_reads_grow_with_the_differences_not_with_the_tree():
    store, root = big()
    rng = random.Random(2)
    for how_many in (1, 10, 100):
        numbers = rng.sample(range(400_000), how_many)
        changes = {treekey.encode_key(k): rng.choice([model.digest(1), None]) for k in numbers}
        edited = edit(store, root, *model.changes_of(changes))
        store.reads = 0
        found = {key: new for key, _, new in diff(store, root, edited)}
        assert {key: value for key, value in changes.items() if key in found} == found
        assert store.reads <= 2 * (how_many + 1) * 6


def big_one():
    made, root = big()
    store = ManyNodes()
    store.nodes = made.nodes
    return store, root


def test_spread_differences_are_asked_for_level_by_level():
    store, root = big_one()
    changed = [treekey.encode_key(k) for k in range(0, 400_000, 4_000)]
    edited = edit(store, root, *model.changes_of(dict.fromkeys(changed, model.digest(1))))
    store.reads, store.asked = 0, []
    assert [key for key, _, _ in diff(store, root, edited)] == sorted(changed)
    assert store.reads == 0
    levels = read_node(OneByOne(store), root).level + 1
    assert len(store.asked) == levels
    assert store.asked[0] == 2
    list(diff(OneByOne(store), root, edited))
    assert store.reads > 200


@pytest.mark.parametrize("other", ["empty", "one key", "half", "other values"])
def test_trees_that_differ_everywhere_come_in_pieces_and_each_node_once(other):
    store, root = big_one()
    numbers = {"empty": [], "one key": [7], "half": range(0, 200_000, 2)}.get(
        other, range(0, 400_000, 2)
    )
    blob, ends = treekey.encode_keys(numbers)
    second = build(store, blob, ends, np.full((len(ends), 32), 9, np.uint8))
    store.reads, store.asked = 0, []
    found = sum(1 for _ in diff(store, root, second))
    assert found == 200_000 + (other == "one key")
    assert max(store.asked) <= ahead.PIECE_NODES_MAX
    brought, alone = sum(store.asked), store.reads
    store.reads = 0
    list(diff(OneByOne(store), root, second))
    assert brought + alone <= store.reads * 1.05
    assert alone <= store.reads * 0.05


def test_no_more_nodes_wait_than_the_bound_says():
    store, root = big_one()
    nodes = ahead.NodesAhead(store, EMPTY_ROOT, root)
    for digest in list(store.nodes):
        nodes.get(digest)  # an order that is none of a walk's
        assert len(nodes._ready) <= ahead.READY_NODES_MAX


def test_a_node_that_is_missing_is_the_stores_error_only_when_the_walk_comes_to_it():
    class Lossy(ManyNodes):
        def get(self, digest):
            if digest not in self.nodes:
                raise Corrupt("gone", code="missing-node")
            return self.nodes[digest]

        def get_many(self, digests):
            return [self.get(digest) for digest in digests]

    made, root = big()
    store = Lossy()
    store.nodes = dict(made.nodes)
    kept = set(store.nodes)
    first, last = (treekey.encode_key(k) for k in (0, 300_000))
    edited = edit(store, root, *model.changes_of({last: model.digest(1)}))
    leaf = next(d for d in store.nodes if d not in kept and read_node(store, d).level == 0)
    edited = edit(store, edited, *model.changes_of({first: model.digest(1)}))
    del store.nodes[leaf]
    walk = TreeDiff(ahead.NodesAhead(store, root, edited).get, root, edited, 1)
    assert next(walk)[0] == first
    with pytest.raises(Corrupt) as caught:
        next(walk)
    assert caught.value.code == "missing-node"


@pytest.mark.parametrize(
    "keys",
    [range(0, 40_000, 2), range(100_001, 140_001, 2), [f"{k:06d}" for k in range(20_000)]],
    ids=["deleted at the begin", "inserted in the middle", "appended"],
)
def test_trees_that_differ_in_one_stretch_share_the_rest(keys):
    store, root = big()
    value = None if keys[0] == 0 else model.digest(2)
    changes = dict.fromkeys(map(treekey.encode_key, keys), value)
    edited = edit(store, root, *model.changes_of(changes))
    store.reads = 0
    assert len(list(diff(store, root, edited))) == 20_000
    # 50 entries a leaf: in the stretch, up to 400 leaves of one tree and 800 of the other
    assert store.reads < 1200 * 1.15


def test_what_is_no_node_is_corrupt_and_an_absent_node_the_stores_own_error():
    class Junk:
        def get(self, digest):
            return b"junk"

    with pytest.raises(Corrupt) as caught:
        list(diff(Junk(), b"a" * 32, b"b" * 32))
    assert caught.value.code == "corrupt-node"
    with pytest.raises(KeyError):
        list(diff(twin.MemoryStore(), b"a" * 32, b"b" * 32))
