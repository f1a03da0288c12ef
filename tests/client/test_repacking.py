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


def test_text_bytes_and_arrays_of_any_shape_are_repacked(project):
    random = np.random.default_rng(3)
    shapes = [(int(a), int(b)) for a, b in random.integers(0, 40, (600, 2))]
    arrays = [random.integers(0, 9, shape, np.int32) for shape in shapes]
    texts = [f"text {i} " * (i % 50) for i in range(600)]
    with project.checkout("main", write=True) as co:
        ragged = co.add_ndarray_column(
            "ragged", shape=(40, 40), dtype="i4", variable_shape=True, backend="numpy"
        )
        ragged.put_many(range(600), arrays)
        ragged[600] = np.full((40, 40), 7, "i4")  # few bytes: in the log
        ragged.change_backend("hdf5", {"complib": "gzip"})
        words = co.add_str_column("words")
        words.put_many(range(600), texts)
        words["one"] = "alone"
        blobs = co.add_bytes_column("blobs")
        blobs["b"] = b"\0\1" * 5
        co.commit("ragged, text and bytes")
    assert project.repack("ragged", "words", "blobs").unreadable == 0
    with project.checkout("main") as co:
        assert {place.format_code for place in co["ragged"].locations()} == {"00"}
        assert {place.format_code for place in co["words"].locations()} == {"30"}
        assert {place.format_code for place in co["blobs"].locations()} == {"31"}
        for i in range(600):
            assert np.array_equal(co["ragged"][i], arrays[i])
            assert co["words"][i] == texts[i]
        assert np.array_equal(co["ragged"][600], np.full((40, 40), 7, "i4"))
        assert co["words"]["one"] == "alone"
        assert co["blobs"]["b"] == b"\0\1" * 5
    assert project.repack("ragged", "words", "blobs").rewritten == 0
