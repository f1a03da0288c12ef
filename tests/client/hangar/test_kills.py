"""What a writer was told is there, whoever is killed."""

import os
import random
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from client.hangar.conftest import ROW

from hangard.wire.endpoint import read_endpoint

WRITER = """
import sys, numpy
from hangard_client.hangar import Repository
column = Repository(sys.argv[1]).checkout(write=True)["x"]
for key in range(int(sys.argv[2]), sys.maxsize):
    column[key] = numpy.full(6, key)
    print(key, flush=True)
"""


def open_writer(repo):
    """The staging area, as soon as its last writer's end was seen."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return repo.checkout(write=True)
        except PermissionError:
            assert time.monotonic() < deadline
            time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_every_sample_that_was_written_is_there(fresh, seed):
    chance = random.Random(seed)
    co = fresh.checkout(write=True)
    co.add_ndarray_column("x", prototype=ROW)
    co.commit("a column")
    co.close()
    for round_ in range(6):
        start = round_ * 100_000
        child = subprocess.Popen(
            [sys.executable, "-c", WRITER, fresh.path, str(start)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        told = [child.stdout.readline()]
        time.sleep(chance.random() / 2)
        victim = chance.choice(["writer", "daemon", "lock"])
        if victim == "lock":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ResourceWarning)
                fresh.force_release_writer_lock()
        if victim == "daemon":
            os.kill(read_endpoint(Path(fresh.path)).pid, signal.SIGKILL)
            time.sleep(chance.random() / 2)
        child.kill()
        told += child.communicate()[0].splitlines()
        co = open_writer(fresh)
        keys = [key for key in co["x"] if key >= start]
        assert keys[: len(told)] == [int(key) for key in told], victim
        assert keys == list(range(start, start + len(keys)))
        assert all((co["x"][key] == np.full(6, key)).all() for key in keys)
        co.commit(f"round {round_}, {victim}")
        co.close()
        assert fresh._repo().sessions() == []
    assert fresh.verify_repo_integrity()
