import numpy as np
import pytest
from hangard_ext import keyblock, treekey
from hypothesis import given
from hypothesis import strategies as st
from reference import treekey as twin

names = st.one_of(
    st.integers(0, 40).map(treekey.encode_key),
    st.text("ab", min_size=1, max_size=14).map(treekey.encode_key),
    st.binary(min_size=1, max_size=12),
)
digests = st.binary(min_size=32, max_size=32)
change_lists = st.lists(st.tuples(names, digests), max_size=120)


@given(change_lists)
def test_sorted_changes_are_ascending_and_the_last_of_equal_keys_wins(pairs):
    result = keyblock.sort_changes(*twin.changes_of(pairs))
    assert twin.pairs_of(*result) == sorted(dict(pairs).items())
    assert [array.dtype for array in result[1:]] == [np.uint32, np.uint8]


@given(st.lists(change_lists, max_size=5))
def test_merged_blocks_equal_one_dict_that_was_updated_in_turn(lists):
    expected = {}
    for pairs in lists:
        expected.update(pairs)
    blocks = [keyblock.sort_changes(*twin.changes_of(pairs)) for pairs in lists]
    assert twin.pairs_of(*keyblock.merge_changes(blocks)) == sorted(expected.items())


def test_thousands_of_shuffled_keys_with_a_long_common_prefix_are_sorted():
    rng = np.random.default_rng(5)
    keys = [f"some/long/common/prefix/{i:05d}" for i in rng.integers(0, 9000, 20_000)]
    blob, ends = treekey.encode_keys(keys)
    order = np.arange(len(keys), dtype=np.uint32)
    payload = np.zeros((len(keys), 32), np.uint8)
    payload[:, :4] = order.view(np.uint8).reshape(-1, 4)
    result = keyblock.sort_changes(blob, ends, payload)
    assert twin.pairs_of(*result) == twin.pairs_of(*twin.sort_changes(blob, ends, payload))


def test_a_sorted_block_is_returned_without_a_copy():
    blob, ends = treekey.encode_keys(range(50))
    payload = np.ones((50, 32), np.uint8)
    result = keyblock.sort_changes(blob, ends, payload)
    assert np.shares_memory(result[2], payload)


@given(change_lists, st.lists(names))
def test_finding_keys_gives_their_positions_in_the_block(pairs, wanted):
    blob, ends, _ = keyblock.sort_changes(*twin.changes_of(pairs))
    present = twin.unpack(blob, ends)
    wanted += present[::3]
    expected = [present.index(key) if key in present else -1 for key in wanted]
    for order in (wanted, sorted(wanted)):
        expected = [present.index(key) if key in present else -1 for key in order]
        assert keyblock.find_keys(blob, ends, *twin.pack(order)).tolist() == expected
        assert [keyblock.find_key(blob, ends, key) for key in order] == expected


@given(st.lists(names, min_size=1), st.lists(st.integers(0, 10**6)))
def test_taken_keys_stand_in_the_order_of_their_indices(block, indices):
    indices = [index % len(block) for index in indices]
    taken = keyblock.take_keys(*twin.pack(block), np.array(indices, np.int64))
    assert twin.unpack(*taken) == [block[index] for index in indices]


def test_indices_ends_and_digests_that_do_not_fit_are_refused():
    blob, ends = treekey.encode_keys(range(3))
    for index in (-1, 3):
        with pytest.raises(ValueError, match="of 3 keys"):
            keyblock.take_keys(blob, ends, np.array([index]))
    with pytest.raises(ValueError, match="digests of shape"):
        keyblock.sort_changes(blob, ends, np.zeros((2, 32), np.uint8))
    with pytest.raises(ValueError, match="packed keys"):
        keyblock.find_keys(blob, ends + np.uint32(1), blob, ends)
    with pytest.raises(ValueError, match="packed keys"):
        keyblock.find_keys(blob, ends, blob, ends[::-1].copy())
