"""Run files: their permanent bytes, look-ups, merges, and what damage does."""

from pathlib import Path

import numpy as np
import pytest
from hangard_ext.runmerge import RUNS_MERGED_MAX, merge_runs
from hangard_ext.runs import Run, Runs
from hangard_ext.runwriter import RUN_ENTRIES_MAX, RunWriter, encode_run, sort_entries
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import runs as twin

GOLDEN = Path(__file__).parents[1] / "golden" / "index.run"

# Uniform digests as in life, and crowded ones that share heads and buckets.
DIGESTS = st.one_of(
    st.binary(min_size=32, max_size=32),
    st.builds(
        lambda head, tail: head + bytes(23) + tail,
        st.sampled_from([b"\0" * 8, b"\x7f" * 8, b"\xff" * 8]),
        st.binary(min_size=1, max_size=1),
    ),
)
ENTRIES = st.dictionaries(DIGESTS, st.binary(min_size=32, max_size=32), max_size=300)


def as_rows(records):
    return np.frombuffer(b"".join(records), dtype=np.uint8).reshape(-1, 32)


def uniform(n, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 32), dtype=np.uint8)


def run_of(entries, number=0, sequence=0):
    return Run(encode_run(as_rows(entries), as_rows(entries.values()), number, sequence))


def found_in(runs, digests):
    specs = np.zeros((len(digests), 32), dtype=np.uint8)
    found = np.zeros(len(digests), dtype=np.uint8)
    assert runs.find_many(as_rows(digests), specs, found) == found.sum()
    return {
        digest: spec.tobytes()
        for digest, spec, here in zip(digests, specs, found, strict=True)
        if here
    }


def all_of(run):
    digests, specs = run.items()
    return {d.tobytes(): s.tobytes() for d, s in zip(digests, specs, strict=True)}


def test_the_permanent_bytes_of_a_run():
    digests, specs = uniform(200, seed=1), uniform(200, seed=2)
    encoded = encode_run(digests, specs, 0x01020304, 0x1112131415161718)
    assert encoded == GOLDEN.read_bytes()
    run = Run(GOLDEN.read_bytes())
    assert (run.number, run.sequence, len(run)) == (0x01020304, 0x1112131415161718, 200)


@settings(deadline=None)
@given(
    ENTRIES, st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1), st.lists(DIGESTS, max_size=20)
)
def test_a_run_agrees_with_the_twin(entries, number, sequence, others):
    encoded = encode_run(as_rows(entries), as_rows(entries.values()), number, sequence)
    assert encoded == twin.encode_run(entries, number, sequence, len(entries))
    run = Run(encoded)
    run.verify()
    assert (len(run), run.number, run.sequence) == (len(entries), number, sequence)
    assert run.nbytes == len(encoded)
    asked = [*entries, *others]
    expected = {digest: entries[digest] for digest in asked if digest in entries}
    assert found_in(run, asked) == expected
    assert found_in(Runs([run]), asked) == expected
    assert all(twin.passes_filter(encoded, digest) for digest in entries)
    assert all(Runs([run]).find(digest) == entries.get(digest) for digest in asked)
    assert list(all_of(run).items()) == sorted(entries.items())


@settings(deadline=None)
@given(st.lists(ENTRIES, min_size=1, max_size=5))
def test_a_merge_keeps_the_newest_of_equal_digests(parts):
    runs = [run_of(part, sequence=10 + i) for i, part in enumerate(parts)]
    merged = Run(b"".join(merge_runs(runs, number=99)))
    merged.verify()
    assert (merged.number, merged.sequence) == (99, 9 + len(parts))
    expected = twin.merge(parts)
    assert all_of(merged) == expected
    assert found_in(merged, list(expected)) == expected
    # Asked newest first, the unmerged runs answer the same.
    assert found_in(Runs(reversed(runs)), list(expected)) == expected


