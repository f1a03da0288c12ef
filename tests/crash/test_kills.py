"""kill -9 of the daemon, its HDF5 process and its writers, at random moments of a writing load."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import h5py
import hangard_client
import hdf5plugin  # noqa: F401  registers the filters that h5py then finds
import numpy as np
import pytest
from crash.model import COLUMNS, SHAPE, digests, owned
from crash.processes import (
    WAIT_S_MAX,
    Writer,
    daemon_pid,
    hdf5_pid,
    kill,
    pause,
    wait_for_commits,
)

from hangard.model.keys import encode_keys
from hangard.reading.snapshot import RepositoryReader

WRITERS = 3
VICTIMS = ("daemon", "daemon while it starts", "hdf5", "writer")


class Checker:
    """Compares the repository with what the writers were told."""

    def __init__(self, reader: RepositoryReader, writers: list[Writer]) -> None:
        self._reader = reader
        self._writers = writers
        self._history: set[bytes] = set()
        self.commits = 0

    def check(self) -> None:
        """Every commit that was answered is there, and holds what it was told to hold."""
        answered: list[tuple[Writer, str, dict[str, bytes]]] = []
        for writer in self._writers:
            for note in writer.hear():
                writer.told.hear(note)
                if note[0] == "committed":
                    answered.append((writer, note[1], in_order(writer)))
        head = self._reader.branch("main")
        assert head is not None
        for digest, _ in self._reader.log(head):
            if digest in self._history:
                break
            self._history.add(digest)
        for writer, digest, contents in answered:
            assert bytes.fromhex(digest) in self._history, f"commit {digest} is not in main"
            assert self._named(bytes.fromhex(digest), writer) == contents, f"commit {digest}"
        self.commits += len(answered)
        self._read(head)

    def _named(self, commit: bytes, writer: Writer) -> dict[str, bytes]:
        """What a commit says that a writer's keys hold, as ``in_order`` has it."""
        blob, ends = encode_keys(owned(writer.number))
        with self._reader.checkout_commit(commit) as checkout:
            return {
                name: column.find_digests(blob, ends)[0].tobytes()
                for name, column in checkout.items()
            }

    def _read(self, commit: bytes) -> None:
        """Every sample of a commit has the bytes that its digest stands for."""
        with self._reader.checkout_commit(commit) as checkout:
            for name, column in checkout.items():
                for keys, rows in column.batches():
                    named, is_there = column.find_digests(*encode_keys(keys))
                    assert is_there.all()
                    assert [one.tobytes() for one in named] == digests(name, rows)


def in_order(writer: Writer) -> dict[str, bytes]:
    """The digests of a writer's keys by column, as its notes tell; zeros for absent keys."""
    contents, keys, absent = writer.told.contents, owned(writer.number), bytes(32)
    return {name: b"".join([contents.get((name, key), absent) for key in keys]) for name in COLUMNS}


def check_plain_files(repository: Path) -> int:
    """Every segment opens without a line of ours; how many there are."""
    segments = repository / ".hangard" / "segments"
    count = 0
    for path in sorted((segments / "00").glob("*.h5")):
        with h5py.File(path, "r") as file:
            chunk_rows = file["samples"].chunks[0]
            assert len(file["samples"][:]) == chunk_rows * len(file["valid_rows"])
            assert file["valid_rows"][:].max(initial=0) <= chunk_rows
        count += 1
    for path in sorted((segments / "10").glob("*.npy")):
        assert np.load(path).shape[1:] in (SHAPE, ())
        count += 1
    return count


def kill_one(victim: str, repository: Path, writers: list[Writer], chance: random.Random) -> bool:
    """Whether there was somebody to kill."""
    if victim == "writer":
        writer = chance.choice(writers)
        writer.kill()
        writer.start("sent")
        return True
    if victim == "hdf5":
        return kill(hdf5_pid(repository))
    first = daemon_pid(repository)
    killed = kill(first)
    if victim == "daemon while it starts":
        deadline = time.monotonic() + WAIT_S_MAX
        while (second := daemon_pid(repository)) in (None, first):
            assert time.monotonic() < deadline, "nobody starts a daemon"
            for writer in writers:
                writer.check_alive()
            time.sleep(0.02)
        pause(chance, 0.3)
        killed = kill(second)
    return killed


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "repository"
    with hangard_client.Repository(
        path, create=True, user_name="Ada", user_email="ada@example.org", idle_s=60
    ) as repo:
        with repo.checkout("main", write=True) as co:
            for add in COLUMNS.values():
                add(co)
            co.commit("columns")
        yield path
        repo.stop()


def run_kills(repository: Path, folder: Path, kills: int, seed: int) -> None:
    chance = random.Random(seed)
    writers = [Writer(repository, folder, number, seed + number) for number in range(WRITERS)]
    for writer in writers:
        writer.start("flushed")
    done: Counter[str] = Counter()
    try:
        with RepositoryReader(repository) as reader:
            checker = Checker(reader, writers)
            wait_for_commits(writers)
            while done.total() < kills:
                pause(chance, 0.3)
                victim = chance.choice(VICTIMS)
                done[victim] += kill_one(victim, repository, writers, chance)
                wait_for_commits(writers)
                checker.check()
            for writer in writers:
                writer.stop()
            checker.check()
            with hangard_client.Repository(repository) as repo:
                assert [one for one in repo.sessions() if one.staged] == []
                repo.stop()
            checker.check()
        segments = check_plain_files(repository)
    finally:
        for writer in writers:
            writer.kill()
    told = ", ".join(f"{count} of the {victim}" for victim, count in sorted(done.items()))
    print(f"\nkilled: {told}; {checker.commits} commits, {segments} segments")


@pytest.mark.timeout(300)
def test_nothing_that_was_answered_is_lost_in_20_kills(repository: Path, tmp_path: Path) -> None:
    run_kills(repository, tmp_path, 20, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_nothing_that_was_answered_is_lost_in_200_kills(repository: Path, tmp_path: Path) -> None:
    run_kills(repository, tmp_path, 200, seed=2)
