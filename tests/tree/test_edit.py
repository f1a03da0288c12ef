import random

import numpy as np
import pytest
from hangard_ext import treekey
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import tree as model
from reference import treenode as twin

from hangard.errors import Corrupt, InvalidRequest
from hangard.tree.build import build
from hangard.tree.edit import edit
from hangard.tree.store import EMPTY_ROOT

KINDS = ["ints", "names", "long", "quiet", "mixed"]


@st.composite
def edits(draw):
    """(samples, changes) over one pool of keys: single keys, stretches, deletions of stretches."""
    keys = model.pool(draw(st.sampled_from(KINDS)))
    at = st.integers(0, len(keys) - 1)
    samples = {}
    for _ in range(draw(st.integers(0, 3))):
        begin, end = sorted((draw(at), draw(at)))
        samples.update((key, model.digest(1)) for key in keys[begin:end])
    changes = {}
    for _ in range(draw(st.integers(0, 2))):
        begin = draw(at)
        value = draw(st.sampled_from([None, model.digest(1), model.digest(2)]))
        changes.update(dict.fromkeys(keys[begin : begin + draw(st.integers(1, 400))], value))
    for i in draw(st.lists(at, max_size=12)):
        changes[keys[i]] = draw(st.sampled_from([None, model.digest(3)]))
    return samples, changes


@settings(max_examples=150, deadline=None)
@given(edits())
def test_an_edit_gives_the_root_that_a_build_of_the_result_gives(made):
    samples, changes = made
    store = twin.MemoryStore()
    root = build(store, *model.changes_of(samples))
    edited = edit(store, root, *model.changes_of(changes))
    assert edited == build(store, *model.changes_of(model.apply(samples, changes)))


@pytest.mark.parametrize("kind", KINDS)
def test_every_order_of_edits_leads_to_the_same_root(kind):
    keys = model.pool(kind)
    target = {key: model.digest(i) for i, key in enumerate(keys) if i % 3}
    expected = twin.build(target)[0]
    for seed in range(4):
        rng = random.Random(seed)
        steps = [(key, target.get(key)) for key in keys]
        steps += [(key, model.digest(9)) for key in keys if key not in target]
        rng.shuffle(steps)
        # every key that is not in the target is deleted in the end
        store, root = twin.MemoryStore(), EMPTY_ROOT
        for begin in range(0, len(steps), 150):
            root = edit(store, root, *model.changes_of(dict(steps[begin : begin + 150])))
        root = edit(store, root, *model.changes_of({key: target.get(key) for key in keys}))
        assert root == expected


def forced_cuts():
    """(samples, index of each key after which a forced cut falls)."""
    keys = model.pool("quiet")
    groups = twin.cut(0, [(key, b"", 1) for key in keys])
    assert len(groups) > 10
    return dict.fromkeys(keys, model.digest(1)), np.cumsum([len(group) for group in groups])[:-1]


@pytest.mark.parametrize("around", [-2, -1, 0, 1, 2])
def test_inserts_and_deletes_around_forced_cuts_lead_to_the_same_root(around):
    samples, cuts = forced_cuts()
    keys = sorted(samples)
    store = twin.MemoryStore()
    root = build(store, *model.changes_of(samples))
    for cut in cuts[::3].tolist():
        gone = {keys[cut + around]: None}
        without = edit(store, root, *model.changes_of(gone))
        assert without == build(store, *model.changes_of(model.apply(samples, gone)))
        back = edit(store, without, *model.changes_of({keys[cut + around]: model.digest(1)}))
        assert back == root


def test_after_a_forced_cut_the_nodes_meet_again_at_the_next_natural_one():
    quiet = model.pool("quiet")[:1000]
    last = int.from_bytes(quiet[-1][1:], "big")
    natural = [treekey.encode_key(k) for k in range(last + 1, last + 200_000)]
    samples = dict.fromkeys([*quiet, *natural], model.digest(1))
    store = twin.MemoryStore()
    root = build(store, *model.changes_of(samples))
    before = set(store.nodes)
    edited = edit(store, root, *model.changes_of({quiet[10]: None}))
    assert edited == build(
        twin.MemoryStore(), *model.changes_of(model.apply(samples, {quiet[10]: None}))
    )
    assert len(set(store.nodes) - before) < 12