@given(st.lists(st.tuples(DIGESTS, st.binary(min_size=32, max_size=32)), max_size=100))
def test_sorting_keeps_the_last_of_equal_digests(entries):
    digests, specs = sort_entries(
        as_rows([d for d, _ in entries]), as_rows([s for _, s in entries])
    )
    pairs = [(d.tobytes(), s.tobytes()) for d, s in zip(digests, specs, strict=True)]
    assert pairs == sorted(dict(entries).items())


def test_entries_that_ascend_are_not_copied():
    digests, specs = sort_entries(uniform(1000, seed=3), uniform(1000, seed=4))
    again, _ = sort_entries(digests, specs)
    assert np.shares_memory(again, digests)


def test_the_filter_stops_nearly_all_absent_digests():
    encoded = encode_run(uniform(20_000, seed=5), uniform(20_000, seed=6))
    absent = [row.tobytes() for row in uniform(20_000, seed=7)]
    assert sum(twin.passes_filter(encoded, digest) for digest in absent) < 20_000 * 0.02
    assert not found_in(Run(encoded), absent)


def test_pieces_of_a_large_merge_are_small():
    runs = [Run(encode_run(uniform(30_000, seed), uniform(30_000, seed + 50))) for seed in range(4)]
    pieces = list(merge_runs(runs))
    assert max(map(len, pieces)) <= 16384 * 64 + 8192
    merged = Run(b"".join(pieces))
    merged.verify()
    assert len(merged) == 120_000
    for seed in range(4):
        specs = np.zeros((30_000, 32), dtype=np.uint8)
        found = np.zeros(30_000, dtype=np.uint8)
        assert merged.find_many(uniform(30_000, seed), specs, found) == 30_000
        assert np.array_equal(specs, uniform(30_000, seed + 50))


def test_a_writer_takes_entries_in_parts_of_any_size():
    digests, specs = sort_entries(uniform(1000, seed=8), uniform(1000, seed=9))
    writer = RunWriter(1, 2, 1000)
    pieces, begin = [], 0
    for size in (0, 1, 126, 1, 1, 127, 128, 129, 300, 187):
        pieces.append(writer.add(digests[begin : begin + size], specs[begin : begin + size]))
        begin += size
    assert begin == writer.entries == 1000
    pieces.append(writer.finish())
    assert b"".join(pieces) == encode_run(digests, specs, 1, 2)
    with pytest.raises(ValueError, match="finished"):
        writer.finish()
    with pytest.raises(ValueError, match="finished"):
        writer.add(digests[:0], specs[:0])


def test_a_writer_refuses_what_does_not_ascend_or_is_too_much():
    digests, specs = sort_entries(uniform(3, seed=8), uniform(3, seed=9))
    writer = RunWriter(1, 2, 2)
    writer.add(digests[1:2], specs[1:2])
    for bad in (digests[1:2], digests[:1]):
        with pytest.raises(ValueError, match="ascend"):
            writer.add(bad, specs[:1])
    with pytest.raises(ValueError, match="announced"):
        writer.add(digests[:2], specs[:2])
    writer.add(digests[2:], specs[2:])
    with pytest.raises(OverflowError, match=str(RUN_ENTRIES_MAX)):
        RunWriter(1, 2, RUN_ENTRIES_MAX + 1)


def test_rows_already_found_are_passed_over():
    run = run_of({b"a" * 32: b"1" * 32, b"b" * 32: b"2" * 32})
    specs = np.full((2, 32), 9, dtype=np.uint8)
    assert run.find_many(as_rows([b"a" * 32, b"b" * 32]), specs, np.array([1, 0], np.uint8)) == 1
    assert specs.tobytes() == b"\x09" * 32 + b"2" * 32


