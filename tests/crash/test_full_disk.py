"""A full disk under a daemon: an error to who writes, reads go on, and so do writes once there is
space again."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import hangard_client
import hdf5plugin  # noqa: F401  registers the filters that h5py then finds
import numpy as np
import pytest
from repository.writing import Writer

from hangard.backends.disk import Disk
from hangard.errors import NoSpace, NothingStaged
from hangard.reading.snapshot import RepositoryReader
from hangard.repository.repository import Repository

DISK_BYTES = 24 << 20
BALLAST_BYTES = 8 << 20
SHAPE = (28, 28)
ROWS = 700
REFUSALS = 6


@dataclass
class Side:
    """Who writes: a client of a daemon, or the repository itself."""

    put: Callable[[range, np.ndarray], object]
    delete: Callable[[int], object]
    flush: Callable[[], object]
    commit: Callable[[], object]
    free_some: Callable[[], object]
    check_alive: Callable[[], object]


class BudgetDisk(Disk):
    """Full once ``left`` bytes were written."""

    def __init__(self) -> None:
        self.left = DISK_BYTES - BALLAST_BYTES

    def reserve(self, fd: int, offset: int, length: int) -> None:
        if length > self.left:
            raise NoSpace("the disk is full", code="disk-full")
        self.left -= length

    def write(self, fd: int, data: bytes | memoryview, offset: int) -> None:
        size = memoryview(data).nbytes
        if size > self.left:
            super().write(fd, memoryview(data).cast("B")[: self.left], offset)
            raise NoSpace("the disk is full", code="disk-full")
        self.left -= size
        super().write(fd, data, offset)

    def free_bytes(self, where: Path | int) -> int:
        return self.left

    def free_some(self) -> None:
        self.left += BALLAST_BYTES


@contextmanager
def mounted(folder: Path) -> Iterator[bool]:
    """A small file system at ``folder``; False where this process may not mount one."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", folder]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        yield False
        return
    try:
        yield True
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@contextmanager
def daemon_side(folder: Path, backend: str) -> Iterator[Side]:
    """A client and its daemon, the repository on a full file system."""
    ballast = folder / "ballast"
    ballast.write_bytes(bytes(BALLAST_BYTES))
    with hangard_client.Repository(
        folder / "repository",
        create=True,
        user_name="Ada",
        user_email="ada@example.org",
        idle_s=60,
    ) as repo:
        co = repo.checkout("main", write=True)
        column = co.add_ndarray_column("a", shape=SHAPE, dtype="uint8", backend=backend)
        pid = repo.status()["pid"]

        def check_alive() -> None:
            assert repo.status()["pid"] == pid

        yield Side(
            column.put_many,
            lambda key: column.delete(key),
            co.flush,
            lambda: co.commit("more"),
            ballast.unlink,
            check_alive,
        )
        co.close()
        repo.stop()


@contextmanager
def repository_side(folder: Path, backend: str) -> Iterator[Side]:
    """Without a file system to fill: the repository over a disk that plays a full one."""
    disk = BudgetDisk()
    Repository.create(folder / "repository")
    repository = Repository.open(folder / "repository", disk=disk)
    writer = Writer(repository)
    writer.column("a", shape=SHAPE, backend={"hdf5": "00", "numpy": "10"}[backend])

    def request(call: Callable[..., object], *arguments: Any) -> None:
        try:
            call("a", *arguments)
        except NoSpace:
            writer.session.skip(writer.sequence)  # as the daemon does with what fails
            writer.sequence += 1
            raise

    yield Side(
        lambda keys, rows: request(writer.put, (keys, rows)),
        lambda key: request(writer.delete, key),
        lambda: None,
        lambda: writer.commit("more"),
        disk.free_some,
        lambda: None,
    )
    repository.close()


def noise(number: int) -> np.ndarray:
    """Rows that do not compress."""
    return np.random.default_rng(number).integers(0, 256, (ROWS, *SHAPE), np.uint8)


def keys_of(number: int) -> range:
    return range(number * ROWS, (number + 1) * ROWS)


def refused(call: Callable[..., object], *arguments: Any) -> bool:
    """Whether a call fails because the disk is full."""
    try:
        call(*arguments)
    except NoSpace as error:
        return error.code == "disk-full"
    return False


