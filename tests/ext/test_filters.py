"""HDF5's own filters: what goes in comes out, other implementations read it, damage is told."""

import zlib
from pathlib import Path

import numpy as np
import pytest
from hangard_ext import codec, digest, recordspec
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import filters as twin

GOLDEN = Path(__file__).parents[1] / "golden"
ITEMS = st.sampled_from([1, 2, 4, 8, 16, 32])
# Runs and repetitions, so that both compressors find something.
TEXTS = st.lists(
    st.one_of(
        st.binary(max_size=40),
        st.builds(lambda part, n: part * n, st.binary(min_size=1, max_size=9), st.integers(1, 90)),
    ),
    max_size=12,
).map(b"".join)


def filtered(data: bytes, name: str, item_bytes: int = 1, level: int = 5) -> bytes:
    """The stored chunk; empty if it would not be shorter."""
    out = bytearray(len(data))
    length = codec.filter_rows_into(
        data, out, chunk_bytes=len(data), shuffled_item_bytes=item_bytes, codec=name, level=level
    )
    return bytes(out[:length])


def spec_of(data: bytes, stored: bytes, name: str, item_bytes: int, row: int = 0) -> np.ndarray:
    flags = (item_bytes.bit_length() - 1) << recordspec.SHUFFLE_SHIFT
    crcs = np.array([digest.crc32c(data)], np.uint32)
    number = codec.FILTERS[name]
    return recordspec.pack_many(0, flags, number, 7, 0, len(stored), np.array([row]), crcs)


@settings(max_examples=300)
@given(TEXTS, ITEMS, st.sampled_from(["gzip", "lzf"]), st.integers(0, 9))
def test_what_was_filtered_is_read_back_and_others_read_it(data, item_bytes, name, level):
    data = data[: len(data) - len(data) % item_bytes]
    if not data:
        return
    stored = filtered(data, name, item_bytes, level)
    if not stored:
        return
    plain = zlib.decompress(stored) if name == "gzip" else twin.decode_lzf(stored)
    assert plain == twin.shuffle(data, item_bytes)
    assert codec.filtered_bytes_of(stored, codec.FILTERS[name]) == len(data)
    out = np.empty((1, len(data)), np.uint8)
    assert codec.read_many(stored, spec_of(data, stored, name, item_bytes), len(data), out) == -1
    assert out.tobytes() == data


@pytest.mark.parametrize("name", ["gzip", "lzf"])
@pytest.mark.parametrize("item_bytes", [1, 4])
def test_single_rows_of_a_chunk_are_read_in_any_order(name, item_bytes):
    rows = np.repeat(np.random.default_rng(3).integers(0, 99, (64, 12), "u1"), 16, axis=1)
    stored = filtered(rows.tobytes(), name, item_bytes)
    order = np.random.default_rng(4).permutation(64)
    specs = np.concatenate(
        [spec_of(rows[row].tobytes(), stored, name, item_bytes, row) for row in order]
    )
    out = np.empty((64, 192), np.uint8)
    assert codec.read_many(stored, specs, 192, out) == -1
    assert np.array_equal(out, rows[order])
    one = np.empty(192, np.uint8)
    assert codec.read_row(stored, specs[5].tobytes(), 192, one)
    assert np.array_equal(one, rows[order[5]])
    beyond = spec_of(rows[0].tobytes(), stored, name, item_bytes, 64)
    assert codec.read_many(stored, beyond, 192, out[:1]) == 0


@pytest.mark.parametrize("name", ["gzip", "lzf"])
def test_rows_are_padded_with_zeros_to_the_chunk(name):
    out = bytearray(4096)
    length = codec.filter_rows_into(
        b"\7" * 100, out, chunk_bytes=4096, shuffled_item_bytes=1, codec=name
    )
    stored = bytes(out[:length])
    plain = zlib.decompress(stored) if name == "gzip" else twin.decode_lzf(stored)
    assert plain == b"\7" * 100 + bytes(3996)


@pytest.mark.parametrize("name", ["gzip", "lzf"])
def test_noise_is_not_filtered(name):
    noise = np.random.default_rng(0).bytes(5000)
    assert filtered(noise, name) == b""


@settings(max_examples=400)
@given(st.sampled_from(["gzip", "lzf"]), st.sampled_from([1, 4]), st.data())
def test_a_damaged_chunk_is_bad_or_right_and_never_a_crash(name, item_bytes, data):
    rows = np.repeat(np.random.default_rng(5).integers(0, 9, 400, "u1"), 4).tobytes()
    stored = bytearray(filtered(rows, name, item_bytes))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(stored) - 1))
        stored[place] = data.draw(st.integers(0, 255))
    stored = bytes(stored[: data.draw(st.integers(0, len(stored)))])
    out = np.empty((1, 1600), np.uint8)
    bad = codec.read_many(stored, spec_of(rows, stored, name, item_bytes), 1600, out)
    assert bad == 0 or out.tobytes() == rows


@pytest.mark.parametrize("name", ["gzip", "lzf"])
def test_a_chunk_that_would_decode_to_gigabytes_is_bad(name):
    zeros = bytes(8 << 20)
    stored = zlib.compress(zeros) if name == "gzip" else b"\0\0" + b"\xe0\xff\0" * 40_000
    out = np.empty((1, 100), np.uint8)
    assert codec.read_many(stored, spec_of(zeros[:100], stored, name, 1), 100, out) == 0


@pytest.mark.parametrize("flags", [1, 8, 0x80])
def test_unknown_flags_of_a_filtered_chunk_are_bad(flags):
    stored = filtered(bytes(100), "gzip")
    spec = spec_of(bytes(100), stored, "gzip", 1)
    spec[0, 1] = flags
    assert codec.read_many(stored, spec, 100, np.empty((1, 100), np.uint8)) == 0


@given(st.binary(max_size=3000))
def test_fletcher32_is_that_of_its_twin(data):
    assert codec.fletcher32(data) == twin.fletcher32(data)


def test_fletcher32_of_long_runs_does_not_overflow():
    for data in (b"\xff" * 1_000_001, bytes(100_000), bytes([1]) + bytes(99_999)):
        assert codec.fletcher32(data) == twin.fletcher32(data)


def test_a_golden_chunk_is_read_and_written_as_ever():
    golden = bytes.fromhex((GOLDEN / "lzf_chunk.hex").read_text())
    rows = np.repeat(np.arange(1, 13, dtype="<u4"), 3)
    assert filtered(rows.tobytes(), "lzf", 4) == golden
    out = np.empty((1, rows.nbytes), np.uint8)
    spec = spec_of(rows.tobytes(), golden, "lzf", 4)
    assert codec.read_many(golden, spec, rows.nbytes, out) == -1
    assert out.tobytes() == rows.tobytes()
    assert codec.fletcher32(rows) == 0xC417EA00


def test_parameters_out_of_range_are_refused():
    with pytest.raises(ValueError, match="level 10"):
        filtered(bytes(100), "gzip", level=10)
    with pytest.raises(ValueError, match="items of 3"):
        filtered(bytes(100), "lzf", 3)
    with pytest.raises(ValueError, match="neither"):
        codec.filtered_bytes_of(b"abc", 1)
    with pytest.raises(ValueError, match="does not decode"):
        codec.filtered_bytes_of(b"abc", 2)
