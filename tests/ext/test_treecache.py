import numpy as np
import pytest
from hangard_ext import treekey, treenode
from hangard_ext.treecache import NODE_OVERHEAD_BYTES, NodeCache
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import treekey as twin_keys
from reference import treenode as twin


class Source(dict):
    def __init__(self, nodes):
        super().__init__(nodes)
        self.asked = []

    def __call__(self, digest):
        self.asked.append(digest)
        return self[digest]


def tree(keys):
    samples = {
        treekey.encode_key(key): i.to_bytes(31, "big") + b"\x01" for i, key in enumerate(keys)
    }
    root, nodes = twin.build(samples)
    return samples, root, Source(nodes)


EVEN = tree(range(0, 6000, 2))
LONG = tree([f"{i:04d}" + "x" * 230 for i in range(0, 900, 3)])  # four levels


@pytest.mark.parametrize("limit", [0, 9000, 10**7])
@pytest.mark.parametrize(
    ("made", "keys"),
    [
        (EVEN, [*range(-1 + 1, 6010)]),
        (LONG, [f"{i:04d}" + "x" * 230 for i in range(900)] + ["", "zzz"][1:]),
    ],
)
def test_search_finds_every_key_and_no_other(made, keys, limit):
    samples, root, source = made
    encoded = [treekey.encode_key(key) for key in keys]
    nodes = NodeCache(source, limit)
    assert [nodes.find(root, key) for key in encoded] == [samples.get(key) for key in encoded]
    assert nodes.cached_bytes <= limit
    for order in (encoded, encoded[::-1], sorted(encoded, key=hash)):
        digests, found = nodes.find_many(root, *twin_keys.pack(order))
        assert found.tolist() == [key in samples for key in order]
        assert [bytes(row) for row in digests] == [samples.get(key, twin.ZERO) for key in order]


@settings(max_examples=40)
@given(st.lists(st.integers(0, 5999)), st.integers(0, 40_000))
def test_many_keys_are_found_as_one_by_one_whatever_the_order_and_cache(keys, limit):
    samples, root, source = EVEN
    encoded = [treekey.encode_key(key) for key in keys]
    digests, found = NodeCache(source, limit).find_many(root, *twin_keys.pack(encoded))
    assert found.tolist() == [key in samples for key in encoded]
    assert [bytes(row) for row in digests] == [samples.get(key, twin.ZERO) for key in encoded]


def test_ascending_keys_visit_each_node_once():
    samples, root, source = tree(range(3000))
    nodes = NodeCache(source, 0)
    nodes.find_many(root, *twin_keys.pack(sorted(samples)))
    assert sorted(source.asked) == sorted(source)


def test_a_cached_node_is_not_asked_for_again():
    _, root, source = tree(range(3000))
    nodes = NodeCache(source, 10**6)
    for key in range(3000):
        nodes.find(root, treekey.encode_key(key))
    assert sorted(source.asked) == sorted(source)
    assert nodes.misses == len(source) == len(nodes)
    assert nodes.hits > 3000
    nodes.clear()
    assert (len(nodes), nodes.cached_bytes) == (0, 0)
    nodes.find(root, treekey.encode_key(0))
    assert len(source.asked) > len(source)


@settings(max_examples=30)
@given(st.integers(0, 30_000), st.lists(st.integers(0, 120), max_size=400))
def test_the_cache_stays_within_its_bytes_and_gives_the_right_nodes(limit, order):
    _, _, source = LONG
    digests = sorted(source)
    nodes = NodeCache(source, limit)
    for i in order:
        digest = digests[i % len(digests)]
        assert nodes.get(digest) == source[digest]
        assert nodes.cached_bytes <= limit
    held = {digests[i % len(digests)] for i in order}
    everything = sum(len(source[digest]) + NODE_OVERHEAD_BYTES for digest in held)
    assert nodes.cached_bytes == everything or everything > limit


def test_a_node_in_use_survives_the_eviction_of_others():
    _, root, source = tree(range(20_000))
    hot = treekey.encode_key(7)
    nodes = NodeCache(source, 60_000)
    for key in range(0, 20_000, 20):
        nodes.find(root, treekey.encode_key(key))
        nodes.find(root, hot)
    source.asked.clear()
    nodes.find(root, hot)
    assert source.asked == []


def test_nodes_that_were_just_written_need_not_be_asked_for():
    _, root, source = tree(range(3000))
    nodes = NodeCache(source, 10**6)
    digests = np.frombuffer(b"".join(source), np.uint8).reshape(-1, 32)
    blob, ends = twin_keys.pack(source.values())
    nodes.add_many(digests, blob, ends.astype(np.uint64))
    assert nodes.find(root, treekey.encode_key(5)) is not None
    assert source.asked == []
    with pytest.raises(ValueError, match="do not fit"):
        nodes.add_many(digests, blob[:100], ends.astype(np.uint64))
    with pytest.raises(ValueError, match="node: "):
        nodes.add_many(digests[:1], b"junk", np.array([4], np.uint64))
    with pytest.raises(ValueError, match="digests of shape"):
        nodes.add_many(digests[:1], blob, ends.astype(np.uint64))


