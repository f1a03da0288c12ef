"""The table from digest to spec, against a dict."""

import threading

import numpy as np
import pytest
from hangard_ext.table import Table, first_occurrences
from hypothesis import given
from hypothesis import strategies as st
from reference import table as twin

# Few values and shared heads, so that digests meet, collide in their first bytes and wrap round.
HEADS = st.sampled_from([b"\0" * 8, b"\0" * 7 + b"\1", b"\x7f" * 8, b"\xff" * 8])
DIGESTS = st.one_of(
    st.builds(lambda head, tail: head + bytes(20) + tail, HEADS, st.binary(min_size=4, max_size=4)),
    st.builds(
        lambda head, last: head + bytes(23) + bytes([last]),
        HEADS,
        st.integers(min_value=0, max_value=3),
    ),
)
BATCHES = st.lists(st.tuples(DIGESTS, st.integers(0, 255)), max_size=60)


def as_rows(records):
    return np.frombuffer(b"".join(records), dtype=np.uint8).reshape(-1, 32)


def spec_of(value):
    return bytes([value]) * 32


def found_in(table, digests):
    specs = np.zeros((len(digests), 32), dtype=np.uint8)
    found = np.zeros(len(digests), dtype=np.uint8)
    hits = table.find_many(as_rows(digests), specs, found)
    assert hits == found.sum()
    return {
        digest: spec.tobytes()
        for digest, spec, here in zip(digests, specs, found, strict=True)
        if here
    }


@given(
    st.lists(st.tuples(st.sampled_from(["add", "keep", "discard", "compare", "clear"]), BATCHES))
)
def test_any_sequence_of_calls_agrees_with_a_dict(calls):
    table, model = Table(), twin.Table()
    for verb, batch in calls:
        digests = [digest for digest, _ in batch]
        specs = [spec_of(value) for _, value in batch]
        if verb == "clear":
            table.clear()
            model.clear()
        elif verb in ("add", "keep"):
            assert table.add_many(
                as_rows(digests), as_rows(specs), replace=verb == "add"
            ) == model.add_many(digests, specs, replace=verb == "add")
        elif verb == "discard":
            assert table.discard_many(as_rows(digests)) == model.discard_many(digests)
        else:
            assert table.discard_many(as_rows(digests), as_rows(specs)) == model.discard_many(
                digests, specs
            )
        assert len(table) == len(model)
        asked = sorted({*digests, *model})
        assert found_in(table, asked) == {d: model[d] for d in asked if d in model}
        sorted_digests, sorted_specs = table.items()
        assert [row.tobytes() for row in sorted_digests] == sorted(model)
        assert [row.tobytes() for row in sorted_specs] == [model[d] for d in sorted(model)]


@given(st.lists(DIGESTS))
def test_first_occurrences_agree_with_the_twin(digests):
    firsts, inverse = first_occurrences(as_rows(digests))
    assert (firsts.tolist(), inverse.tolist()) == twin.first_occurrences(digests)


def test_a_large_table_grows_and_shrinks():
    generator = np.random.default_rng(1)
    digests = generator.integers(0, 256, (50_000, 32), dtype=np.uint8)
    table = Table()
    for begin in range(0, len(digests), 7000):
        table.add_many(digests[begin : begin + 7000], digests[begin : begin + 7000][:, ::-1].copy())
    assert len(table) == 50_000
    assert 64 * 50_000 <= table.memory_bytes < 160 * 50_000
    assert table.discard_many(digests[::2].copy()) == 25_000
    specs = np.zeros_like(digests)
    found = np.zeros(len(digests), dtype=np.uint8)
    assert table.find_many(digests, specs, found) == 25_000
    assert np.array_equal(found, np.arange(50_000) % 2)
    assert np.array_equal(specs[1::2], digests[1::2, ::-1])
    table.clear()
    assert len(table) == 0
    assert table.memory_bytes < 10_000


def test_rows_already_found_are_passed_over():
    digests = as_rows([b"a" * 32, b"b" * 32])
    table = Table()
    table.add_many(digests, as_rows([b"1" * 32, b"2" * 32]))
    specs = np.full((2, 32), 9, dtype=np.uint8)
    assert table.find_many(digests, specs, np.array([1, 0], dtype=np.uint8)) == 1
    assert specs.tobytes() == b"\x09" * 32 + b"2" * 32


def test_one_digest_is_found_by_itself():
    table = Table()
    table.add_many(as_rows([b"a" * 32]), as_rows([b"1" * 32]))
    assert table.find(b"a" * 32) == b"1" * 32
    assert table.find(b"b" * 32) is None
    with pytest.raises(ValueError, match="32 bytes"):
        table.find(b"a")


def test_arrays_of_a_wrong_shape_are_refused():
    table = Table()
    good = np.zeros((2, 32), dtype=np.uint8)
    with pytest.raises(ValueError, match="digests"):
        table.add_many(np.zeros((2, 31), dtype=np.uint8), good)
    with pytest.raises(ValueError, match="specs"):
        table.add_many(good, np.zeros((3, 32), dtype=np.uint8))
    with pytest.raises(ValueError, match="out_found"):
        table.find_many(good, good.copy(), np.zeros(1, dtype=np.uint8))
    with pytest.raises(ValueError, match="specs"):
        table.discard_many(good, good[:1])


def test_threads_share_a_table():
    table = Table()
    batches = np.random.default_rng(2).integers(0, 256, (4, 20_000, 32), dtype=np.uint8)

    def work(batch):
        specs = np.zeros((1000, 32), dtype=np.uint8)
        for begin in range(0, len(batch), 1000):
            rows = batch[begin : begin + 1000]
            table.add_many(rows, rows)
            found = np.zeros(1000, dtype=np.uint8)
            table.find_many(rows, specs, found)
            assert found.all()
            table.discard_many(rows[::2].copy())

    threads = [threading.Thread(target=work, args=(batch,)) for batch in batches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(table) == 40_000
    digests, specs = table.items()
    assert np.array_equal(digests, specs)
