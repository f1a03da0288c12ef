"""When index entries become durable, and what must be durable before them."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from repository.lives import live_and_die
from repository.writing import Writer, open_new, read_commit

from hangard.backends.disk import Disk
from hangard.db.environment import WritableEnvironment
from hangard.db.tables import WriteTables
from hangard.errors import Conflict, Corrupt, NoSpace
from hangard.index import Index
from hangard.index import index as index_module
from hangard.repository.committing import CommitOperation
from hangard.repository.reindexing import rebuild_index
from hangard.repository.repository import Repository
from hangard.repository.storage import Storage


class SyncingDisk(Disk):
    """Remembers what was synced."""

    def __init__(self) -> None:
        self.synced: list[str] = []

    def sync(self, fd: int) -> None:
        self.synced.append(Path(f"/proc/self/fd/{fd}").readlink().name)
        super().sync(fd)


class HesitatingIndex(Index):
    """Stops after entries were added, before their writer can say that it is done."""

    def __init__(self, directory: Path, disk: Disk) -> None:
        super().__init__(directory, disk)
        self.added = threading.Event()
        self.may_go_on = threading.Event()
        self.hesitates = False

    def add(self, digests: Any, specs: Any, *, logged: bool = False) -> None:
        super().add(digests, specs, logged=logged)
        if self.hesitates:
            self.added.set()
            assert self.may_go_on.wait(30)


def test_what_a_checkpoint_names_was_synced_even_if_its_writer_is_not_done(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    disk = SyncingDisk()
    index = HesitatingIndex(tmp_path, disk)
    storage = Storage(tmp_path, disk, index, next_number=1, create_segment=None)  # type: ignore
    nodes = (np.zeros((1, 32), np.uint8), b"node", np.array([4], np.uint64))
    storage.write_nodes(*nodes)
    storage.checkpointed(storage.checkpoint())
    assert disk.synced == ["00000001.log"]
    index.hesitates = True
    late = threading.Thread(
        target=storage.write_nodes, args=(np.ones((1, 32), np.uint8), *nodes[1:])
    )
    late.start()
    assert index.added.wait(30)
    checkpoint = storage.checkpoint()
    assert len(checkpoint.pending) == 1
    assert disk.synced == ["00000001.log"] * 2
    index.may_go_on.set()
    late.join()
    storage.close()


class SecondSyncFails(Disk):
    def __init__(self) -> None:
        self.fails = False

    def sync(self, fd: int) -> None:
        if self.fails and Path(f"/proc/self/fd/{fd}").readlink().suffix == ".npy":
            raise Corrupt("fsync failed", code="sync-failed")
        super().sync(fd)

    def reserve(self, fd: int, offset: int, length: int) -> None:
        if self.fails:
            raise NoSpace("the disk is full", code="disk-full")
        super().reserve(fd, offset, length)


def test_a_failed_sync_is_noticed_even_when_the_run_could_not_be_written(tmp_path: Path) -> None:
    disk = SecondSyncFails()
    Repository.create(tmp_path)
    repository = Repository.open(tmp_path, disk=disk)
    writer = Writer(repository)
    writer.column("a", shape=(100,))
    samples = np.random.default_rng(0).integers(0, 256, (5000, 100), np.uint8)
    writer.put("a", (range(3), samples[:3] + 1))  # few: into the log, which is synced first
    writer.put("a", (range(5000), samples))
    disk.fails = True
    with pytest.raises(Corrupt) as caught:
        repository._storage.checkpoint()
    assert caught.value.code == "sync-failed"
    disk.fails = False
    with pytest.raises(Corrupt):
        repository._storage.checkpoint()
    with suppress(Corrupt):
        repository.close()


class MoveBranch:
    """Another hand on the branch, in the same group as a commit and before it."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.may_go_on = threading.Event()

    def check(self, tables: WriteTables) -> None:
        self.begun.set()
        assert self.may_go_on.wait(30)

    def apply(self, tables: WriteTables) -> None:
        tables.put_ref("heads/main", b"\1" * 32)


class Hold(MoveBranch):
    """Keeps the writer busy, so that what follows comes into one group."""

    def apply(self, tables: WriteTables) -> None:
        pass


def test_entries_stay_pending_when_the_commit_that_would_name_them_is_refused(
    tmp_path: Path,
) -> None:
    repository = open_new(tmp_path)
    writer = Writer(repository)
    writer.column("a")
    writer.put("a", {1: np.arange(4, dtype=np.uint8)})
    hold, move = Hold(), MoveBranch()
    repository._writer.submit(hold)
    assert hold.begun.wait(30)
    moved = repository._writer.submit(move)
    failures: list[Exception] = []

    def commit() -> None:
        try:
            writer.commit()
        except Conflict as error:
            failures.append(error)

    thread = threading.Thread(target=commit)
    thread.start()
    while repository._writer.waiting < 2:
        time.sleep(0.001)
    hold.may_go_on.set()
    move.may_go_on.set()
    moved.result()
    thread.join()
    assert [error.code for error in failures] == ["head-moved"]
    assert repository._index.pending_count > 0
    assert repository._index.recent_count == 0
    repository.close()
    with WritableEnvironment(tmp_path) as env, env.read() as tables:
        assert len(tables.index_entries()[0]) > 0  # closing made them durable