def million():
    store = twin.MemoryStore()
    blob, ends = treekey.encode_keys(range(1_000_000))
    root = build(store, blob, ends, np.full((1_000_000, 32), 7, np.uint8))
    return store, root


def test_an_edit_of_one_key_in_a_million_rewrites_fewer_than_ten_nodes():
    store, root = million()
    written, read = [], []
    rng = random.Random(11)
    for trial in range(300):
        key = treekey.encode_key(rng.randrange(1_000_000) if trial else 999_999)
        new = {
            0: {key: model.digest(trial)},  # another value: exactly the path to it
            1: {key: None},
            2: {treekey.encode_key(1_000_000 + rng.randrange(2**40)): model.digest(1)},
        }[trial % 3]
        before, store.reads = set(store.nodes), 0
        edited = edit(store, root, *model.changes_of(new))
        assert edited != root
        written.append(len(set(store.nodes) - before))
        read.append(store.reads)
        assert trial % 3 or written[-1] == 4
    assert max(written) < 10
    assert sum(written) / len(written) < 4.6
    assert max(read) < 60


def test_changes_that_change_nothing_write_nothing():
    samples = {key: model.digest(1) for key in model.pool("ints")[::2]}
    store = twin.MemoryStore()
    root = build(store, *model.changes_of(samples))
    absent = dict.fromkeys(model.pool("ints")[1::2], None)
    for changes in ({}, samples, absent, {**absent, **samples}):
        nodes = dict(store.nodes)
        assert edit(store, root, *model.changes_of(changes)) == root
        assert store.nodes == nodes


@pytest.mark.parametrize("kind", KINDS)
def test_deleting_all_leads_to_the_empty_root_and_one_left_to_a_single_leaf(kind):
    keys = model.pool(kind)
    store = twin.MemoryStore()
    root = build(store, *model.changes_of(dict.fromkeys(keys, model.digest(1))))
    assert edit(store, root, *model.changes_of(dict.fromkeys(keys))) == EMPTY_ROOT
    for left in (keys[0], keys[len(keys) // 2], keys[-1]):
        changes = {key: None for key in keys if key != left}
        expected = twin.build({left: model.digest(1)})[0]
        assert edit(store, root, *model.changes_of(changes)) == expected


def test_deleting_in_an_empty_tree_leaves_it_empty():
    store = twin.MemoryStore()
    changes = {treekey.encode_key(1): None}
    assert edit(store, EMPTY_ROOT, *model.changes_of(changes)) == EMPTY_ROOT
    changes[treekey.encode_key(2)] = model.digest(2)
    expected = twin.build({treekey.encode_key(2): model.digest(2)})[0]
    assert edit(store, EMPTY_ROOT, *model.changes_of(changes)) == expected


def test_unsorted_changes_are_refused():
    store = twin.MemoryStore()
    root = build(store, *model.changes_of(dict.fromkeys(model.pool("ints"), model.digest(1))))
    blob, ends = treekey.encode_keys([7000, 6000])
    with pytest.raises(InvalidRequest) as caught:
        edit(store, root, blob, ends, np.ones((2, 32), np.uint8))
    assert caught.value.code == "unsorted-changes"


def test_what_is_no_node_is_corrupt_and_an_absent_node_the_stores_own_error():
    store = twin.MemoryStore()
    samples = dict.fromkeys(model.pool("ints"), model.digest(1))
    root = build(store, *model.changes_of(samples))
    changes = model.changes_of({model.pool("ints")[5]: model.digest(2)})
    leaf = twin.build(dict.fromkeys(model.pool("ints"), model.digest(1)))[1]
    first = next(digest for digest in leaf if digest != root)
    good = store.nodes.pop(first)
    with pytest.raises(KeyError):
        edit(store, root, *changes)
    for bad in (good[:-1], twin.encode_node(0, [(b"\x10", b"x" * 32, 1)])):
        store.nodes[first] = bad
        with pytest.raises(Corrupt) as caught:
            edit(store, root, *changes)
        assert caught.value.code == "corrupt-node"
