"""Writes past the page cache: the same bytes as ordinary ones, wherever an append begins."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hangard.backends.direct import ALIGNMENT_BYTES, DIRECT_BYTES_MIN, PIECE_BYTES, DirectFile
from hangard.backends.disk import Disk

LONG = 2 * PIECE_BYTES + 3 * ALIGNMENT_BYTES + 17


class RecordingDisk(Disk):
    """Knows which writes went past the page cache."""

    def __init__(self) -> None:
        self.direct: set[int] = set()
        self.direct_bytes = 0

    def open_direct(self, path: Path) -> int:
        fd = super().open_direct(path)
        self.direct.add(fd)
        return fd

    def write(self, fd: int, data: bytes | memoryview, offset: int) -> None:
        super().write(fd, data, offset)
        if fd in self.direct:
            self.direct_bytes += len(data)


class RefusingDisk(Disk):
    """Opens files for direct writes and takes the first ``taken`` of them only."""

    def __init__(self, taken: int, number: int) -> None:
        self.taken = taken
        self._number = number
        self._direct = -1

    def open_direct(self, path: Path) -> int:
        self._direct = super().open_direct(path)
        return self._direct

    def write(self, fd: int, data: bytes | memoryview, offset: int) -> None:
        if fd == self._direct:
            if not self.taken:
                raise OSError(self._number, os.strerror(self._number))
            self.taken -= 1
        super().write(fd, data, offset)


@contextmanager
def opened(folder: Path, disk: Disk) -> Iterator[tuple[DirectFile, Path]]:
    path = folder / "file"
    fd = disk.open_or_create(path)
    file = DirectFile(disk, path, fd)
    try:
        yield file, path
    finally:
        file.close()
        file.close()
        disk.close(fd)


def content(size: int, seed: int = 0) -> bytes:
    return np.random.default_rng(seed).bytes(size)


@given(
    sizes=st.lists(
        st.one_of(
            st.integers(0, 3 * ALIGNMENT_BYTES),
            st.integers(DIRECT_BYTES_MIN - 5_000, 3 * DIRECT_BYTES_MIN),
        ),
        min_size=1,
        max_size=5,
    )
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_appends_of_any_size_are_the_bytes_that_were_given(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int]
) -> None:
    whole = content(sum(sizes))
    with opened(tmp_path_factory.mktemp("direct"), Disk()) as (file, path):
        position = 0
        for size in sizes:
            file.append(memoryview(whole)[position : position + size], position)
            position += size
            assert path.read_bytes() == whole[:position]


def test_the_whole_blocks_of_a_large_append_go_past_the_page_cache(tmp_path: Path) -> None:
    disk = RecordingDisk()
    whole = content(LONG)
    with opened(tmp_path, disk) as (file, path):
        file.append(memoryview(whole), 0)
        assert path.read_bytes() == whole
    assert disk.direct_bytes == LONG // ALIGNMENT_BYTES * ALIGNMENT_BYTES


def test_small_appends_do_not(tmp_path: Path) -> None:
    disk = RecordingDisk()
    with opened(tmp_path, disk) as (file, path):
        file.append(memoryview(content(DIRECT_BYTES_MIN - 1)), 0)
        assert path.stat().st_size == DIRECT_BYTES_MIN - 1
    assert not disk.direct


@pytest.mark.parametrize("taken", [0, 1])
def test_a_file_system_that_refuses_gets_ordinary_writes(tmp_path: Path, taken: int) -> None:
    whole = content(2 * LONG)
    with opened(tmp_path, RefusingDisk(taken, errno.EINVAL)) as (file, path):
        file.append(memoryview(whole)[:LONG], 0)
        file.append(memoryview(whole)[LONG:], LONG)
        assert path.read_bytes() == whole


def test_any_other_error_is_the_callers(tmp_path: Path) -> None:
    with (
        opened(tmp_path, RefusingDisk(1, errno.ENOSPC)) as (file, _),
        pytest.raises(OSError, match="space"),
    ):
        file.append(memoryview(content(LONG)), 0)


def test_threads_write_their_places_side_by_side(tmp_path: Path) -> None:
    whole = content(4 * LONG)
    with opened(tmp_path, Disk()) as (file, path):
        threads = [
            threading.Thread(
                target=file.append, args=(memoryview(whole)[i * LONG : (i + 1) * LONG], i * LONG)
            )
            for i in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert path.read_bytes() == whole
