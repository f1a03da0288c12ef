import numpy as np
import pytest
from hangard_ext import treekey, treenode
from hangard_ext.treewriter import NodeWriter
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import treekey as twin_keys
from reference import treenode as twin

DIGEST = b"d" * 32


def rows_of(level, entries):
    width = 40 if level else 32
    joined = b"".join(
        digest + (count.to_bytes(8, "little") if level else b"") for _, digest, count in entries
    )
    return np.frombuffer(joined, np.uint8).reshape(-1, width)


def written(level, entries):
    """[(node, last key, count)] of a NodeWriter."""
    writer = NodeWriter(level)
    blob, ends = twin_keys.pack(key for key, _, _ in entries)
    assert writer.add(blob, ends, rows_of(level, entries)) == len(entries)
    writer.finish()
    nodes, node_ends, keys, key_ends, counts = writer.take()
    return list(
        zip(
            twin_keys.unpack(nodes, node_ends),
            twin_keys.unpack(keys, key_ends),
            counts.tolist(),
            strict=True,
        )
    )


def expected(level, entries):
    return [
        (twin.encode_node(level, group), group[-1][0], sum(count for _, _, count in group))
        for group in twin.cut(level, entries)
    ]


key_lists = st.one_of(
    st.integers(0, 400).map(range),
    st.lists(st.integers(0, 2**63 - 1), max_size=200),
    st.lists(st.text("ab", min_size=1, max_size=250), max_size=60),
    st.lists(st.tuples(st.integers(0, 4), st.text("xyz", min_size=1, max_size=9)), max_size=150),
)


@settings(max_examples=60)
@given(st.integers(0, 3), key_lists, st.randoms(use_true_random=False))
def test_the_writer_cuts_and_encodes_as_the_twin(level, keys, rng):
    encoded = sorted({treekey.encode_key(key) for key in keys})
    counts = [rng.randint(1, 2**50) if level else 1 for _ in encoded]
    entries = [
        (key, bytes([rng.randint(1, 255)]) * 32, count)
        for key, count in zip(encoded, counts, strict=True)
    ]
    assert written(level, entries) == expected(level, entries)


def never_cut(level, how_many):
    """Int keys whose hash never asks for a cut."""
    keys = (treekey.encode_key(k) for k in range(10**9))
    chosen = []
    for key in keys:
        if not twin.wants_cut(level, key):
            chosen.append(key)
        if len(chosen) == how_many:
            return chosen


@pytest.mark.parametrize("level", [0, 1])
def test_without_a_cut_by_hash_the_hard_maximum_cuts(level):
    entries = [(key, DIGEST, 1) for key in never_cut(level, 900)]
    nodes = written(level, entries)
    assert nodes == expected(level, entries)
    assert len(nodes) > 3
    sizes = [len(node) for node, _, _ in nodes]
    assert max(sizes) <= treenode.NODE_BYTES_MAX
    assert min(sizes[:-1]) > treenode.NODE_BYTES_MAX - 1000


def test_the_longest_keys_stay_within_the_hard_maximum():
    keys = [treekey.encode_key((f"{i:05d}" + "x" * 250, "y" * 255)) for i in range(300)]
    assert len(keys[0]) == treekey.ENCODED_KEY_BYTES_MAX
    for level in (0, 1):
        quiet = [key for key in keys if not twin.wants_cut(level, key)]
        nodes = written(level, [(key, DIGEST, 1) for key in quiet])
        assert max(len(node) for node, _, _ in nodes) <= treenode.NODE_BYTES_MAX
        assert min(len(treenode.Node(node)) for node, _, _ in nodes[:-1]) >= 2


@pytest.mark.parametrize(
    "make",
    [
        lambda i: i,
        lambda i: i * 1_000_003,
        lambda i: f"{i:08d}.png",
        lambda i: f"{i:08d}" + "x" * 92,
        lambda i: f"{i:08d}" + "x" * 240,
        lambda i: (f"{i // 10:07d}" + "x" * 240, "y" * 249 + str(i % 10)),
    ],
)
@pytest.mark.parametrize("level", [0, 1])
def test_nodes_have_two_kibibytes_on_average_whatever_the_length_of_the_keys(make, level):
    keys = sorted(treekey.encode_key(make(i)) for i in range(20_000))
    entry_bytes = twin.entry_bytes(level, keys[-1])
    blob, ends = twin_keys.pack(keys)
    rows = np.ones((len(keys), 40 if level else 32), np.uint8)
    writer = NodeWriter(level)
    writer.add(blob, ends, rows)
    writer.finish()
    whole = len(keys) * entry_bytes / len(writer.take()[1])
    # 470 nodes or more, each with a standard deviation of 1024
    assert 2048 - 200 < whole < 2048 + entry_bytes / 2 + 200


