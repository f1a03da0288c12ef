from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hangard_ext.treekey import encode_keys
from repository.writing import Writer, open_new, read_commit

from hangard.backends.disk import Disk
from hangard.errors import (
    AlreadyExists,
    Busy,
    Closed,
    InvalidRequest,
    NoSpace,
    UnknownColumn,
    UnknownRevision,
    UnknownSession,
)
from hangard.limits import SESSION_AGE_S_MAX, SESSIONS_MAX
from hangard.repository.changes import ColumnChange
from hangard.repository.clock import SystemClock
from hangard.repository.committing import CommitOperation
from hangard.repository.repository import Repository
from hangard.repository.sessions import SESSION_IDLE_S_MIN
from hangard.repository.staging import DELETED, NOT_STAGED, STAGED


class Clock:
    """Time that moves when a test says so."""

    def __init__(self) -> None:
        self.ns = 1_700_000_000_000_000_000

    def now_ns(self) -> int:
        self.ns += 1
        return self.ns


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def repository(tmp_path: Path, clock: Clock) -> Iterator[Repository]:
    Repository.create(tmp_path)
    opened = Repository.open(tmp_path, clock=clock)
    yield opened
    opened.close()


SAMPLE = np.arange(4, dtype=np.uint8)


def test_sessions_do_not_see_each_other(repository: Repository) -> None:
    left, right = Writer(repository), Writer(repository)
    left.column("a")
    left.put("a", {1: SAMPLE})
    assert right.session.columns() == {}
    with pytest.raises(UnknownColumn):
        right.put("a", {1: SAMPLE})


def test_two_clients_share_a_session_and_a_commit_takes_both(repository: Repository) -> None:
    left = Writer(repository)
    right = Writer(repository, left.session)
    left.column("a")
    left.put("a", {1: SAMPLE})
    right.put("a", {2: SAMPLE})
    result = left.commit()
    assert list(read_commit(repository, result.digest)["a"]) == [1, 2]


def test_staged_keys_are_found_with_their_state(repository: Repository) -> None:
    writer = Writer(repository)
    writer.column("a")
    writer.put("a", {1: SAMPLE, 2: SAMPLE})
    writer.delete("a", 2)
    states, digests, specs = repository.find_staged(writer.session.id, "a", *encode_keys([1, 2, 3]))
    assert states.tolist() == [STAGED, DELETED, NOT_STAGED]
    assert digests[0].any()
    assert specs[0].any()
    assert not digests[1:].any()


def test_a_column_created_again_has_none_of_its_old_samples(repository: Repository) -> None:
    writer = Writer(repository)
    writer.column("a")
    writer.put("a", {1: SAMPLE, 2: SAMPLE})
    writer.commit()
    writer.apply(ColumnChange("a", None))
    writer.column("a", dtype="f4")
    writer.put("a", {3: SAMPLE.astype("f4")})
    assert repository.find_staged(writer.session.id, "a", *encode_keys([1]))[0][0] == DELETED
    samples = read_commit(repository, writer.commit().digest)["a"]
    assert list(samples) == [3]
    assert samples[3].dtype == np.dtype("f4")


def test_a_repeated_number_is_ignored_and_a_gap_is_refused(repository: Repository) -> None:
    writer = Writer(repository)
    writer.column("a")
    assert not repository.apply(
        writer.session.id, writer.sent, ColumnChange("b", writer.session.schema("a"), create=True)
    )
    writer.sequence += 1
    with pytest.raises(Closed) as caught:
        writer.delete("a", 1)
    assert caught.value.code == "staged-changes-lost"


def test_a_skipped_number_leaves_no_gap(repository: Repository) -> None:
    writer = Writer(repository)
    with pytest.raises(UnknownColumn):
        writer.put("nowhere", {1: SAMPLE}) if writer.session.schema("nowhere") else None
    writer.session.skip(writer.sequence)
    writer.sequence += 1
    writer.column("a")


@pytest.mark.parametrize(
    ("dtype", "shape", "code"), [("<f4", (4,), "wrong-dtype"), ("|u1", (5,), "wrong-shape")]
)
def test_rows_of_another_dtype_or_shape_are_refused(
    repository: Repository, dtype: str, shape: tuple[int, ...], code: str
) -> None:
    writer = Writer(repository)
    writer.column("a")
    blob, ends = encode_keys([1])
    rows = np.zeros((1, int(np.dtype(dtype).itemsize) * shape[0]), np.uint8)
    with pytest.raises(InvalidRequest) as caught:
        repository.prepare_rows(writer.session.id, "a", blob, ends, dtype, shape, rows)
    assert caught.value.code == code


def test_columns_are_checked_when_they_are_created(repository: Repository) -> None:
    writer = Writer(repository)
    writer.column("a")
    for name, error in (("a", AlreadyExists), ("..", InvalidRequest), ("a/b", InvalidRequest)):
        with pytest.raises(error):
            writer.column(name)
        writer.session.skip(writer.sequence)
        writer.sequence += 1
    with pytest.raises(UnknownColumn):
        writer.apply(ColumnChange("b", None))


