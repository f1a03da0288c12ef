import random
from pathlib import Path

import numpy as np
import pytest
from hangard_ext import treekey, treenode
from hangard_ext.treenode import Node
from hypothesis import given
from hypothesis import strategies as st
from reference import treekey as twin_keys
from reference import treenode as twin

GOLDEN = Path(__file__).parents[1] / "golden"

parts = st.one_of(
    st.integers(0, 2**63 - 1),
    st.integers(0, 50),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12),
)
digests = st.binary(min_size=32, max_size=32).filter(any)
levels = st.integers(0, treenode.NODE_LEVEL_MAX)


@st.composite
def nodes(draw, keys=parts):
    """(level, entries) of a legal node that no cut would have ended earlier."""
    level = draw(levels)
    many = sorted(
        {treekey.encode_key(key) for key in draw(st.lists(keys, min_size=1, max_size=30))}
    )
    counts = st.integers(1, 2**40) if level else st.just(1)
    entries = [(key, draw(digests), draw(counts)) for key in many]
    return level, twin.cut(level, entries)[0]


@given(levels, st.binary(max_size=40))
def test_the_hash_equals_the_twin(level, key):
    assert treenode.entry_hash(level, key) == twin.entry_hash(level, key)


def test_the_permanent_hash_of_some_keys():
    lines = (GOLDEN / "entry_hash.txt").read_text().split()
    for level, key, expected in zip(lines[::3], lines[1::3], lines[2::3], strict=True):
        assert f"{treenode.entry_hash(int(level), bytes.fromhex(key)):016x}" == expected


@pytest.mark.parametrize("name", ["leaf_node", "branch_node"])
def test_the_permanent_bytes_of_a_node(name):
    data = bytes.fromhex((GOLDEN / f"{name}.hex").read_text())
    treenode.check_node(data, nested=False)
    node = Node(data)
    level = 0 if name == "leaf_node" else 2
    assert node.level == level
    keys = [treekey.decode_key(node.key(i)) for i in range(len(node))]
    assert keys == [7, 300, 2**63 - 1, "ada", "bøb"]
    assert [node.digest(i) for i in range(5)] == [bytes([i + 1]) * 32 for i in range(5)]
    assert node.count == (5 if level == 0 else sum(1000 + i for i in range(5)))


