from __future__ import annotations

import numpy as np
import pytest
from hangard_ext.logrecord import KIND_SAMPLE, pack_rows

from hangard.encoding.log import (
    HEADER_BYTES,
    log_header,
    log_number,
    next_record,
    scan_log,
)
from hangard.errors import Corrupt


def records(n: int, offset: int) -> bytes:
    rows = np.arange(n * 5, dtype=np.uint8).reshape(n, 5)
    digests = np.repeat(np.arange(n, dtype=np.uint8), 32).reshape(n, 32)
    return pack_rows(KIND_SAMPLE, 9, offset, rows, digests)[0]


def test_the_permanent_bytes_of_a_header():
    assert log_header(0x01020304).hex() == "4847444c4f4700000100000004030201"
    assert log_number(log_header(9)) == 9


def test_a_scan_can_go_on_where_one_ended():
    content = log_header(9) + records(3, HEADER_BYTES)
    first = scan_log(content)
    assert first.digests.shape == first.specs.shape == (3, 32)
    assert first.end_bytes == len(content)
    content += records(2, first.end_bytes)
    assert scan_log(content, first.end_bytes).kinds.tolist() == [KIND_SAMPLE] * 2
    assert len(scan_log(memoryview(content)).digests) == 5


def test_a_torn_tail_ends_the_valid_part():
    content = log_header(9) + records(3, HEADER_BYTES)
    size = (len(content) - HEADER_BYTES) // 3
    for length in range(HEADER_BYTES, len(content)):
        found = scan_log(content[:length])
        assert found.end_bytes == HEADER_BYTES + size * ((length - HEADER_BYTES) // size)


def test_reading_goes_on_behind_damage():
    content = bytearray(log_header(9) + records(3, HEADER_BYTES))
    content[HEADER_BYTES + 30] ^= 1
    end = scan_log(content).end_bytes
    assert end == HEADER_BYTES
    following = next_record(content, end + 8)
    assert len(scan_log(content, following).digests) == 2
    assert next_record(content, len(content) - 8) == len(content)


@pytest.mark.parametrize("content", [b"", b"HGDLOG\0\0", b"HGDLOG\0\0\2\0\0\0\0\0\0\0", bytes(64)])
def test_other_files_are_refused(content):
    with pytest.raises(Corrupt):
        scan_log(content)
