"""What a full or slow disk does to the files that are appended to."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
from contracts.segment_contract import ROW_BYTES, FailingDisk, make_rows

from hangard.backends.disk import Disk
from hangard.backends.log import Log
from hangard.backends.numpy_segment import NumpySegment
from hangard.backends.segment import Reservation, Segment
from hangard.errors import NoSpace


def numpy_segment(folder: Path, disk: Disk) -> Segment:
    return NumpySegment(folder / "a.npy", 7, "|u1", (ROW_BYTES,), disk)


def log(folder: Path, disk: Disk) -> Segment:
    return Log(folder / "a.log", 7, disk)


both = pytest.mark.parametrize("create", [numpy_segment, log])


class SlowDisk(Disk):
    """Syncs end only when they may."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.may_end = threading.Event()

    def sync(self, fd: int) -> None:
        self.begun.set()
        assert self.may_end.wait(30)
        super().sync(fd)


@both
def test_appends_go_on_during_a_sync(
    tmp_path: Path, create: Callable[[Path, Disk], Segment]
) -> None:
    disk = SlowDisk()
    segment = create(tmp_path, disk)
    segment.append(*make_rows(3, 0))
    syncing = threading.Thread(target=segment.sync)
    syncing.start()
    assert disk.begun.wait(30)
    segment.append(*make_rows(5, 1))
    disk.may_end.set()
    syncing.join()
    disk.begun.clear()
    segment.sync()  # the second batch came too late for the first sync
    assert disk.begun.is_set()
    segment.close()


@both
@pytest.mark.parametrize("writes", [0, 1])
def test_a_file_that_could_not_be_begun_is_gone(
    tmp_path: Path, create: Callable[[Path, Disk], Segment], writes: int
) -> None:
    disk = FailingDisk(writes)
    if writes == 1 and create is log:
        create(tmp_path, disk).close()
        assert [file.name for file in tmp_path.iterdir()] == ["a.log"]
        return
    with pytest.raises(NoSpace):
        create(tmp_path, disk)
    assert list(tmp_path.iterdir()) == []


class SmallDisk(Disk):
    """Has room for so many bytes."""

    def __init__(self, room_bytes: int) -> None:
        self.room_bytes = room_bytes
        self.reserved: list[tuple[int, int]] = []

    def reserve(self, fd: int, offset: int, length: int) -> None:
        if length > self.room_bytes:
            raise NoSpace("the disk is full", code="disk-full")
        self.room_bytes -= length
        self.reserved.append((offset, length))

    def free_bytes(self, where: Path | int) -> int:
        return self.room_bytes


def test_space_is_reserved_ahead_in_growing_steps() -> None:
    disk = SmallDisk(1 << 40)
    reservation = Reservation(disk, 3, 16)
    reservation.ensure(17)
    reservation.ensure(1 << 20)
    assert disk.reserved == [(16, 1 << 20)]
    reservation.ensure(100 << 20)
    assert disk.reserved[1] == (16 + (1 << 20), (99 << 20) - 16)
    reservation.ensure(101 << 20)
    assert disk.reserved[2] == (100 << 20, 101 << 19)


def test_a_nearly_full_disk_keeps_room_for_others_and_gives_what_is_needed() -> None:
    disk = SmallDisk(800)
    reservation = Reservation(disk, 3, 0)
    reservation.ensure(10)
    assert disk.reserved == [(0, 100)]
    reservation.ensure(750)
    assert disk.reserved[1] == (100, 650)
    with pytest.raises(NoSpace):
        reservation.ensure(801)
    reservation.ensure(800)
    assert disk.room_bytes == 0


@both
def test_nothing_is_written_when_the_space_cannot_be_reserved(
    tmp_path: Path, create: Callable[[Path, Disk], Segment]
) -> None:
    disk = SmallDisk(0)
    segment = create(tmp_path, disk)
    before = segment.path.read_bytes()
    with pytest.raises(NoSpace):
        segment.append(*make_rows(4))
    assert segment.path.read_bytes() == before
    disk.room_bytes = 1 << 20
    rows, digests, crcs = make_rows(4)
    assert np.shape(segment.append(rows, digests, crcs)) == (4, 32)
    segment.close()


class CountingDisk(Disk):
    """Counts syncs."""

    def __init__(self) -> None:
        self.synced = 0

    def sync(self, fd: int) -> None:
        self.synced += 1
        super().sync(fd)


@both
def test_a_length_seen_during_an_append_is_synced_by_the_next_sync(
    tmp_path: Path, create: Callable[[Path, Disk], Segment]
) -> None:
    """A checkpoint notes the length it saw as synced, so no sync may take it for an older one."""
    disk = CountingDisk()
    segment = create(tmp_path, disk)
    segment.append(*make_rows(3, 0))
    segment.sync()
    synced_at: dict[int, bool] = {segment.rows_bytes: True}

    def at_each_line(frame: FrameType, event: str, _argument: object) -> Any:
        length, before = segment.rows_bytes, disk.synced
        segment.sync()
        synced_at.setdefault(length, disk.synced > before)
        return at_each_line

    def at_call(frame: FrameType, _event: str, _argument: object) -> Any:
        inside = frame.f_code.co_name in ("append", "_append")
        return at_each_line if inside and "backends" in frame.f_code.co_filename else None

    sys.settrace(at_call)
    try:
        segment.append(*make_rows(5, 1))
    finally:
        sys.settrace(None)
    assert all(synced_at.values()), synced_at
    segment.close()
