from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from repository.lives import live_and_die
from repository.writing import Writer, open_new, read_commit

from hangard.errors import Busy
from hangard.model.directory import directory_of
from hangard.repository.reindexing import INDEX_DAMAGED, rebuild_index
from hangard.repository.repository import Repository


def batch(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, 100), np.uint8)


def commit_and_stage(path: Path) -> tuple[bytes, str, int]:
    repository = open_new(path)
    writer = Writer(repository)
    for column, backend in (("a", "10"), ("b", "00"), ("c", "10")):
        writer.column(column, shape=(100,), backend=backend)
        writer.put(column, (range(6000), batch(6000, ord(column))))
        writer.commit()
    writer.put("a", (range(9000, 9010), batch(10, 3)))
    commit = writer.commit().digest
    writer.put("a", (range(9010, 9020), batch(10, 4)))
    return commit, writer.session.id, writer.sent


def check_contents(path: Path, commit: bytes, session: str, sent: int) -> None:
    repository = Repository.open(path)
    samples = read_commit(repository, commit)
    assert np.array_equal(samples["a"][9003], batch(10, 3)[3])
    assert np.array_equal(samples["b"][5999], batch(6000, ord("b"))[5999])
    lengths = {name: len(column) for name, column in samples.items()}
    assert lengths == {"a": 6010, "b": 6000, "c": 6000}
    # What was staged lies behind what the index knew; recovery finds it there.
    again = Writer(repository, repository.session(session)).commit(last_sequence=sent).digest
    assert np.array_equal(read_commit(repository, again)["a"][9015], batch(10, 4)[5])
    repository.close()


def cut_off(run: Path) -> None:
    run.write_bytes(run.read_bytes()[:5000])


def flip_bit(run: Path) -> None:
    content = bytearray(run.read_bytes())
    content[4096 + 100] ^= 1
    run.write_bytes(content)


@pytest.mark.parametrize("damage", [cut_off, flip_bit, Path.unlink])
def test_an_index_with_a_damaged_run_is_made_again_at_the_next_start(
    tmp_path: Path, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    commit, session, sent = live_and_die(commit_and_stage, tmp_path)
    victim, *_ = sorted((directory_of(tmp_path) / "runs").iterdir())
    damage(victim)
    check_contents(tmp_path, commit, session, sent)
    assert victim.name in caplog.text
    assert not victim.exists()
    caplog.clear()
    Repository.open(tmp_path).close()
    assert caplog.text == ""


def test_the_index_can_be_made_again_without_damage(tmp_path: Path) -> None:
    commit, session, sent = live_and_die(commit_and_stage, tmp_path)
    rebuilt = rebuild_index(tmp_path)
    assert rebuilt.problems == []
    assert rebuilt.entries > 12_010
    check_contents(tmp_path, commit, session, sent)


def test_damage_that_a_merge_finds_is_remembered(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hangard.index.merging.FAN_IN", 2)
    commit, session, sent = live_and_die(commit_and_stage, tmp_path)
    with monkeypatch.context() as unverified:
        unverified.setattr("hangard.repository.reindexing.VERIFIED_BYTES_MAX", 0)
        for run in (directory_of(tmp_path) / "runs").iterdir():
            flip_bit(run)
        repository = Repository.open(tmp_path)
        repository._merger.wake()
        while not (directory_of(tmp_path) / INDEX_DAMAGED).exists():
            time.sleep(0.01)
        repository.close()
        assert "could not be merged" in caplog.text
        check_contents(tmp_path, commit, session, sent)
    assert not (directory_of(tmp_path) / INDEX_DAMAGED).exists()


def test_an_open_repository_is_not_touched(tmp_path: Path) -> None:
    repository = open_new(tmp_path)
    with pytest.raises(Busy):
        rebuild_index(tmp_path)
    repository.close()
