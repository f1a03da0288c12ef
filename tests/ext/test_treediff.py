import pytest
from hangard_ext.treediff import TreeDiff, children_apart
from reference import treekey as twin_keys
from reference import treenode as twin


def tree(numbers, digest=b"d" * 32):
    return twin.build({twin_keys.encode_key(k): digest for k in numbers})


def test_blocks_have_the_wished_size_and_join_to_all_differences():
    root_a, nodes = tree(range(1000))
    root_b, more = tree(range(500, 2000))
    nodes |= more
    blocks = list(TreeDiff(nodes.__getitem__, root_a, root_b, 64))
    assert [len(ends) for _, ends, _, _ in blocks] == [64] * 23 + [28]
    keys = [key for blob, ends, _, _ in blocks for key in twin_keys.unpack(blob, ends)]
    assert keys == [twin_keys.encode_key(k) for k in [*range(500), *range(1000, 2000)]]
    for _, ends, digests_a, digests_b in blocks:
        assert digests_a.shape == digests_b.shape == (len(ends), 32)


def test_equal_roots_are_not_even_read():
    assert list(TreeDiff({}.__getitem__, b"r" * 32, b"r" * 32)) == []
    assert list(TreeDiff({}.__getitem__, bytes(32), bytes(32))) == []


def test_after_an_error_the_iterator_ends():
    root, nodes = tree(range(1000))
    del nodes[next(iter(nodes))]
    differences = TreeDiff(nodes.__getitem__, bytes(32), root)
    with pytest.raises(KeyError):
        list(differences)
    assert list(differences) == []


@pytest.mark.parametrize("answer", [b"", b"junk", None, "text"])
def test_what_is_no_node_is_refused(answer):
    with pytest.raises((ValueError, TypeError), match=r"node: |bytes"):
        list(TreeDiff(lambda digest: answer, bytes(32), b"r" * 32))


def test_a_node_that_is_its_own_child_is_refused():
    node = twin.encode_node(1, [(b"\x10", b"r" * 32, 1), (b"\x11\x05", b"r" * 32, 1)])
    with pytest.raises(ValueError, match="not of level 0"):
        list(TreeDiff(lambda digest: node, bytes(32), b"r" * 32))


def test_roots_of_another_length_and_empty_blocks_are_refused():
    with pytest.raises(ValueError, match="has 32 bytes"):
        TreeDiff({}.__getitem__, b"short", bytes(32))
    with pytest.raises(ValueError, match="at least one entry"):
        TreeDiff({}.__getitem__, bytes(32), bytes(32), 0)


def test_entries_that_only_one_row_has_are_told_in_order_with_where_both_are_through():
    def row(*entries):
        return [twin.encode_node(1, [(key, digest * 32, 1) for key, digest in entries])]

    a = row((b"\x10", b"a"), (b"\x12", b"b"), (b"\x14", b"c"))
    b = row((b"\x10", b"a"), (b"\x11", b"d"), (b"\x12", b"b"), (b"\x14", b"e"))
    digests, marks = children_apart(a, b)
    assert [digest[:1] for digest in digests] == [b"d", b"c", b"e"]
    assert list(marks) == [1 | 2, 0, 1 | 2]
    assert children_apart(a, []) == ([b"a" * 32, b"b" * 32, b"c" * 32], bytes(3))
    assert children_apart(a, a) == children_apart([], []) == ([], b"")


@pytest.mark.parametrize(
    "row", [[b""], [b"junk"], [None], [twin.encode_node(0, [(b"\x10", b"r" * 32, 1)])]]
)
def test_rows_of_what_is_no_node_or_of_two_levels_are_refused(row):
    branch = twin.encode_node(1, [(b"\x10", b"r" * 32, 1)])
    with pytest.raises(ValueError, match="node: "):
        children_apart([branch], row)
    with pytest.raises(ValueError, match="node: "):
        children_apart([branch, *row], [])
