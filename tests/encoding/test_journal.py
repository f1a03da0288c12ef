from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hangard.encoding.journal import (
    HEADER,
    KIND_CREATE,
    KIND_DELETE,
    KIND_PUT,
    JournalRecord,
    encode_journal_record,
    scan_journal,
)
from hangard.errors import Corrupt


def put(sequence: int, n: int) -> JournalRecord:
    blob = b"\x11\x07" * n
    ends = np.arange(2, 2 * n + 1, 2, dtype=np.uint32)
    digests = np.arange(32 * n, dtype=np.uint64).astype(np.uint8).reshape(n, 32)
    return JournalRecord(sequence, KIND_PUT, "faces", blob, ends, digests)


def records() -> list[JournalRecord]:
    deletion = JournalRecord(2, KIND_DELETE, "faces", b"\x10", np.array([1], np.uint32))
    more = replace(put(5, 2), more=True)
    return [put(1, 3), deletion, JournalRecord(3, KIND_CREATE, "a", schema=b"x"), put(4, 0), more]


def same(a: JournalRecord, b: JournalRecord) -> bool:
    return (
        (a.sequence, a.kind, a.column, a.blob, a.schema, a.more)
        == (b.sequence, b.kind, b.column, b.blob, b.schema, b.more)
        and np.array_equal(a.ends, b.ends)
        and np.array_equal(a.digests, b.digests)
    )


def test_records_come_back_as_they_were_written() -> None:
    content = HEADER + b"".join(encode_journal_record(record) for record in records())
    found = list(scan_journal(content))
    assert all(same(a, b) for (a, _), b in zip(found, records(), strict=True))
    assert found[-1][1] == len(content)


def test_a_journal_cut_at_any_byte_gives_the_whole_records_before_the_cut() -> None:
    content, ends = HEADER, []
    for record in records():
        content += encode_journal_record(record)
        ends.append(len(content))
    for length in range(len(content)):
        found = list(scan_journal(content[:length]))
        assert [end for _, end in found] == [end for end in ends if end <= length]


@given(st.data())
def test_a_flipped_bit_ends_the_valid_part_and_never_changes_a_record(data: st.DataObject) -> None:
    written = records()
    content = bytearray(HEADER + b"".join(encode_journal_record(record) for record in written))
    position = data.draw(st.integers(len(HEADER), len(content) - 1))
    content[position] ^= 1 << data.draw(st.integers(0, 7))
    found = list(scan_journal(content))
    assert len(found) < len(written)
    assert all(same(a, b) for (a, _), b in zip(found, written, strict=False))


def test_a_file_that_is_no_journal_is_refused() -> None:
    with pytest.raises(Corrupt, match="not a session journal"):
        list(scan_journal(b"x" * 64))


def test_a_record_has_its_permanent_bytes() -> None:
    golden = Path(__file__).parent.parent / "golden" / "journal_record.hex"
    assert encode_journal_record(put(5, 1)).hex() == golden.read_text().strip()


def test_what_is_staged_together_with_the_next_has_one_flag() -> None:
    alone, more = (encode_journal_record(replace(put(5, 2), more=more)) for more in (False, True))
    differing = [i for i, (a, b) in enumerate(zip(alone, more, strict=True)) if a != b]
    assert set(differing) <= {4, 5, 6, 7, 18}
    assert (alone[18], more[18]) == (0, 1)