def test_an_exclusive_session_keeps_others_out_while_its_lease_lasts(
    repository: Repository,
) -> None:
    other = Writer(repository)
    other.column("b")
    exclusive = Writer(repository, exclusive=True)
    with pytest.raises(Busy):
        repository.open_session(exclusive=True)
    with pytest.raises(Busy):
        other.commit()
    repository.release_session(exclusive.session.id)
    other.commit()
    repository.lease_session(exclusive.session.id)
    exclusive.column("a")
    exclusive.commit()


def test_sessions_expire_and_their_journals_go(
    repository: Repository, clock: Clock, tmp_path: Path
) -> None:
    old = Writer(repository)
    old.column("a")
    clock.ns += (SESSION_AGE_S_MAX + 1) * 1_000_000_000
    young = Writer(repository)
    young.column("a")
    assert [session.id for session in repository.sessions()] == [young.session.id]
    with pytest.raises(UnknownSession):
        old.delete("a", 1)
    assert len(list((tmp_path / ".hangard" / "sessions").iterdir())) == 1


def test_too_many_sessions_are_refused_until_some_are_idle(
    repository: Repository, clock: Clock
) -> None:
    for _ in range(SESSIONS_MAX):
        repository.open_session()
    with pytest.raises(Busy):
        repository.open_session()
    clock.ns += (SESSION_IDLE_S_MIN + 1) * 1_000_000_000
    repository.open_session()


def test_sessions_of_ended_processes_give_way_at_once(repository: Repository) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for _ in range(SESSIONS_MAX):
        repository.open_session(pid=ended.pid)
    for _ in range(3):
        repository.open_session(pid=os.getpid())


def test_branches_are_created_deleted_and_protected(repository: Repository) -> None:
    writer = Writer(repository)
    writer.column("a")
    first = writer.commit().digest
    assert repository.create_branch("dev") == first
    on_dev = Writer(repository, branch="dev")
    on_dev.column("b")
    second = on_dev.commit().digest
    assert repository._heads == {"main": first, "dev": second}
    with pytest.raises(AlreadyExists):
        repository.create_branch("dev")
    with pytest.raises(InvalidRequest):
        repository.create_branch("../dev")
    for call in (
        repository.create_branch,
        lambda _, commit: repository.open_session(commit=commit),
    ):
        with pytest.raises(UnknownRevision):
            call("x", b"\1" * 32)
    with pytest.raises(InvalidRequest) as caught:
        repository.delete_branch("dev")
    assert caught.value.code == "branch-not-merged"
    with pytest.raises(InvalidRequest):
        repository.delete_branch("main")
    repository.delete_branch("dev", force=True)
    with pytest.raises(UnknownRevision):
        repository.open_session("dev")
    on_dev.column("c")
    with pytest.raises(UnknownRevision):
        on_dev.commit()


def test_head_follows_set_head_only(repository: Repository) -> None:
    writer = Writer(repository)
    writer.column("a")
    writer.commit()
    repository.create_branch("dev")
    assert repository.head() == "main"
    repository.set_head("dev")
    assert repository.head() == "dev"
    assert repository.open_session().branch == "dev"
    with pytest.raises(UnknownRevision):
        repository.set_head("nowhere")


def test_a_closed_repository_refuses_everything(tmp_path: Path) -> None:
    repository = open_new(tmp_path / "other")
    repository.close()
    with pytest.raises(Closed):
        repository.open_session()


def test_a_second_opener_is_told_who_holds_the_repository(
    repository: Repository, tmp_path: Path
) -> None:
    with pytest.raises(Busy) as caught:
        Repository.open(tmp_path)
    assert caught.value.code == "repository-locked"


