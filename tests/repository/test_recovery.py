from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from repository.lives import live_and_die
from repository.writing import Writer, open_new, read_commit

from hangard.backends.disk import Disk
from hangard.errors import Closed, Corrupt
from hangard.model.directory import directory_of
from hangard.repository.recovery import BOOT_ID
from hangard.repository.repository import Repository


def batch(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, 784), np.uint8)


def commit_and_stage(path: Path, backend: str, n: int) -> tuple[bytes, str, int]:
    """Commit n samples, stage n more, and tell commit, session and last sequence."""
    repository = open_new(path)
    writer = Writer(repository)
    writer.column("a", shape=(784,), backend=backend)
    writer.put("a", (range(n), batch(n, 1)))
    commit = writer.commit().digest
    writer.put("a", (range(n, 2 * n), batch(n, 2)))
    writer.delete("a", 0)
    return commit, writer.session.id, writer.sent


@pytest.mark.parametrize("backend", ["00", "10"])
@pytest.mark.parametrize("n", [3, 2000])
def test_committed_and_staged_samples_survive_a_kill(tmp_path: Path, backend: str, n: int) -> None:
    commit, session, sent = live_and_die(commit_and_stage, tmp_path, backend, n)
    repository = Repository.open(tmp_path)
    assert len(read_commit(repository, commit)["a"]) == n
    writer = Writer(repository, repository.session(session))
    result = writer.commit("after the kill", last_sequence=sent)
    samples = read_commit(repository, result.digest)["a"]
    assert list(samples) == list(range(1, 2 * n))
    assert np.array_equal(samples[n + 1], batch(n, 2)[1])
    repository.close()
    again = Repository.open(tmp_path)
    assert len(read_commit(again, result.digest)["a"]) == 2 * n - 1
    again.close()


def test_a_power_cut_keeps_commits_and_refuses_what_was_only_staged(tmp_path: Path) -> None:
    commit, session, sent = live_and_die(commit_and_stage, tmp_path, "10", 2000)
    repository = Repository.open(tmp_path, boot_id=b"another boot")
    assert len(read_commit(repository, commit)["a"]) == 2000
    writer = Writer(repository, repository.session(session))
    with pytest.raises(Closed) as caught:
        writer.commit("after the cut", last_sequence=sent)
    assert caught.value.code == "staged-changes-lost"
    writer.put("a", (range(5000, 5003), batch(3, 5)))
    result = writer.commit("goes on")
    assert len(read_commit(repository, result.digest)["a"]) == 2003
    repository.close()


def cut_and_stage_again(path: Path, session: str) -> int:
    """Open after a power cut, and stage one sample more."""
    repository = Repository.open(path, boot_id=b"another boot")
    writer = Writer(repository, repository.session(session))
    writer.put("a", (range(5000, 5003), batch(3, 5)))
    return writer.sent


@pytest.mark.parametrize("journal", ["kept", "lost"])
def test_what_is_staged_after_a_power_cut_survives_a_kill(tmp_path: Path, journal: str) -> None:
    _, session, _ = live_and_die(commit_and_stage, tmp_path, "10", 2000)
    if journal == "lost":
        for file in (directory_of(tmp_path) / "sessions").iterdir():
            file.write_bytes(b"")
    sent = live_and_die(cut_and_stage_again, tmp_path, session)
    repository = Repository.open(tmp_path, boot_id=b"another boot")
    writer = Writer(repository, repository.session(session))
    result = writer.commit("after the kill", last_sequence=sent)
    samples = read_commit(repository, result.digest)["a"]
    assert len(samples) == 2003
    assert np.array_equal(samples[5002], batch(3, 5)[2])
    repository.close()