def test_items_can_be_read_in_parts():
    digests, specs = sort_entries(uniform(300, seed=8), uniform(300, seed=9))
    run = Run(encode_run(digests, specs))
    for start, n, expected in ((0, 10, 10), (127, 2, 2), (290, 100, 10), (300, 1, 0), (999, 1, 0)):
        got_digests, got_specs = run.items(start, n)
        assert np.array_equal(got_digests, digests[start : start + n])
        assert np.array_equal(got_specs, specs[start : start + n])
        assert len(got_digests) == expected


def test_a_run_cut_off_anywhere_is_refused():
    encoded = encode_run(uniform(130, seed=1), uniform(130, seed=2))
    for length in [*range(0, len(encoded), 997), *range(len(encoded) - 300, len(encoded))]:
        with pytest.raises(ValueError, match="run"):
            Run(encoded[:length])
    with pytest.raises(ValueError, match="footer"):
        Run(encoded + bytes(64))


def test_every_flipped_bit_is_noticed_and_none_hurts():
    digests, specs = uniform(150, seed=1), uniform(150, seed=2)
    encoded = encode_run(digests, specs, 7, 8)
    generator = np.random.default_rng(3)
    blocks_end = 4096 + 2 * 8192
    inside = generator.integers(4096, len(encoded), 600)
    positions = [
        *range(16),
        *inside,
        *range(blocks_end, len(encoded), 5),
        *range(len(encoded) - 64, len(encoded)),
    ]
    for position in positions:
        damaged = bytearray(encoded)
        damaged[position] ^= 1 << int(generator.integers(8))
        try:
            run = Run(damaged)
        except ValueError:
            assert position < 16 or position >= len(encoded) - 64
            continue
        with pytest.raises(ValueError, match="run 7 is damaged"):
            run.verify()
        out, found = np.zeros_like(specs), np.zeros(len(digests), dtype=np.uint8)
        run.find_many(digests, out, found)
        if position >= blocks_end:
            assert np.array_equal(out[found == 1], specs[found == 1])
        else:
            with pytest.raises(ValueError, match=r"block . of run 7 is damaged"):
                list(merge_runs([run]))


@pytest.mark.parametrize("directory_byte", range(0, 76, 4))
def test_a_directory_that_points_outside_is_only_not_found(directory_byte):
    digests, specs = uniform(150, seed=1), uniform(150, seed=2)
    damaged = bytearray(encode_run(digests, specs))
    start = 4096 + 2 * 8192 + 3 * 64 + directory_byte
    damaged[start : start + 4] = b"\xff\xff\xff\xff"
    found = np.zeros(len(digests), dtype=np.uint8)
    assert Run(damaged).find_many(digests, np.zeros_like(specs), found) < 150


def test_other_bytes_and_versions_are_refused():
    encoded = bytearray(encode_run(uniform(1), uniform(1)))
    with pytest.raises(ValueError, match="magic"):
        Run(b"\0" * len(encoded))
    encoded[8] = 2
    with pytest.raises(ValueError, match="version 2"):
        Run(encoded)
    with pytest.raises(TypeError):
        Runs([b"no run"])
    with pytest.raises(ValueError, match=str(RUNS_MERGED_MAX)):
        list(merge_runs([run_of({})] * (RUNS_MERGED_MAX + 1)))


def test_arrays_of_a_wrong_shape_are_refused():
    run = run_of({})
    good = np.zeros((2, 32), dtype=np.uint8)
    with pytest.raises(ValueError, match="digests"):
        run.find_many(np.zeros((2, 31), dtype=np.uint8), good, np.zeros(2, dtype=np.uint8))
    with pytest.raises(ValueError, match="out_specs"):
        run.find_many(good, good[:1].copy(), np.zeros(2, dtype=np.uint8))
    with pytest.raises(ValueError, match="out_found"):
        run.find_many(good, good.copy(), np.zeros(1, dtype=np.uint8))
    with pytest.raises(ValueError, match="specs"):
        encode_run(good, good[:1])
    with pytest.raises(ValueError, match="32 bytes"):
        Runs([run]).find(b"short")