def large_commit(writer: Writer, number: int) -> bytes:
    """5,000 new samples: more than a commit puts into LMDB."""
    samples = np.arange(5000, dtype=np.uint64) + (number << 32)
    first = 5000 * number
    writer.put("a", (range(first, first + 5000), samples.view(np.uint8).reshape(-1, 8)))
    return writer.commit().digest


def commit_until_merged(path: Path) -> bytes:
    repository = open_new(path)
    writer = Writer(repository)
    writer.column("a", shape=(8,))
    for number in range(8):
        digest = large_commit(writer, number)
    while repository._index.run_count > 1:
        time.sleep(0.001)
    return digest


def test_no_number_is_used_twice_after_a_merge_and_a_kill(tmp_path: Path) -> None:
    live_and_die(commit_until_merged, tmp_path)
    repository = Repository.open(tmp_path)
    digest = large_commit(Writer(repository), 8)
    assert len(read_commit(repository, digest)["a"]) == 45_000
    repository.close()
    with WritableEnvironment(tmp_path) as env, env.read() as tables:
        numbers = [record.number for _, record in tables.files()]
    assert len(numbers) == len(set(numbers))


def test_much_staged_data_is_indexed_before_any_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_module, "INDEX_FRESH_ENTRIES_MAX", 3000)
    repository = open_new(tmp_path)
    writer = Writer(repository)
    writer.column("a", shape=(8,))
    samples = np.arange(20_000, dtype=np.uint64).view(np.uint8).reshape(-1, 8)
    for first in range(0, 20_000, 1000):
        writer.put("a", (range(first, first + 1000), samples[first : first + 1000]))
        assert repository._index.pending_count < 3000
    assert len(read_commit(repository, writer.commit().digest)["a"]) == 20_000
    repository.close()


def test_a_run_that_cannot_be_opened_after_its_transaction_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = open_new(tmp_path)
    writer = Writer(repository)
    writer.column("a")
    rows = np.arange(5000, dtype="<u4")
    writer.put("a", (range(5000), rows.view("u1").reshape(5000, 4)))
    with monkeypatch.context() as patch:

        def no_descriptor(path: Path) -> None:
            raise OSError(24, "Too many open files")

        patch.setattr("hangard.index.index.open_run", no_descriptor)
        writer.commit("first")
    writer.put("a", {5000: np.array([1, 2, 3, 4], np.uint8)})
    second = writer.commit("second")
    repository.close()
    again = Repository.open(tmp_path)
    assert len(read_commit(again, second.digest)["a"]) == 5001
    again.close()


def power_cut(path: Path) -> None:
    """The machine starts again: only what LMDB names may be trusted."""
    with WritableEnvironment(path) as env, env.write() as tables:
        tables.put_meta("boot-id", b"another start of the machine")


def commit_rows_of_a_segment(path: Path) -> bytes:
    """The first log of this life takes its first nodes while the commit is planned."""
    repository = Repository.open(path)
    writer = Writer(repository)
    writer.column("a", shape=(100,))
    rows = np.random.default_rng(0).integers(0, 256, (6000, 100), np.uint8)
    writer.put("a", (range(6000), rows))
    return writer.commit().digest


def test_a_log_begun_while_a_large_commit_is_planned_outlives_a_power_cut(tmp_path: Path) -> None:
    Repository.create(tmp_path)
    digest = live_and_die(commit_rows_of_a_segment, tmp_path)
    power_cut(tmp_path)
    repository = Repository.open(tmp_path)
    assert len(read_commit(repository, digest)["a"]) == 6000
    repository.close()
    rebuilt = rebuild_index(tmp_path)
    assert not rebuilt.problems
    repository = Repository.open(tmp_path)
    assert len(read_commit(repository, digest)["a"]) == 6000
    repository.close()


class StagesMeanwhile(Storage):
    """Lets another hand stage more between the start of a run and the plan of the commit."""

    more: Any = None

    def begin_run(self) -> None:
        super().begin_run()
        if self.more is not None:
            thread = threading.Thread(target=self.more)
            thread.start()
            thread.join(0.5)


def test_a_commit_takes_nothing_that_was_staged_after_its_run_was_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hangard.repository.repository.Storage", StagesMeanwhile)
    repository = open_new(tmp_path)
    writer = Writer(repository)
    writer.column("a", shape=(100,))
    rows = np.random.default_rng(0).integers(0, 256, (12_000, 100), np.uint8)
    writer.put("a", (range(6000), rows[:6000]))
    other = Writer(repository, writer.session)
    staged = threading.Event()

    def stage() -> None:
        other.put("a", (range(6000, 12_000), rows[6000:]))
        staged.set()

    storage: Any = repository._storage
    storage.more = stage
    first = writer.commit()
    storage.more = None
    taken = read_commit(repository, first.digest)["a"]
    assert len(taken) == 6000
    assert staged.wait(30)
    assert len(read_commit(repository, writer.commit().digest)["a"]) == 12_000
    repository.close()


def test_a_run_stays_when_a_session_cannot_go_on_from_its_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = open_new(tmp_path)
    writer = Writer(repository)
    writer.column("a", shape=(8,))
    with monkeypatch.context() as patch:

        def no_reader(operation: CommitOperation) -> None:
            raise Corrupt("no reader is free")

        patch.setattr(CommitOperation, "settle", no_reader)
        large_commit(writer, 0)
    digest = large_commit(Writer(repository), 1)
    assert len(read_commit(repository, digest)["a"]) == 10_000
    with repository._env.read() as tables:
        assert all((repository._env.directory / name).exists() for name, _ in tables.files())
    repository.close()
