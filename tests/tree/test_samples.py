import numpy as np
from hangard_ext import treekey
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import tree as model
from reference import treenode as twin

from hangard.tree.build import build
from hangard.tree.samples import sample_blocks, sample_entries
from hangard.tree.store import EMPTY_ROOT

parts = st.one_of(st.integers(0, 300), st.text("ab", min_size=1, max_size=3))


def stored(pairs):
    store = twin.MemoryStore()
    entries = {treekey.encode_key(pair): model.digest(i) for i, pair in enumerate(pairs)}
    return store, build(store, *model.changes_of(entries)), entries


def samples_of(store, root):
    blocks = list(sample_blocks(store, root))
    assert all(len(block[1]) for block in blocks)
    return [key for block in blocks for key in treekey.decode_keys(*block)]


@settings(max_examples=60)
@given(st.sets(st.tuples(parts, parts), max_size=250))
def test_samples_and_their_entries_equal_those_of_a_dict(pairs):
    store, root, entries = stored(pairs)
    ordered = sorted({treekey.encode_key(sample) for sample, _ in pairs})
    assert samples_of(store, root) == [treekey.decode_key(key) for key in ordered]
    for sample in [*ordered, treekey.encode_key("absent"), treekey.encode_key(1000)]:
        blob, ends, digests = sample_entries(store, root, sample)
        expected = sorted(
            (key, digest) for key, digest in entries.items() if key.startswith(sample)
        )
        assert treekey.decode_keys(blob, ends) == [treekey.decode_key(key) for key, _ in expected]
        assert [digest.tobytes() for digest in digests] == [digest for _, digest in expected]


def test_a_sample_costs_its_own_leaves_and_the_samples_pass_over_them():
    class Counting(twin.MemoryStore):
        reads = 0

        def get(self, digest):
            self.reads += 1
            return super().get(digest)

    store = Counting()
    pairs = [("large", i) for i in range(50_000)] + [(f"s{i:05d}", i) for i in range(2000)]
    pairs.append(("z", 0))
    blob, ends = treekey.encode_keys(pairs)
    root = build(store, blob, ends, np.ones((len(ends), 32), np.uint8))
    store.reads = 0
    assert len(sample_entries(store, root, treekey.encode_key("s00700"))[1]) == 1
    assert store.reads < 10
    store.reads = 0
    assert len(samples_of(store, root)) == 2002
    assert store.reads < 200


def test_an_empty_tree_has_no_samples():
    store = twin.MemoryStore()
    assert samples_of(store, EMPTY_ROOT) == []
    assert len(sample_entries(store, EMPTY_ROOT, treekey.encode_key(1))[1]) == 0
