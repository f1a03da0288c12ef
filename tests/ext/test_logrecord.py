"""Records of a log: their permanent bytes, and what a scan makes of torn and damaged ones."""

from pathlib import Path

import numpy as np
import pytest
from hangard_ext import logrecord
from hangard_ext.digest import crc32c
from hypothesis import given
from hypothesis import strategies as st
from reference import logrecord as twin

GOLDEN = Path(__file__).parents[1] / "golden" / "log_records.hex"
SEGMENT = 0x0A0B0C0D

PAYLOADS = st.lists(st.binary(max_size=40), max_size=12)


def as_rows(records):
    return np.frombuffer(b"".join(records), dtype=np.uint8).reshape(-1, 32)


def digest_of(number):
    return bytes([number]) * 32


def packed(payloads, offset=16, kind=logrecord.KIND_NODE, **options):
    ends = np.cumsum([len(payload) for payload in payloads], dtype=np.uint64)
    digests = as_rows([digest_of(i) for i in range(len(payloads))])
    return logrecord.pack_ragged(
        kind, SEGMENT, offset, b"".join(payloads), ends, digests, **options
    )


def test_the_permanent_bytes_of_records():
    crcs = np.array([0x51525354, 0x61626364], dtype=np.uint32)
    ids = np.array([0, 0x71727374], dtype=np.uint32)
    records, _ = packed([b"hangard", b""], kind=1, crcs=crcs, shape_ids=ids, codec=1)
    assert records == bytes.fromhex(GOLDEN.read_text())


@given(PAYLOADS, st.integers(0, 2**40).map(lambda n: 8 * n))
def test_ragged_records_agree_with_the_twin(payloads, offset):
    records, specs = packed(payloads, offset)
    expected, expected_specs, position = [], [], offset
    for i, payload in enumerate(payloads):
        record = twin.pack(2, SEGMENT, position, payload, digest_of(i), crc32c(payload))
        expected.append(record)
        expected_specs.append(twin.spec(record, SEGMENT, position))
        position += len(record)
    assert records == b"".join(expected)
    assert specs.tobytes() == b"".join(expected_specs)


@given(st.integers(0, 8), st.integers(0, 20), st.booleans())
def test_rows_are_packed_as_ragged_records_are(n, row_bytes, own_crcs):
    rows = np.random.default_rng(n).integers(0, 256, (n, row_bytes), dtype=np.uint8)
    digests = np.repeat(np.arange(n, dtype=np.uint8), 32).reshape(n, 32)
    crcs = np.arange(n, dtype=np.uint32) if own_crcs else None
    records, specs = logrecord.pack_rows(1, SEGMENT, 64, rows, digests, crcs, 3, 4)
    expected, expected_specs = logrecord.pack_ragged(
        1,
        SEGMENT,
        64,
        rows.tobytes(),
        np.arange(1, n + 1, dtype=np.uint64) * row_bytes,
        digests,
        crcs,
        3,
        np.full(n, 4, dtype=np.uint32),
    )
    assert records == expected
    assert np.array_equal(specs, expected_specs)


@given(PAYLOADS, st.sampled_from([0, 16, 4096]), st.binary(max_size=20))
def test_a_scan_finds_what_was_packed(payloads, start, tail):
    records, specs = packed(payloads, offset=1024 + start)
    buffer = bytes(start) + records + tail
    kinds, digests, found, end = logrecord.scan(buffer, SEGMENT, start, 1024)
    assert kinds.tolist() == [2] * len(payloads)
    assert digests.tobytes() == b"".join(digest_of(i) for i in range(len(payloads)))
    assert np.array_equal(found, specs)
    assert end == start + len(records)
    for payload, spec in zip(payloads, found, strict=True):
        offset = int.from_bytes(spec[8:16].tobytes(), "little") - 1024
        length = int.from_bytes(spec[16:20].tobytes(), "little")
        assert buffer[offset : offset + length] == payload


def test_a_log_cut_off_at_any_byte_keeps_its_whole_records():
    payloads = [b"one", b"", b"four and more", bytes(50)]
    ends = [0]
    for i in range(len(payloads)):
        ends.append(len(packed(payloads[: i + 1], offset=0)[0]))
    records, specs = packed(payloads, offset=0)
    for length in range(len(records) + 1):
        _, digests, found, end = logrecord.scan(records[:length], SEGMENT, 0)
        whole = sum(length >= boundary for boundary in ends) - 1
        assert end == ends[whole]
        assert len(digests) == whole
        assert np.array_equal(found, specs[:whole])


def test_every_flipped_bit_ends_the_scan_before_its_record():
    payloads = [b"one", b"two2", b"three"]
    records, _ = packed(payloads, offset=0)
    for position in range(len(records)):
        record = position // 64
        for bit in range(8):
            damaged = bytearray(records)
            damaged[position] ^= 1 << bit
            _, digests, _, end = logrecord.scan(damaged, SEGMENT, 0)
            if position % 64 >= 56 + len(payloads[record]):
                assert end == len(records)  # padding carries nothing
                continue
            assert (len(digests), end) == (record, 64 * record)
            following = logrecord.find_record(damaged, SEGMENT, end + 1)
            assert following == 64 * (record + 1)
            assert len(logrecord.scan(damaged, SEGMENT, following)[1]) == 2 - record


def test_records_of_another_log_or_place_are_no_records():
    records, _ = packed([b"abcd"], offset=64)
    assert logrecord.scan(records, SEGMENT, 0, 64)[3] == len(records)
    assert logrecord.scan(records, SEGMENT, 0, 128)[3] == 0
    assert logrecord.scan(records, SEGMENT + 1, 0, 64)[3] == 0
    inner, _ = packed([records], offset=0)
    assert logrecord.find_record(inner, SEGMENT, 8) == len(inner)


def test_a_search_starts_at_the_next_multiple_of_eight():
    records, _ = packed([b"abcd", b"efgh"], offset=64)
    assert logrecord.find_record(records, SEGMENT, 1, 64) == 64
    assert logrecord.find_record(records, SEGMENT, 64, 64) == 64
    assert logrecord.find_record(records, SEGMENT, 65, 64) == len(records)
    assert logrecord.find_record(b"", SEGMENT, 0) == 0
    assert logrecord.find_record(b"abc", SEGMENT, 1) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((b"abc", [4], 1, None), "end 0"),
        ((b"abc", [2, 1], 2, None), "end 1"),
        ((b"abc", [3], 2, None), "digests"),
        ((b"abc", [3], 1, [1, 2]), "crcs"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(arguments, message):
    blob, ends, n, crcs = arguments
    with pytest.raises(ValueError, match=message):
        logrecord.pack_ragged(
            1,
            SEGMENT,
            0,
            blob,
            np.array(ends, dtype=np.uint64),
            np.zeros((n, 32), dtype=np.uint8),
            None if crcs is None else np.array(crcs, dtype=np.uint32),
        )


def test_offsets_that_are_no_multiple_of_eight_are_refused():
    rows, digests = np.zeros((1, 4), dtype=np.uint8), np.zeros((1, 32), dtype=np.uint8)
    with pytest.raises(ValueError, match="multiple of 8"):
        logrecord.pack_rows(1, SEGMENT, 12, rows, digests)
    with pytest.raises(ValueError, match="multiple of 8"):
        packed([b"abc"], offset=12)
    with pytest.raises(ValueError, match="multiple of 8"):
        logrecord.scan(b"", SEGMENT, 12)