def test_a_large_journal_gives_way_to_a_new_one_at_a_commit(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hangard.repository.session.JOURNAL_BYTES_MAX", 100)
    folder = tmp_path / ".hangard" / "sessions"
    writer = Writer(repository)
    writer.column("a")
    for turn in range(3):
        writer.put("a", {f"{turn}.{i}": SAMPLE + turn for i in range(20)})
        writer.commit()
        assert list(folder.iterdir()) == []
    writer.put("a", {"staged": SAMPLE})
    assert len(list(folder.iterdir())) == 1
    repository.close()
    again = Repository.open(tmp_path)
    resumed = Writer(again, again.session(writer.session.id))
    assert len(read_commit(again, resumed.commit(last_sequence=writer.sent).digest)["a"]) == 61
    again.close()


def test_a_session_gets_the_id_that_was_asked_for_and_is_resumed_by_it(tmp_path, clock):
    Repository.create(tmp_path)
    repository = Repository.open(tmp_path, clock=clock)
    writer = Writer(repository, identity="default")
    assert writer.session.id == "default"
    writer.column("a")
    writer.put("a", {1: SAMPLE})
    assert repository.open_session(identity="default") is writer.session
    repository.close()

    repository = Repository.open(tmp_path, clock=clock)
    assert set(repository.open_session(identity="default").columns()) == {"a"}
    repository.close_session("default", abort=True)
    assert repository.open_session(identity="default").columns() == {}
    repository.close()


def test_an_id_belongs_to_one_branch_and_has_a_legal_name(repository):
    repository.create_branch("dev")
    repository.open_session("main", identity="default")
    with pytest.raises(InvalidRequest) as caught:
        repository.open_session("dev", identity="default")
    assert caught.value.code == "session-on-other-branch"
    for illegal in ("a/b", "..", "x" * 65):
        with pytest.raises(InvalidRequest):
            repository.open_session(identity=illegal)


def test_counts_say_what_was_put_and_what_of_it_was_new(repository):
    writer = Writer(repository)
    writer.column("a")
    writer.put("a", {1: SAMPLE, 2: SAMPLE + 1})
    writer.put("a", {3: SAMPLE})
    assert repository.status()["counts"] == {
        "samples": 3,
        "sample_bytes": 12,
        "stored_samples": 2,
        "stored_bytes": 8,
    }


def fill_database(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: object, **__: object) -> None:
        raise NoSpace("the disk is full", code="disk-full")

    monkeypatch.setattr(repository._writer, "run", run)


def test_a_session_that_could_not_be_recorded_holds_no_lease(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as full:
        fill_database(repository, full)
        with pytest.raises(NoSpace):
            repository.open_session(exclusive=True)
    assert repository.sessions() == []
    assert repository.open_session(exclusive=True).exclusive


def test_a_session_whose_end_could_not_be_recorded_is_still_there(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = Writer(repository)
    writer.column("a")
    with monkeypatch.context() as full:
        fill_database(repository, full)
        with pytest.raises(NoSpace):
            repository.close_session(writer.session.id, abort=True)
    writer.put("a", {1: np.zeros(4, np.uint8)})
    writer.commit()
    repository.close_session(writer.session.id, abort=True)
    assert repository.sessions() == []


def test_a_refused_change_on_a_full_disk_does_not_stop_those_behind_it(
    tmp_path: Path,
) -> None:
    class FullDisk(Disk):
        full = False

        def write(self, fd: int, data: bytes | memoryview, offset: int) -> None:
            if self.full:
                raise NoSpace("the disk is full", code="disk-full")
            super().write(fd, data, offset)

    Repository.create(tmp_path / "full")
    disk = FullDisk()
    repository = Repository.open(tmp_path / "full", disk=disk)
    writer = Writer(repository)
    writer.column("a")
    disk.full = True
    with pytest.raises(NoSpace):
        writer.delete("a", 1)
    writer.session.skip(writer.sequence)  # as the daemon does with what fails
    writer.sequence += 1
    disk.full = False
    writer.put("a", {1: np.zeros(4, np.uint8)})
    assert list(read_commit(repository, writer.commit().digest)["a"]) == [1]
    repository.close()


def test_a_commit_that_comes_after_an_abort_brings_nothing_back(tmp_path: Path) -> None:
    repository = open_new(tmp_path)
    writer = Writer(repository)
    writer.column("a")
    operation = CommitOperation(
        writer.request(),
        writer.session,
        store=repository._nodes,
        objects=repository._objects,
        clock=SystemClock(),
    )
    repository.close_session(writer.session.id, abort=True)
    with pytest.raises(Closed):
        repository._writer.run(operation)
    repository.close()
    again = Repository.open(tmp_path)
    assert again.sessions() == []
    again.close()


def test_a_session_that_staged_lately_does_not_expire_with_a_restart(tmp_path: Path) -> None:
    clock = Clock()
    Repository.create(tmp_path)
    repository = Repository.open(tmp_path, clock=clock)
    writer = Writer(repository)
    clock.ns = time.time_ns() + SESSION_AGE_S_MAX * 1_000_000_000 - 60_000_000_000
    writer.column("a")  # the journal is as old as now, its session much older
    repository.close()
    again = Repository.open(tmp_path, clock=clock)
    assert [session.id for session in again.sessions()] == [writer.session.id]
    again.close()


def test_all_sessions_together_may_stage_so_much_only(tmp_path, monkeypatch):
    monkeypatch.setattr("hangard.repository.session_registry.STAGED_TOTAL_BYTES_MAX", 1000)
    repository = open_new(tmp_path)
    try:
        one, two = Writer(repository), Writer(repository)
        for writer in (one, two):
            writer.column("a")
        rows = np.arange(80, dtype=np.uint8).reshape(20, 4)
        one.put("a", (list(range(20)), rows))
        two.put("a", (list(range(20)), rows))
        with pytest.raises(Busy) as caught:
            one.put("a", {21: rows[0]})
        assert caught.value.code == "too-much-staged"
        with pytest.raises(Busy):
            repository.prepare_deletion(two.session.id, "a", *encode_keys([1]))
        repository.close_session(two.session.id, abort=True)
        one.put("a", {21: rows[0]})
    finally:
        repository.close()