def test_a_damaged_journal_costs_the_changes_behind_the_damage(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _, session, sent = live_and_die(commit_and_stage, tmp_path, "10", 2000)
    (journal,) = (directory_of(tmp_path) / "sessions").iterdir()
    content = bytearray(journal.read_bytes())
    content[-10] ^= 1  # in the deletion, which came last
    journal.write_bytes(content)
    repository = Repository.open(tmp_path)
    assert journal.name in caplog.text
    writer = Writer(repository, repository.session(session))
    with pytest.raises(Closed) as caught:
        writer.commit("after the damage", last_sequence=sent)
    assert caught.value.code == "staged-changes-lost"
    samples = read_commit(repository, writer.commit("what is left").digest)["a"]
    assert list(samples) == list(range(4000))
    repository.close()


@pytest.mark.parametrize("position", [0, 8, 20])
def test_a_journal_that_is_none_any_more_does_not_keep_the_repository_closed(
    tmp_path: Path, position: int, caplog: pytest.LogCaptureFixture
) -> None:
    commit, session, _ = live_and_die(commit_and_stage, tmp_path, "10", 3)
    (journal,) = (directory_of(tmp_path) / "sessions").iterdir()
    content = bytearray(journal.read_bytes())
    content[position] ^= 1
    journal.write_bytes(content)
    repository = Repository.open(tmp_path)
    assert len(read_commit(repository, commit)["a"]) == 3
    writer = Writer(repository, repository.session(session))
    writer.put("a", (range(100, 103), batch(3, 9)))
    assert 102 in read_commit(repository, writer.commit().digest)["a"]
    repository.close()


def stage_together(path: Path) -> tuple[str, int]:
    """Stage one change, then two together; tell the session and the last sequence."""
    repository = open_new(path)
    writer = Writer(repository)
    for name in ("a", "b"):
        writer.column(name, shape=(784,))
    writer.put("a", (range(3), batch(3, 1)))
    changes = [writer.prepare(name, (range(10, 13), batch(3, 2))) for name in ("a", "b")]
    writer.session.apply_together(writer.sequence, changes)
    return writer.session.id, writer.sequence + 1


def test_what_was_staged_together_comes_back_whole_after_a_kill(tmp_path: Path) -> None:
    session, sent = live_and_die(stage_together, tmp_path)
    repository = Repository.open(tmp_path)
    writer = Writer(repository, repository.session(session))
    samples = read_commit(repository, writer.commit("all", last_sequence=sent).digest)
    assert (list(samples["a"]), list(samples["b"])) == ([0, 1, 2, 10, 11, 12], [10, 11, 12])
    repository.close()


@pytest.mark.parametrize("torn_bytes", [1, 150])
def test_what_was_staged_together_and_is_torn_is_not_staged_at_all(
    tmp_path: Path, torn_bytes: int
) -> None:
    session, sent = live_and_die(stage_together, tmp_path)
    (journal,) = (directory_of(tmp_path) / "sessions").iterdir()
    os.truncate(journal, journal.stat().st_size - torn_bytes)
    repository = Repository.open(tmp_path)
    writer = Writer(repository, repository.session(session))
    with pytest.raises(Closed) as caught:
        writer.commit("all", last_sequence=sent)
    assert caught.value.code == "staged-changes-lost"
    writer.put("b", (range(1), batch(1, 5)))
    repository.close()
    again = Repository.open(tmp_path)
    writer = Writer(again, again.session(session))
    samples = read_commit(again, writer.commit("what is left").digest)
    assert (list(samples["a"]), list(samples["b"])) == ([0, 1, 2], [0])
    again.close()


def test_a_session_without_changes_ends_with_its_client(tmp_path: Path) -> None:
    repository = open_new(tmp_path)
    writer = Writer(repository)
    writer.column("a")
    writer.commit()
    repository.close_session(writer.session.id, abort=False)
    assert repository.sessions() == []
    assert list((directory_of(tmp_path) / "sessions").iterdir()) == []
    repository.close()


def test_closing_seals_every_file_and_opening_again_changes_none(tmp_path: Path) -> None:
    repository = open_new(tmp_path)
    writer = Writer(repository)
    for name, backend in (("a", "00"), ("b", "10")):
        writer.column(name, shape=(784,), backend=backend)
        writer.put(name, (range(2000), batch(2000, ord(name))))
    commit = writer.commit().digest
    repository.close()
    repository.close()
    folder = directory_of(tmp_path)
    files = [*(folder / "segments").rglob("*.*"), *(folder / "log").iterdir()]
    before = {file: file.read_bytes() for file in files if file.is_file()}
    assert len(before) >= 5
    again = Repository.open(tmp_path)
    assert {name: len(samples) for name, samples in read_commit(again, commit).items()} == {
        "a": 2000,
        "b": 2000,
    }
    again.close()
    assert all(file.read_bytes() == content for file, content in before.items())


def test_a_missing_segment_is_named(tmp_path: Path) -> None:
    live_and_die(commit_and_stage, tmp_path, "10", 2000)
    Repository.open(tmp_path).close()
    (victim,) = (directory_of(tmp_path) / "segments" / "10").glob("*.npy")
    victim.unlink()
    with pytest.raises(Corrupt, match=victim.name):
        Repository.open(tmp_path)


def test_strays_of_a_transaction_that_never_happened_are_removed(tmp_path: Path) -> None:
    open_new(tmp_path).close()
    folder = directory_of(tmp_path)
    strays = [folder / "runs" / "000000ff.run", folder / "sessions" / "dead.journal"]
    strays.append(folder / "segments" / "10" / "000000fe.npy")
    for stray in strays:
        stray.write_bytes(b"left by a crash")
    Repository.open(tmp_path).close()
    assert not any(stray.exists() for stray in strays)


def stage_forever(path: Path, lives: int) -> list[Any]:
    repository = Repository.open(path)
    writer = Writer(repository)
    for turn in range(5):
        writer.put("a", {f"{lives}.{turn}": batch(1, lives * 10 + turn)[0]})
    commit = writer.commit(f"life {lives}")
    writer.put("a", {"never committed": batch(1, 0)[0]})
    return [commit.digest, writer.session.id]


def test_many_lives_one_after_another_lose_no_commit(tmp_path: Path) -> None:
    repository = open_new(tmp_path)
    writer = Writer(repository)
    writer.column("a", shape=(784,))
    writer.commit()
    repository.close()
    for life in range(4):
        commit, _ = live_and_die(stage_forever, tmp_path, life)
    repository = Repository.open(tmp_path)
    assert len(read_commit(repository, commit)["a"]) == 20
    assert [session.staged for session in repository.sessions()] == [0, 1, 1, 1, 1]
    repository.close()


def test_the_boot_id_is_read_from_the_kernel() -> None:
    assert BOOT_ID.read_bytes().strip()


class RecordingDisk(Disk):
    """Remembers what was synced, and can fail one sync."""

    def __init__(self, fail: str = "") -> None:
        self.synced: set[str] = set()
        self.fail = fail

    def sync(self, fd: int) -> None:
        name = Path(os.readlink(f"/proc/self/fd/{fd}")).name
        if self.fail and name.endswith(self.fail):
            self.fail = ""
            raise Corrupt("fsync failed", code="sync-failed")
        self.synced.add(name)
        super().sync(fd)


@pytest.mark.parametrize(("backend", "suffix"), [("00", ".h5"), ("10", ".npy")])
def test_what_a_killed_daemon_had_not_synced_is_synced_before_a_commit_names_it(
    tmp_path: Path, backend: str, suffix: str
) -> None:
    _, session, sent = live_and_die(commit_and_stage, tmp_path, backend, 2000)
    disk = RecordingDisk()
    repository = Repository.open(tmp_path, disk=disk)
    Writer(repository, repository.session(session)).commit("after the kill", last_sequence=sent)
    endings = {"".join(Path(name).suffixes) for name in disk.synced}
    assert {suffix, f"{suffix}.rows", ".log"} <= endings
    repository.close()


def test_a_sync_that_fails_while_opening_is_not_forgotten(tmp_path: Path) -> None:
    commit, session, sent = live_and_die(commit_and_stage, tmp_path, "10", 2000)
    with pytest.raises(Corrupt, match="fsync failed"):
        Repository.open(tmp_path, disk=RecordingDisk(fail=".npy.rows"))
    repository = Repository.open(tmp_path)
    with pytest.raises(Closed, match="has lost the changes"):
        Writer(repository, repository.session(session)).commit(last_sequence=sent)
    assert len(read_commit(repository, commit)["a"]) == 2000
    repository.close()
