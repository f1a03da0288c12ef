"""Text, bytes and samples of variable shape after a kill, a spoilt file and a lost index."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import hangard_client
import hdf5plugin  # noqa: F401  registers the filters that h5py then finds
import numpy as np
import pytest
from crash.model import COLUMNS, samples
from crash.processes import daemon_pid, hdf5_pid, kill

from hangard.errors import Corrupt
from hangard.repository.reindexing import rebuild_index

ROWS = 3000
KINDS = ("varied", "lines", "texts", "blobs")


def same(found: list[Any], wanted: list[Any]) -> bool:
    return len(found) == len(wanted) and all(
        np.array_equal(one, other) for one, other in zip(found, wanted, strict=True)
    )


def repository(path: Path) -> hangard_client.Repository:
    return hangard_client.Repository(
        path, create=True, user_name="Ada", user_email="ada@example.org", idle_s=60
    )


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[Path]:
    """A repository whose segments are open in a daemon: half of the samples are committed."""
    path = tmp_path / "repository"
    with repository(path) as repo:
        with repo.checkout("main", write=True) as co:
            for name in KINDS:
                COLUMNS[name](co).put_many(range(ROWS), samples(name, 1, ROWS))
            co.commit("half")
        co = repo.checkout("main", write=True, name="s")
        for name in KINDS:
            co[name].put_many(range(ROWS, 2 * ROWS), samples(name, 2, ROWS))
        co.flush()
        with pytest.warns(hangard_client.UncommittedWarning):
            co.close()
        yield path
        repo.stop()


def check(path: Path) -> None:
    """All samples are there, staged ones too."""
    with repository(path) as repo:
        with repo.checkout(session="s", write=True) as co:
            for name in KINDS:
                wanted = [*samples(name, 1, ROWS), *samples(name, 2, ROWS)]
                assert same(co[name].get_many(range(2 * ROWS)), wanted), name
            co.commit("all")
        with repo.checkout("main") as co:
            for name in KINDS:
                wanted = [*samples(name, 1, ROWS), *samples(name, 2, ROWS)]
                assert same(list(co[name].values()), wanted), name
        assert repo.verify().findings == ()


def segments(path: Path, code: str) -> list[Path]:
    found = (path / ".hangard" / "segments" / code).iterdir()
    return sorted(file for file in found if file.suffix != ".rows")


def test_what_was_flushed_survives_a_kill_of_the_daemon(filled: Path) -> None:
    assert kill(daemon_pid(filled))
    check(filled)
    for file in segments(filled, "00"):
        with h5py.File(file, "r") as opened:
            assert opened["samples"].ndim == 1
            assert opened["samples"][:].size
    for file in segments(filled, "10"):
        assert np.load(file).ndim == 1


def test_a_file_that_its_process_spoilt_is_rebuilt_with_all_shapes(filled: Path) -> None:
    (file,) = segments(filled, "00")
    hdf5 = hdf5_pid(filled)
    assert kill(daemon_pid(filled))
    kill(hdf5)
    with file.open("r+b") as opened:
        opened.seek(8)
        opened.write(bytes(56))
    check(filled)
    readable = 0
    for one in segments(filled, "00"):
        try:
            with h5py.File(one, "r") as opened:
                readable += int(opened["valid_rows"][:].sum()) > 0
        except OSError:
            assert one == file
    assert readable


def test_an_index_made_again_finds_every_shape(filled: Path) -> None:
    with repository(filled) as repo:
        with repo.checkout(session="s", write=True) as co:
            co.commit("all")
        repo.stop()
        for run in (filled / ".hangard" / "runs").iterdir():
            run.unlink()
        rebuilt = rebuild_index(filled)
        assert rebuilt.problems == []
        with repo.checkout("main") as co:
            for name in KINDS:
                wanted = [*samples(name, 1, ROWS), *samples(name, 2, ROWS)]
                assert same(co[name].get_many(range(2 * ROWS)), wanted), name


@pytest.mark.parametrize("code", ["00", "10", "30", "31"])
def test_damaged_and_truncated_samples_are_corrupt(filled: Path, code: str) -> None:
    with repository(filled) as repo:
        with repo.checkout(session="s", write=True) as co:
            co.commit("all")
        repo.stop()
    (file,) = segments(filled, code)
    content = file.read_bytes()
    name = {"00": "varied", "10": "lines", "30": "texts", "31": "blobs"}[code]
    wanted = [*samples(name, 1, ROWS), *samples(name, 2, ROWS)]
    random = np.random.default_rng(int(code))
    third = len(content) // 3
    damaged = content[:third] + random.bytes(64) + content[third + 64 :]
    for spoilt in (content[: len(content) // 2], damaged):
        file.write_bytes(spoilt)
        with repository(filled) as repo, repo.checkout("main") as co:
            corrupt = 0
            for key in range(0, 2 * ROWS, 7):
                try:
                    assert np.array_equal(co[name][key], wanted[key])
                except Corrupt:
                    corrupt += 1
            with pytest.raises(Corrupt):
                co[name].get_many(range(2 * ROWS))
            with pytest.raises(Corrupt):
                list(co[name].values())
        assert corrupt < 2 * ROWS // 7
