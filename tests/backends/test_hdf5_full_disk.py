"""A full disk under the HDF5 process: a clear error, no crash, and on once there is space."""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from backends.test_hdf5_segment import append, make_segment, read_plainly, read_rows

from hangard.backends.disk import Disk
from hangard.backends.hdf5_writer import Hdf5Writer
from hangard.errors import NoSpace

DISK_BYTES = 16 << 20


class BudgetDisk(Disk):
    """Full once `left` bytes were reserved."""

    def __init__(self) -> None:
        self.left = DISK_BYTES

    def reserve(self, fd, offset, length):
        if length > self.left:
            raise NoSpace("the disk is full", code="disk-full")
        self.left -= length


@dataclass
class SmallDisk:
    path: Path
    disk: Disk
    free_some: Callable[[], object]


@pytest.fixture
def small_disk(tmp_path):
    """A real small file system where this process may mount one, else a disk that plays one."""
    filler = tmp_path / "filler"
    options = f"size={DISK_BYTES}"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", tmp_path], capture_output=True, check=False
    )
    if mounted.returncode:
        disk = BudgetDisk()
        yield SmallDisk(tmp_path, disk, lambda: setattr(disk, "left", DISK_BYTES))
        return
    try:
        filler.write_bytes(bytes(DISK_BYTES // 2))
        yield SmallDisk(tmp_path, Disk(), filler.unlink)
    finally:
        subprocess.run(["umount", "-l", tmp_path], check=True)


def fill(segment, samples) -> list[np.ndarray]:
    """Append until the disk is full; the specs of what was answered."""
    written = []
    while True:
        try:
            written.append(append(segment, samples))
        except NoSpace:
            return written


def test_a_full_disk_is_told_and_writing_goes_on_once_there_is_space(small_disk):
    noise = np.random.default_rng(0).integers(0, 256, (1000, 784), np.uint8)
    with Hdf5Writer() as writer:
        segment = make_segment(writer, small_disk.path / "a.h5", shape=(784,), disk=small_disk.disk)
        process = writer.pid
        written = fill(segment, noise)
        assert 2 <= len(written) < 30
        for _ in range(3):
            with pytest.raises(NoSpace):
                append(segment, noise)
        segment.sync()
        assert writer.pid == process

        small_disk.free_some()
        written.append(append(segment, noise))
        for specs in written:
            assert np.array_equal(read_rows(segment, specs, 784), noise)
        segment.seal()
        assert writer.pid == process
    assert len(read_plainly(segment.path)) >= 1000 * len(written)


def test_a_segment_that_cannot_be_created_leaves_nothing_behind(small_disk):
    class NoRows(Disk):
        def write(self, fd, data, offset):
            raise NoSpace("the disk is full", code="disk-full")

    with Hdf5Writer() as writer:
        with pytest.raises(NoSpace):
            make_segment(writer, small_disk.path / "a.h5", disk=NoRows())
        assert {path.name for path in small_disk.path.iterdir()} <= {"filler"}
        make_segment(writer, small_disk.path / "a.h5").close()


def test_sealing_needs_no_space(small_disk):
    noise = np.random.default_rng(0).integers(0, 256, (1000, 784), np.uint8)
    with Hdf5Writer() as writer:
        segment = make_segment(writer, small_disk.path / "a.h5", shape=(784,), disk=small_disk.disk)
        written = fill(segment, noise)
        segment.seal()
        assert writer.is_readable(segment.path)
        for specs in written:
            assert np.array_equal(read_rows(segment, specs, 784), noise)
