"""LMDB's smaller records: permanent bytes, older records stay readable, damage is noticed."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hangard.encoding import records
from hangard.encoding.records import CommandRecord, ReflogEntry, SessionRecord
from hangard.errors import Corrupt
from hangard.model.files import FileRecord

GOLDEN = Path(__file__).parents[1] / "golden"

RECORDS = {
    "reflog": ReflogEntry(17, "heads/main", b"", bytes([1]) * 32, "branch: created", "ada"),
    "session": SessionRecord(
        "s1", "main", bytes([2]) * 32, 5, 6, True, "ada", 1234, 4096, {1: 9}, 2
    ),
    "command": CommandRecord(3, bytes([3]) * 32, bytes([4]) * 32, "main", True),
    "file": FileRecord(
        "hdf5", 7, "sealed", 1 << 20, 1 << 10, 12, 2, "|u1", (28, 28), (("codec", "zstd"),)
    ),
}


@pytest.mark.parametrize("name", RECORDS)
def test_permanent_bytes(name):
    golden = bytes.fromhex((GOLDEN / f"record_{name}.hex").read_text())
    value = RECORDS[name]
    assert records.encode_record(value).hex() == golden.hex()
    assert records.decode_record(type(value), golden) == value


def test_records_without_the_latest_fields_are_readable():
    older = msgspec.msgpack.encode(["s1", "main", b"", 5, 6])
    assert records.decode_record(SessionRecord, older) == SessionRecord("s1", "main", b"", 5, 6)


@pytest.mark.parametrize("name", RECORDS)
@given(damaged=st.binary(max_size=60))
def test_other_bytes_are_corrupt(name, damaged):
    try:
        value = records.decode_record(type(RECORDS[name]), damaged)
    except Corrupt:
        return
    assert isinstance(value, type(RECORDS[name]))


@given(st.lists(st.integers(0, 2**64 - 1), max_size=31).map(tuple))
def test_shapes_survive(shape):
    assert records.decode_shape(records.encode_shape(shape)) == shape


def test_a_cut_shape_is_corrupt():
    with pytest.raises(Corrupt):
        records.decode_shape(b"\0" * 9)