@given(nodes())
def test_a_node_gives_back_its_entries(made):
    level, entries = made
    data = twin.encode_node(level, entries)
    treenode.check_node(data, nested=False)
    node = Node(data, level)
    assert (len(node), node.level, node.data) == (len(entries), level, data)
    assert node.count == sum(count for _, _, count in entries)
    assert node.last_key == entries[-1][0]
    for i, (key, digest, count) in enumerate(entries):
        assert (node.key(i), node.digest(i), node.find(key)) == (key, digest, digest)
        assert node.row(i) == digest + (count.to_bytes(8, "little") if level else b"")
    for begin in (0, len(entries) // 2, len(entries), len(entries) + 1):
        pairs = [(key, digest) for key, digest, _ in entries[begin:]]
        assert twin_keys.pairs_of(*node.block(begin)) == pairs


@given(nodes(), st.one_of(parts.map(treekey.encode_key), st.binary(max_size=6)))
def test_search_gives_the_first_entry_that_is_not_below(made, wanted):
    level, entries = made
    node = Node(twin.encode_node(level, entries))
    keys = [key for key, _, _ in entries]
    for key in (wanted, keys[0][:-1], keys[-1] + b"\0"):
        assert node.search(key) == sum(present < key for present in keys)
        assert node.find(key) == {key: digest for key, digest, _ in entries}.get(key)


def test_an_entry_out_of_bounds_is_an_index_error():
    node = Node(twin.encode_node(0, [(b"\x10", b"d" * 32, 1)]))
    for access in (node.key, node.digest, node.row):
        for i in (-1, 1):
            with pytest.raises(IndexError, match="of 1"):
                access(i)


def test_the_level_that_the_parent_needs_is_checked():
    data = twin.encode_node(2, [(b"\x10", b"d" * 32, 5)])
    with pytest.raises(ValueError, match="level 2 where 1"):
        Node(data, 1)


@given(nodes())
def test_no_prefix_of_a_node_is_a_node(made):
    data = twin.encode_node(*made)
    for size in range(len(data)):
        with pytest.raises(ValueError, match="node: "):
            Node(data[:size])
    with pytest.raises(ValueError, match="node: "):
        Node(data + b"\0")


def use_everything(node):
    node.block()
    for i in range(len(node)):
        node.search(node.key(i))
        node.row(i)
    assert node.count >= 0
    assert node.find(b"\x80a\0") is None or len(node.find(b"\x80a\0")) == 32


@given(nodes(), st.randoms(use_true_random=False))
def test_damaged_nodes_are_refused_or_stay_within_their_bytes(made, rng):
    data = bytearray(twin.encode_node(*made))
    for _ in range(rng.randint(1, 4)):
        data[rng.randrange(len(data))] = rng.choice([0, 1, 0xFF, rng.randrange(256)])
    try:
        node = Node(bytes(data))
    except ValueError:
        return
    use_everything(node)


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_or_stay_within_their_bytes(data):
    for attempt in (data, b"\x01\x00" + data[2:], b"\x01\x00\x02\x00" + data[4:]):
        try:
            node = Node(attempt)
        except ValueError:
            continue
        use_everything(node)


def altered(level, entries, fault):
    """A node with one fault in its content, not in its structure."""
    first, second = entries[0], entries[1]
    if fault == "order":
        return twin.encode_node(level, [second, first])
    if fault == "twice":
        return twin.encode_node(level, [first, first])
    if fault == "key":
        return twin.encode_node(level, [(b"\x11\x00", *first[1:]), (b"\x11\x01", *second[1:])])
    if fault == "digest":
        return twin.encode_node(level, [(first[0], twin.ZERO, 1), second])
    if fault == "count":
        return twin.encode_node(level, [(*first[:2], 0), second])
    data = bytearray(twin.encode_node(level, entries))
    if fault == "version":
        data[0] = 2
    if fault == "reserved":
        data[6] = 1
    if fault == "level":
        data[1] = treenode.NODE_LEVEL_MAX + 1
    if fault == "empty":
        data[2:4] = b"\0\0"
    return bytes(data)


@pytest.mark.parametrize(
    "fault",
    ["order", "twice", "key", "digest", "count", "version", "reserved", "level", "empty"],
)
def test_a_node_from_outside_with_a_fault_is_refused(fault):
    entries = [(b"\x10", b"d" * 32, 4), (b"\x11\x05", b"e" * 32, 4)]
    treenode.check_node(twin.encode_node(1, entries), nested=False)
    with pytest.raises(ValueError, match="node: "):
        treenode.check_node(altered(1, entries, fault), nested=False)


def test_a_node_from_outside_has_the_keys_of_its_columns_layout():
    flat = twin.encode_node(0, [(b"\x10", b"d" * 32, 1)])
    nested = twin.encode_node(0, [(b"\x10\x10", b"d" * 32, 1)])
    treenode.check_node(nested, nested=True)
    for data, layout in ((flat, True), (nested, False)):
        with pytest.raises(ValueError, match="canonical key of this column"):
            treenode.check_node(data, nested=layout)


def test_a_node_from_outside_must_share_the_longest_begin():
    data = bytearray(twin.encode_node(0, [(b"\x10", b"d" * 32, 1)]))
    data[4:6], data[8:10] = b"\0\0", b"\x01\0"
    with pytest.raises(ValueError, match="not the longest"):
        treenode.check_node(bytes(data), nested=False)


def test_a_node_from_outside_that_should_have_been_cut_is_refused():
    keys, ends = treekey.encode_keys(range(2000))
    entries = [(key, b"d" * 32, 1) for key in twin_keys.unpack(keys, ends)]
    cuts = [len(group) for group in twin.cut(0, entries)]
    treenode.check_node(twin.encode_node(0, entries[: cuts[0]]), nested=False)
    with pytest.raises(ValueError, match="cut earlier"):
        treenode.check_node(twin.encode_node(0, entries[: cuts[0] + 1]), nested=False)


def test_the_hash_spreads_evenly_over_levels_and_similar_keys():
    rng = random.Random(3)
    for make in (lambda i: i, lambda i: f"train/{i:07d}.png", lambda i: (i // 100, f"{i % 100}")):
        keys = [treekey.encode_key(make(i)) for i in range(20_000)]
        for level in (0, 1, 2):
            top = np.array([treenode.entry_hash(level, key) >> 60 for key in keys])
            counts = np.bincount(top.astype(int), minlength=16)
            # 1250 expected in each of 16 bins, standard deviation 34
            assert abs(counts - 1250).max() < 5.5 * 34
        sample = rng.sample(keys, 2000)
        below = [treenode.entry_hash(0, key) < 2**62 for key in sample]
        above = [treenode.entry_hash(1, key) < 2**62 for key in sample]
        assert abs(np.corrcoef(below, above)[0, 1]) < 0.12
