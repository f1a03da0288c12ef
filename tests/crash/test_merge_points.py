"""A merge that ends with a kill -9 or a power cut at each of its moments: the branch is as it was,
or has the whole merge, and the same command again comes to the same end."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from crash.points import BOOT_ID, Countdown, CountingDisk, CountingEnvironment, ForgetfulDisk
from repository.merges import head, request
from repository.writing import Writer, read_commit

from hangard.model.commit import Digest
from hangard.repository.clock import SystemClock
from hangard.repository.repository import Repository

LIFE_S_MAX = 60
COMMAND = bytes(range(16))
CONTEXT = multiprocessing.get_context("forkserver")
EXPECTED = {**dict.fromkeys(range(3000), 1), 0: 2, 1: 3, 2500: 2, 3000: 3}


def values(repository: Repository, commit: Digest) -> dict[int, int]:
    return {key: int(row[0]) for key, row in read_commit(repository, commit)["a"].items()}


def diverge(path: Path) -> Digest:
    """Branches main and dev that share no key in what they changed; dev's head."""
    Repository.create(path)
    repository = Repository.open(path)
    try:
        writer = Writer(repository)
        writer.column("a")
        writer.put("a", (range(3000), np.ones((3000, 4), np.uint8)))
        repository.create_branch("dev", writer.commit().digest)
        writer.put("a", {key: np.full(4, 2, np.uint8) for key in (0, 2500)})
        writer.commit()
        other = Writer(repository, branch="dev")
        other.put("a", {key: np.full(4, 3, np.uint8) for key in (1, 3000)})
        dev = other.commit().digest
        for session in (writer, other):
            repository.close_session(session.session.id, abort=True)
        return dev
    finally:
        repository.close()


def merge_and_end(path: str, dev: Digest, number: int, power_cut: bool, sender: Any) -> None:
    """The merge, in a process that is killed at the moment ``number`` (0: never)."""

    def end() -> None:
        if isinstance(disk, ForgetfulDisk):
            disk.lose_unsynced()
        os.kill(os.getpid(), signal.SIGKILL)

    signal.alarm(LIFE_S_MAX)
    countdown = Countdown(0, end)
    disk = ForgetfulDisk(countdown, Path(path)) if power_cut else CountingDisk(countdown)
    repository = Repository(
        CountingEnvironment(Path(path), countdown), SystemClock(), disk, BOOT_ID
    )
    countdown.passed, countdown._number = 0, number
    repository.merge(request("merge", "main", dev, command_id=COMMAND))
    sender.send(countdown.passed)
    os._exit(0)


def live(path: Path, dev: Digest, number: int, *, power_cut: bool = False) -> int:
    """How many moments the merge had; 0 if it was killed."""
    receiver, sender = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(
        target=merge_and_end, args=(str(path), dev, number, power_cut, sender)
    )
    process.start()
    sender.close()
    process.join(LIFE_S_MAX)
    assert process.exitcode == (-signal.SIGKILL if number else 0)
    return 0 if number else receiver.recv()


@pytest.mark.parametrize("power_cut", [False, True])
def test_a_merge_is_done_or_not_at_every_moment(tmp_path: Path, power_cut: bool) -> None:
    template = tmp_path / "template"
    dev = diverge(template)
    whole = tmp_path / "whole"
    shutil.copytree(template, whole)
    moments = live(whole, dev, 0, power_cut=power_cut)
    assert moments >= 5
    ends = set()
    for number in range(1, moments + 1):
        path = tmp_path / str(number)
        shutil.copytree(template, path)
        live(path, dev, number, power_cut=power_cut)
        repository = Repository.open(path)
        try:
            before = head(repository, "main")
            is_done = repository.find_result(COMMAND) is not None
            assert is_done == (values(repository, before) == EXPECTED)
            assert (len(repository._objects.commit(before).parents) == 2) == is_done
            ends.add(is_done)
            again = repository.merge(request("merge", "main", dev, command_id=COMMAND))
            assert again.commit == head(repository, "main")
            assert (again.commit == before) == is_done
            assert values(repository, head(repository, "main")) == EXPECTED
        finally:
            repository.close()
        shutil.rmtree(path)
    assert ends == {False, True}