def check_committed(folder: Path, batches: int) -> None:
    """All that was committed is there, and nothing else."""
    with RepositoryReader(folder / "repository") as reader, reader.checkout("main") as checkout:
        column = checkout["a"]
        assert len(column) == batches * ROWS
        for number in range(batches):
            assert np.array_equal(column.get_many(keys_of(number)), noise(number))


def fill_and_go_on(folder: Path, side: Side) -> int:
    """How many batches were committed in the end."""
    side.put(keys_of(0), noise(0))
    side.commit()
    batches = 1
    while not refused(side.put, keys_of(batches), noise(batches)) and not refused(side.flush):
        if refused(side.commit):
            break
        batches += 1
        assert batches * noise(0).nbytes < DISK_BYTES
    side.check_alive()
    check_committed(folder, batches)

    # Whatever is tried now is refused or done, and the daemon lives.
    for turn in range(REFUSALS):
        refused(side.put, keys_of(batches), noise(100 + turn))
        refused(side.put, range(keys_of(batches)[0], keys_of(batches)[0] + 3), noise(0)[:3])
        refused(side.flush)
        with suppress(NothingStaged):
            refused(side.commit)
        side.check_alive()

    side.free_some()
    # The same session takes what was refused, sample by sample what the caller wants to be there.
    for number in range(batches + 2):
        refused(side.put, keys_of(number), noise(number))
        side.put(keys_of(number), noise(number))
    side.commit()
    check_committed(folder, batches + 2)
    side.put(keys_of(batches + 2), noise(batches + 2))
    side.delete(keys_of(batches + 2)[0])
    side.put(range(keys_of(batches + 2)[0], keys_of(batches + 2)[0] + 1), noise(batches + 2)[:1])
    side.commit()
    check_committed(folder, batches + 3)
    side.check_alive()
    return batches + 3


@pytest.mark.parametrize("backend", ["hdf5", "numpy"])
def test_a_full_disk_refuses_writes_and_loses_nothing(tmp_path: Path, backend: str) -> None:
    with mounted(tmp_path) as is_mounted:
        choose = daemon_side if is_mounted else repository_side
        with choose(tmp_path, backend) as side:
            batches = fill_and_go_on(tmp_path, side)
        check_committed(tmp_path, batches)
        for segment in (tmp_path / "repository/.hangard/segments/00").glob("*.h5"):
            with h5py.File(segment, "r") as file:
                assert len(file["samples"][:]) > 0


@pytest.mark.parametrize("backend", ["hdf5", "numpy"])
def test_a_disk_that_plays_full_refuses_writes_and_loses_nothing(
    tmp_path: Path, backend: str
) -> None:
    with repository_side(tmp_path, backend) as side:
        batches = fill_and_go_on(tmp_path, side)
    check_committed(tmp_path, batches)


def fill_to_the_last_byte(folder: Path) -> Path:
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        for size in (1 << 16, 1 << 12, 1):
            with suppress(OSError):
                while True:
                    file.write(bytes(size))
    return filler


def test_a_daemon_killed_on_a_full_disk_is_followed_by_another(tmp_path: Path) -> None:
    with mounted(tmp_path) as is_mounted:
        if not is_mounted:
            # Without a file system to fill, that of the other tests is what can be had.
            test_a_disk_that_plays_full_refuses_writes_and_loses_nothing(tmp_path, "numpy")
            return
        with hangard_client.Repository(
            tmp_path / "repository",
            create=True,
            user_name="Ada",
            user_email="ada@example.org",
            idle_s=60,
        ) as repo:
            co = repo.checkout("main", write=True)
            column = co.add_ndarray_column("a", shape=SHAPE, dtype="uint8", backend="numpy")
            column.put_many(keys_of(0), noise(0))
            co.commit("first")
            column.put_many(keys_of(1), noise(1))
            co.flush()
            filler = fill_to_the_last_byte(tmp_path)
            os.kill(repo.status()["pid"], signal.SIGKILL)
            while True:
                try:
                    repo.status()
                    break
                except NoSpace:
                    check_committed(tmp_path, 1)
                    filler.unlink()
            filler.unlink(missing_ok=True)
            co.commit("what was flushed before the kill")
            check_committed(tmp_path, 2)
            co.close()
            repo.stop()
