import itertools

import numpy as np
import pytest
from hangard_ext import pairkey, treekey
from hypothesis import given
from hypothesis import strategies as st

parts = st.one_of(st.integers(0, 2**63 - 1), st.text("abé", min_size=1, max_size=5))
pair_lists = st.lists(st.tuples(parts, parts), max_size=60)


@given(pair_lists)
def test_groups_are_the_stretches_of_one_sample(pairs):
    samples, sample_ends, stops = pairkey.group_pairs(*treekey.encode_keys(pairs, True))
    groups = [(key, len(list(group))) for key, group in itertools.groupby(p[0] for p in pairs)]
    assert treekey.decode_keys(samples, sample_ends) == [key for key, _ in groups]
    assert stops.tolist() == list(itertools.accumulate(size for _, size in groups))
    assert (sample_ends.dtype, stops.dtype) == (np.uint32, np.int64)


@given(pair_lists)
def test_pairs_are_taken_apart_and_put_together(pairs):
    packed = treekey.encode_keys(pairs, True)
    seconds = pairkey.second_parts(*packed)
    assert treekey.decode_keys(*seconds) == [pair[1] for pair in pairs]
    if len(pairs) != 1:
        firsts = treekey.encode_keys([pair[0] for pair in pairs])
        again = pairkey.pair_keys(*firsts, *seconds)
        assert again[0] == packed[0]
        assert (again[1] == packed[1]).all()


@given(parts, st.lists(parts, max_size=20))
def test_one_sample_goes_with_all_subsamples(sample, subsamples):
    expected = treekey.encode_keys([(sample, subsample) for subsample in subsamples], True)
    packed = pairkey.pair_keys(*treekey.encode_keys([sample]), *treekey.encode_keys(subsamples))
    assert packed[0] == expected[0]
    assert (packed[1] == expected[1]).all()


def test_keys_that_are_no_pairs_are_refused():
    flat = treekey.encode_keys(["a", "b"])
    with pytest.raises(ValueError, match="not the key of a subsample"):
        pairkey.group_pairs(*flat)
    with pytest.raises(ValueError, match="not the key of a subsample"):
        pairkey.second_parts(*flat)
    with pytest.raises(ValueError, match="make no pairs"):
        pairkey.pair_keys(*flat, *treekey.encode_keys(range(3)))
    with pytest.raises(ValueError, match="packed keys"):
        pairkey.group_pairs(b"abc", np.array([2], np.uint32))
