from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from repository.lives import live_and_die
from repository.writing import Writer, open_new, read_commit

from hangard.errors import Busy, Corrupt
from hangard.model.directory import directory_of
from hangard.repository.reindexing import rebuild_index
from hangard.repository.repository import Repository


def batch(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, 100), np.uint8)


def commit_and_stage(path: Path) -> tuple[bytes, str, int]:
    repository = open_new(path)
    writer = Writer(repository)
    for column, backend in (("a", "10"), ("b", "00")):
        writer.column(column, shape=(100,), backend=backend)
        writer.put(column, (range(6000), batch(6000, ord(column))))
        writer.commit()
    writer.put("a", (range(9000, 9010), batch(10, 3)))
    commit = writer.commit().digest
    writer.put("a", (range(9010, 9020), batch(10, 4)))
    return commit, writer.session.id, writer.sent


@pytest.mark.parametrize("damage", ["cut off", "gone"])
def test_a_lost_run_is_refused_and_the_index_can_be_made_again(tmp_path: Path, damage: str) -> None:
    commit, session, sent = live_and_die(commit_and_stage, tmp_path)
    victim, *_ = sorted((directory_of(tmp_path) / "runs").iterdir())
    if damage == "gone":
        victim.unlink()
    else:
        victim.write_bytes(victim.read_bytes()[:5000])
    with pytest.raises(Corrupt, match=victim.name):
        Repository.open(tmp_path)
    rebuilt = rebuild_index(tmp_path)
    assert rebuilt.problems == []
    assert rebuilt.entries > 12_010
    repository = Repository.open(tmp_path)
    samples = read_commit(repository, commit)
    assert np.array_equal(samples["a"][9003], batch(10, 3)[3])
    assert np.array_equal(samples["b"][5999], batch(6000, ord("b"))[5999])
    assert {name: len(column) for name, column in samples.items()} == {"a": 6010, "b": 6000}
    # What was staged lies behind what the index knew; recovery finds it there.
    again = Writer(repository, repository.session(session)).commit(last_sequence=sent).digest
    assert np.array_equal(read_commit(repository, again)["a"][9015], batch(10, 4)[5])
    repository.close()


def test_an_open_repository_is_not_touched(tmp_path: Path) -> None:
    repository = open_new(tmp_path)
    with pytest.raises(Busy):
        rebuild_index(tmp_path)
    repository.close()
