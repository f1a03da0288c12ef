from __future__ import annotations

from pathlib import Path

import pytest

from hangard.backends.disk import Disk
from hangard.encoding.journal import HEADER, KIND_DELETE, JournalRecord
from hangard.errors import Closed, NoSpace
from hangard.repository.journals import JournalWriter, read_journal


def record(sequence: int, column: str = "a") -> JournalRecord:
    return JournalRecord(sequence, KIND_DELETE, column)


def sequences(path: Path, start_bytes: int = 0) -> list[int]:
    return [found.sequence for found, _ in read_journal(path, start_bytes)]


class TearingDisk(Disk):
    """Writes half of what it is given while it is full."""

    full = False

    def write(self, fd: int, data: bytes | memoryview, offset: int) -> None:
        if self.full:
            super().write(fd, data[: len(data) // 2], offset)
            raise NoSpace("the disk is full", code="disk-full")
        super().write(fd, data, offset)


def test_a_journal_without_records_is_no_file(tmp_path: Path) -> None:
    JournalWriter(tmp_path / "j", Disk()).close()
    assert list(tmp_path.iterdir()) == []
    assert read_journal(tmp_path / "j", 0) == []


def test_what_lies_behind_the_valid_part_never_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "j"
    journal = JournalWriter(path, Disk())
    ends = [journal.append(record(sequence)) for sequence in (1, 2, 3)]
    journal.close()
    # A record of equal length: without a cut the old third one would follow it.
    again = JournalWriter(path, Disk(), length_bytes=ends[0])
    again.append(record(7))
    again.close()
    assert sequences(path) == [1, 7]


def test_a_new_journal_forgets_an_old_one_of_its_name(tmp_path: Path) -> None:
    for sequence in (1, 2):
        journal = JournalWriter(tmp_path / "j", Disk())
        journal.append(record(sequence))
        journal.close()
    assert sequences(tmp_path / "j") == [2]


def test_records_follow_a_part_that_a_power_cut_took(tmp_path: Path) -> None:
    path = tmp_path / "j"
    consumed_bytes = 5_000
    assert sequences(path, consumed_bytes) == []
    journal = JournalWriter(path, Disk(), length_bytes=consumed_bytes)
    journal.append(record(1))
    journal.append(record(2))
    journal.close()
    assert sequences(path, consumed_bytes) == [1, 2]


def test_a_record_that_failed_half_way_is_written_over(tmp_path: Path) -> None:
    disk = TearingDisk()
    journal = JournalWriter(tmp_path / "j", disk)
    disk.full = True
    with pytest.raises(NoSpace):
        journal.append(record(1))
    disk.full = False
    journal.append(record(2))
    disk.full = True
    with pytest.raises(NoSpace):
        journal.append(record(3, "a much longer name"))
    assert sequences(tmp_path / "j") == [2]
    disk.full = False
    journal.append(record(4))
    assert sequences(tmp_path / "j") == [2, 4]


def test_a_closed_journal_takes_nothing_until_it_is_opened_again(tmp_path: Path) -> None:
    journal = JournalWriter(tmp_path / "j", Disk())
    assert journal.append(record(1)) > len(HEADER)
    journal.close()
    journal.close()
    with pytest.raises(Closed):
        journal.append(record(2))
    journal.reopen()
    journal.append(record(3))
    assert sequences(tmp_path / "j") == [1, 3]
