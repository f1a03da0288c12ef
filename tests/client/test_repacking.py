"""Repacking through the daemon: progress, a killed daemon, both faces."""

import asyncio
import os
import signal

import hangard_client
import numpy as np
import pytest
from hangard_client.async_repository import AsyncRepository

from hangard.errors import UnknownColumn

ROWS = 3000


@pytest.fixture
def project(tmp_path):
    repository = hangard_client.Repository(
        tmp_path / "project", create=True, idle_s=60, user_name="Ada", user_email="a@example.org"
    )
    with repository.checkout("main", write=True) as co:
        column = co.add_ndarray_column("faces", shape=(28, 28), dtype="u1", backend="numpy")
        column.put_many(range(ROWS), rows())
        column.change_backend("hdf5", {"complib": "blosc2:zstd", "complevel": 1})
        co.commit("written as numpy, hdf5 from now on")
    yield repository
    repository.stop()
    repository.close()


def rows():
    return np.random.default_rng(5).integers(0, 256, (ROWS, 28, 28), np.uint8) // 64


def codes(repo):
    with repo.checkout("main") as co:
        return {place.format_code for place in co["faces"].locations()}


def test_samples_are_repacked_and_progress_is_told(project):
    told = []
    assert codes(project) == {"10"}
    done = project.repack(progress=lambda *stage: told.append(stage))
    assert (done.columns, done.samples, done.rewritten) == (1, ROWS, ROWS)
    assert codes(project) == {"00"}
    assert all(total == ROWS for stage, _, total in told if stage == "column faces")
    with project.checkout("main") as co:
        assert np.array_equal(co["faces"].get_many(range(ROWS)), rows())
    assert project.repack("faces", revision="main").rewritten == 0
    with pytest.raises(UnknownColumn):
        project.repack("voices")


def test_a_reader_of_old_places_reads_on(project):
    with project.checkout("main") as co:
        view = co["faces"].view(7)
        project.repack()
        assert np.array_equal(view, rows()[7])
        assert np.array_equal(co["faces"][8], rows()[8])


def test_a_killed_daemon_is_followed_by_one_that_goes_on(project):
    async def kill_while_it_runs():
        async with AsyncRepository(project.path) as repo:
            pid = (await repo.status())["pid"]
            work = asyncio.create_task(repo.repack())
            await asyncio.sleep(0.05)
            os.kill(pid, signal.SIGKILL)
            return (await work).samples

    # The request is sent again to the next daemon.
    assert asyncio.run(kill_while_it_runs()) == ROWS
    assert codes(project) == {"00"}
    with project.checkout("main") as co:
        assert np.array_equal(co["faces"].get_many(range(ROWS)), rows())
