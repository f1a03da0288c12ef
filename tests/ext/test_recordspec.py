"""Specs to bytes and back, against the twin in tests/reference."""

from pathlib import Path

import numpy as np
import pytest
from hangard_ext import recordspec
from hypothesis import given
from hypothesis import strategies as st
from reference import recordspec as twin

GOLDEN = Path(__file__).parents[1] / "golden" / "record_spec.hex"
GOLDEN_FIELDS = (
    0,
    recordspec.FLAG_RAW_CHUNK,
    recordspec.CODEC_BLOSC2,
    0x01020304,
    0x1112131415161718,
    0x21222324,
    0x31323334,
    0x41424344,
    0x51525354,
)

U8, U32, U64 = (st.integers(0, 2**bits - 1) for bits in (8, 32, 64))
FIELDS = st.tuples(U8, U8, U8, U32, U64, U32, U32, U32, U32)


def test_the_permanent_bytes_of_a_spec():
    golden = bytes.fromhex(GOLDEN.read_text())
    assert recordspec.pack_one(*GOLDEN_FIELDS) == golden
    assert recordspec.unpack_one(golden) == GOLDEN_FIELDS
    filtered = bytes.fromhex(GOLDEN.with_name("record_spec_filtered.hex").read_text())
    shuffled = 2 << recordspec.SHUFFLE_SHIFT  # items of 4 bytes
    fields = (1, shuffled, recordspec.CODEC_LZF, 7, 4096, 57, 3, 0x01020304, 0)
    assert recordspec.pack_one(*fields) == filtered
    assert len(golden) == recordspec.RECORD_SPEC_BYTES == recordspec.SPEC_DTYPE.itemsize


@given(FIELDS)
def test_one_spec_agrees_with_the_twin(fields):
    packed = recordspec.pack_one(*fields)
    assert packed == twin.pack_one(*fields)
    assert recordspec.unpack_one(packed) == twin.unpack_one(packed) == fields


@given(st.lists(FIELDS, max_size=20), st.sampled_from(["<u8", ">u8"]))
def test_many_specs_agree_with_the_twin(records, dtype):
    columns = list(zip(*records, strict=True)) or [()] * 9
    arrays = [np.array(column, dtype="u8").astype(dtype) for column in columns]
    specs = recordspec.pack_many(*arrays)
    assert specs.shape == (len(records), 32)
    assert specs.tobytes() == b"".join(twin.pack_one(*fields) for fields in records)
    unpacked = recordspec.unpack_many(specs)
    for name, array in zip(
        [name for name in recordspec.SPEC_DTYPE.names if name != "reserved"], arrays, strict=True
    ):
        assert np.array_equal(unpacked[name], array)


def test_a_single_integer_stands_for_all_rows():
    specs = recordspec.pack_many(10, 0, 0, 7, np.arange(5) * 784, 784, 0, np.arange(5), 3)
    expected = [twin.pack_one(10, 0, 0, 7, i * 784, 784, 0, i, 3) for i in range(5)]
    assert specs.tobytes() == b"".join(expected)


def test_strided_columns_are_packed():
    rows = np.arange(20, dtype=np.uint32)[::2]
    specs = recordspec.pack_many(0, 0, 1, 1, 2, 3, rows, 0)
    assert np.array_equal(recordspec.unpack_many(specs)["row"], rows)


@pytest.mark.parametrize("position", range(9))
@pytest.mark.parametrize("bad", [-1, 2**64])
def test_a_value_that_does_not_fit_is_refused(position, bad):
    fields = list(GOLDEN_FIELDS)
    fields[position] = bad
    with pytest.raises(OverflowError):
        recordspec.pack_one(*fields)


@pytest.mark.parametrize(("position", "bits"), list(enumerate([8, 8, 8, 32, 64, 32, 32, 32, 32])))
def test_a_column_with_a_value_that_does_not_fit_is_refused(position, bits):
    columns = [np.array([value], dtype=np.int64) for value in (0, 0, 1, 2, 3, 4, 5, 6, 7)]
    columns[position] = np.array([-1 if bits == 64 else 2**bits])
    with pytest.raises(OverflowError):
        recordspec.pack_many(*columns)


def test_columns_that_are_no_integers_are_refused():
    with pytest.raises(TypeError, match="offset"):
        recordspec.pack_many(0, 0, 0, 0, np.array([0.5]), 0, 0, 0)
    with pytest.raises(TypeError, match="flags"):
        recordspec.pack_many(0, True, 0, 0, np.array([1]), 0, 0, 0)


def test_columns_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="length"):
        recordspec.pack_many(0, 0, 0, 0, np.arange(3), np.arange(2), 0, 0)
    with pytest.raises(ValueError, match="length"):
        recordspec.pack_many(0, 0, 0, 0, 0, 0, 0, 0)


@pytest.mark.parametrize("spec", [b"", b"\0" * 31, b"\0" * 33, b"\0\0\0\1" + b"\0" * 28])
def test_bytes_that_are_no_spec_are_refused(spec):
    with pytest.raises(ValueError, match="spec"):
        recordspec.unpack_one(spec)
    with pytest.raises(ValueError, match="spec"):
        recordspec.unpack_many(np.frombuffer(spec, dtype=np.uint8).reshape(1, -1))
