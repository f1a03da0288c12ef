import numpy as np
import pytest
from hangard_ext import treekey
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import tree as model
from reference import treenode as twin

from hangard.errors import InvalidRequest
from hangard.tree.build import build
from hangard.tree.search import count
from hangard.tree.store import EMPTY_ROOT


@pytest.mark.parametrize("kind", ["ints", "names", "long", "quiet", "mixed"])
def test_the_nodes_of_a_built_tree_equal_the_twins(kind):
    samples = {key: model.digest(i) for i, key in enumerate(model.pool(kind))}
    store = twin.MemoryStore()
    root = build(store, *model.changes_of(samples))
    assert (root, store.nodes) == twin.build(samples)
    assert count(store, root) == len(samples)


@settings(max_examples=30)
@given(st.dictionaries(st.text("abc", min_size=1, max_size=6), st.integers(0, 9), max_size=300))
def test_the_root_depends_on_the_contents_only(entries):
    samples = {treekey.encode_key(key): model.digest(value) for key, value in entries.items()}
    store = twin.MemoryStore()
    assert build(store, *model.changes_of(samples)) == twin.build(samples)[0]


def test_no_entries_make_the_empty_root_and_no_node():
    store = twin.MemoryStore()
    assert build(store, *model.changes_of({})) == EMPTY_ROOT
    assert store.nodes == {}
    assert count(store, EMPTY_ROOT) == 0


def test_entries_out_of_order_and_zero_digests_are_refused():
    blob, ends = treekey.encode_keys([3, 1])
    for wrong in (np.ones((2, 32), np.uint8), np.zeros((2, 32), np.uint8)):
        with pytest.raises(InvalidRequest) as caught:
            build(twin.MemoryStore(), blob, ends, wrong)
        assert caught.value.code == "unsorted-changes"


def test_a_large_tree_is_put_in_batches_and_counts_its_entries():
    class Batches(twin.MemoryStore):
        sizes = ()

        def put_many(self, digests, blob, ends):
            self.sizes = (*self.sizes, len(blob))
            super().put_many(digests, blob, ends)

    store = Batches()
    blob, ends = treekey.encode_keys(range(300_000))
    root = build(store, blob, ends, np.ones((300_000, 32), np.uint8))
    assert count(store, root) == 300_000
    assert len(store.sizes) > 4
    assert max(store.sizes) < 5 * 2**20
