import random

import numpy as np
import pytest
from hangard_ext import treekey
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import tree as model
from reference import treenode as twin

from hangard.errors import Corrupt
from hangard.tree.build import build
from hangard.tree.diff import diff
from hangard.tree.edit import edit
from hangard.tree.store import EMPTY_ROOT

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