def test_an_empty_tree_has_no_keys():
    nodes = NodeCache(Source({}), 1000)
    blob, ends = treekey.encode_keys(range(3))
    assert nodes.find(bytes(32), b"\x10") is None
    assert nodes.find_many(bytes(32), blob, ends)[1].tolist() == [False] * 3


def test_errors_of_the_source_pass_through_and_the_search_works_again():
    _, root, source = tree(range(3000))
    missing = min(set(source) - {root})
    data = source.pop(missing)
    nodes = NodeCache(source, 10**6)
    blob, ends = treekey.encode_keys(range(3000))
    with pytest.raises(KeyError):
        nodes.find_many(root, blob, ends)
    source[missing] = data
    assert nodes.find_many(root, blob, ends)[1].all()


@pytest.mark.parametrize(
    "answer", [b"", b"junk", None, "text", b"\x01\x00\x00\x00\x00\x00\x00\x00"]
)
def test_what_is_no_node_is_refused(answer):
    nodes = NodeCache(lambda digest: answer, 1000)
    with pytest.raises((ValueError, TypeError), match=r"node: |bytes"):
        nodes.find(b"r" * 32, b"\x10")
    assert len(nodes) == 0


def test_a_child_of_another_level_than_its_parent_needs_is_refused():
    root = twin.encode_node(2, [(b"\x10", b"c" * 32, 1), (b"\x11\x05", b"c" * 32, 1)])
    leaf = twin.encode_node(0, [(b"\x10", b"s" * 32, 1)])
    nodes = NodeCache({b"r" * 32: root, b"c" * 32: leaf}.__getitem__, 1000)
    for _ in range(2):
        with pytest.raises(ValueError, match="not of level 1"):
            nodes.find(b"r" * 32, b"\x10")
    # a node that is its own child cannot send the search round in circles
    circle = NodeCache(lambda digest: root, 1000)
    with pytest.raises(ValueError, match="not of level 1"):
        circle.find(b"r" * 32, b"\x10")


def test_roots_and_digests_of_another_length_are_refused():
    nodes = NodeCache(Source({}), 1000)
    for call in (lambda: nodes.find(b"short", b"\x10"), lambda: nodes.get(b"short")):
        with pytest.raises(ValueError, match="has 32 bytes, not 5"):
            call()
    with pytest.raises(ValueError, match="packed keys"):
        nodes.find_many(bytes(32), b"\x10", np.array([2], np.uint32))


@settings(max_examples=60)
@given(st.randoms(use_true_random=False))
def test_search_in_damaged_nodes_fails_or_answers_but_never_leaves_them(rng):
    _, root, source = LONG
    damaged = dict(source)
    for digest in rng.sample(sorted(damaged), 3):
        data = bytearray(damaged[digest])
        for _ in range(3):
            data[rng.randrange(len(data))] = rng.choice([0, 1, 0xFF, rng.randrange(256)])
        damaged[digest] = bytes(data)
    damaged_root = bytearray(damaged[root])
    damaged_root[rng.randrange(2, 60)] ^= 1 << rng.randrange(8)
    damaged[root] = bytes(damaged_root)
    nodes = NodeCache(damaged.__getitem__, rng.choice([0, 10**6]))
    blob, ends = treekey.encode_keys(f"{i:04d}" + "x" * 230 for i in range(0, 900, 7))
    try:
        nodes.find_many(root, blob, ends)
        for key in twin_keys.unpack(blob, ends):
            nodes.find(root, key)
    except (ValueError, KeyError):
        assert treenode.Node(source[root])


@pytest.mark.parametrize("limit", [0, 20_000, 10**7])
def test_many_nodes_come_from_the_cache_and_the_others_by_one_call(limit):
    source = EVEN[2]
    calls = []

    def get_many(digests):
        calls.append(digests)
        return [dict.__getitem__(source, digest) for digest in digests]

    nodes = NodeCache(source, limit, get_many)
    digests = list(source)
    for digest in digests[:3]:
        nodes.get(digest)
    known = len(nodes)
    asked = [*digests[::-1], digests[0]]
    assert nodes.get_many(asked) == [dict.__getitem__(source, digest) for digest in asked]
    assert len(calls) == 1
    assert len(calls[0]) <= len(asked) - known
    assert nodes.hits + nodes.misses == 3 + len(asked)
    assert nodes.cached_bytes <= limit
    assert NodeCache(source, limit).get_many(asked) == nodes.get_many(asked)
    assert nodes.get_many([]) == []


@pytest.mark.parametrize("answer", [None, [], [b"junk"], [None], [b""]])
def test_many_nodes_that_are_none_are_refused(answer):
    nodes = NodeCache(Source({}), 1000, lambda digests: answer)
    with pytest.raises(ValueError, match="node"):
        nodes.get_many([b"r" * 32])
    with pytest.raises(ValueError, match="32 bytes"):
        nodes.get_many([b"short"])
    assert len(nodes) == 0