def test_adding_stops_at_the_wished_size_and_goes_on_from_there():
    blob, ends = treekey.encode_keys(range(5000))
    rows = np.ones((5000, 32), np.uint8)
    writer, at, pieces = NodeWriter(0), 0, []
    while at < 5000:
        at = writer.add(blob, ends, rows, at, 10_000)
        assert writer.finished_bytes < 10_000 + treenode.NODE_BYTES_MAX
        pieces.append(writer.take()[0])
    writer.finish()
    pieces.append(writer.take()[0])
    assert len(pieces) > 10
    whole = NodeWriter(0)
    whole.add(blob, ends, rows)
    whole.finish()
    assert b"".join(pieces) == whole.take()[0]


def test_pending_is_zero_right_after_a_cut():
    blob, ends = treekey.encode_keys(range(3000))
    rows = np.ones((3000, 32), np.uint8)
    cuts = np.cumsum(
        [
            len(group)
            for group in twin.cut(0, [(key, DIGEST, 1) for key in twin_keys.unpack(blob, ends)])
        ]
    )
    writer = NodeWriter(0)
    writer.add(blob[: ends[cuts[0] - 1]], ends[: cuts[0]], rows[: cuts[0]])
    assert writer.pending == 0
    key = blob[ends[cuts[0] - 1] : ends[cuts[0]]]
    writer.add(*twin_keys.pack([key]), rows[:1])
    assert writer.pending == 1


@settings(max_examples=60)
@given(
    st.sets(st.integers(0, 300)),
    st.dictionaries(st.integers(0, 320), st.booleans()),
    st.booleans(),
)
def test_merge_applies_changes_up_to_the_nodes_last_key(present, changes, is_last):
    present.add(150)
    entries = [(treekey.encode_key(k), b"o" * 32, 1) for k in sorted(present)]
    # one node, whatever the cut would say
    node = treenode.Node(twin.encode_node(0, entries))
    keys = sorted(changes)
    digests = [b"n" * 32 if changes[k] else bytes(32) for k in keys]
    packed = twin_keys.changes_of(zip(map(treekey.encode_key, keys), digests, strict=True))
    writer = NodeWriter(0)
    taken = writer.merge(node, *packed, 0, is_last)
    assert taken == (len(keys) if is_last else sum(k <= max(present) for k in keys))
    result = dict.fromkeys(present, b"o" * 32)
    for k in keys[:taken]:
        if changes[k]:
            result[k] = b"n" * 32
        else:
            result.pop(k, None)
    writer.finish()
    nodes, node_ends, *_ = writer.take()
    got = []
    for data in twin_keys.unpack(nodes, node_ends):
        got += twin_keys.pairs_of(*treenode.Node(data).block())
    assert got == [(treekey.encode_key(k), digest) for k, digest in sorted(result.items())]


def test_wrong_entries_are_refused():
    blob, ends = treekey.encode_keys([1, 2])
    rows = np.ones((2, 32), np.uint8)
    unsorted, twice = treekey.encode_keys([2, 1]), treekey.encode_keys([1, 1])
    for wrong in (unsorted, twice):
        with pytest.raises(ValueError, match="strictly ascending"):
            NodeWriter(0).add(*wrong, rows)
    with pytest.raises(ValueError, match="zero digest"):
        NodeWriter(0).add(blob, ends, np.zeros((2, 32), np.uint8))
    with pytest.raises(ValueError, match="ends do not fit"):
        NodeWriter(0).add(blob, ends + np.uint32(1), rows)
    with pytest.raises(ValueError, match="rows of shape"):
        NodeWriter(1).add(blob, ends, rows)
    with pytest.raises(ValueError, match="begin 3"):
        NodeWriter(0).add(blob, ends, rows, 3)
    with pytest.raises(ValueError, match="level 64"):
        NodeWriter(64)
    writer = NodeWriter(0)
    writer.add(blob, ends, rows)
    with pytest.raises(ValueError, match="strictly ascending"):
        writer.add(blob, ends, rows)
    leaf = treenode.Node(twin.encode_node(0, [(b"\x10", DIGEST, 1)]))
    with pytest.raises(ValueError, match="level 0 for a writer of level 1"):
        NodeWriter(1).merge(leaf, blob, ends, np.ones((2, 40), np.uint8), 0, True)
