from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hangard.encoding.rows import encode_rows, next_rows_record, rows_header, scan_rows
from hangard.errors import Corrupt


def record(n: int, seed: int) -> bytes:
    pairs = np.random.default_rng(seed).integers(0, 256, (2, n, 32), np.uint8)
    return encode_rows(pairs[0], pairs[1])


def test_records_come_back_and_a_scan_can_go_on_where_one_ended() -> None:
    content = rows_header(3) + record(2, 0)
    digests, specs, end = scan_rows(content)
    assert digests.shape == specs.shape == (2, 32)
    assert end == len(content)
    more = content + record(5, 1)
    assert scan_rows(more, end)[0].shape == (5, 32)
    assert scan_rows(more)[0].shape == (7, 32)


def test_a_file_cut_at_any_byte_gives_the_whole_records_before_the_cut() -> None:
    ends = [16]
    content = rows_header(3)
    for seed, n in enumerate((1, 2, 0, 1)):
        content += record(n, seed)
        ends.append(len(content))
    for length in range(16, len(content) + 1):
        assert scan_rows(content[:length])[2] == max(end for end in ends if end <= length)


@given(st.integers(16, 16 + 16 + 64 * 3 - 1), st.integers(0, 7))
def test_a_flipped_bit_ends_the_valid_part(position: int, bit: int) -> None:
    content = bytearray(rows_header(3) + record(3, 0))
    content[position] ^= 1 << bit
    assert len(scan_rows(bytes(content))[0]) == 0


def test_a_file_of_another_kind_is_refused() -> None:
    with pytest.raises(Corrupt):
        scan_rows(b"\x93NUMPY" + bytes(64))


def test_a_record_has_its_permanent_bytes() -> None:
    digests = np.arange(32, dtype=np.uint8).reshape(1, 32)
    golden = Path(__file__).parent.parent / "golden" / "rows_record.hex"
    written = rows_header(9) + encode_rows(digests, digests + 32)
    assert written.hex() == golden.read_text().strip()


def test_reading_goes_on_behind_damage() -> None:
    first = rows_header(3) + record(2, 0)
    content = bytearray(first + record(3, 1) + record(4, 2))
    content[len(first) + 20] ^= 1
    damaged = bytes(content)
    assert scan_rows(damaged)[2] == len(first)
    following = next_rows_record(damaged, len(first))
    assert following == len(first) + 16 + 3 * 64
    assert len(scan_rows(damaged, following)[0]) == 4
    assert next_rows_record(damaged, following + 1) == len(damaged)
