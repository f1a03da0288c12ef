"""The index over its tables and run files: checkpoints, merges, crashes of both."""

from __future__ import annotations

import tempfile
import threading
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from hangard.backends.disk import Disk
from hangard.errors import Corrupt, NoSpace
from hangard.index import Index
from hangard.limits import INDEX_RECENT_ENTRIES_MAX, INDEX_SMALL_ENTRIES_MAX
from hangard.model.directory import RUNS, run_path


def entries(n, seed):
    return np.random.default_rng(seed).integers(0, 256, (2, n, 32), dtype=np.uint8)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / RUNS).mkdir()
    return tmp_path


class Database:
    """What LMDB would hold: the entries of small checkpoints and the names of runs."""

    def __init__(self, index: Index) -> None:
        self.index = index
        self.entries: dict[bytes, bytes] = {}
        self.runs: dict[str, object] = {}
        self.numbers = count(1)

    def checkpoint(self, *, with_run: bool | None = None) -> None:
        pending = self.index.pending()
        run = None
        if self.index.needs_run(pending) if with_run is None else with_run:
            number = next(self.numbers)
            run = run_path(number)
            self.runs[run] = self.index.write_run(number, pending)
            self.entries.clear()
        else:
            pairs = zip(pending.digests, pending.specs, strict=True)
            self.entries.update((d.tobytes(), s.tobytes()) for d, s in pairs)
        self.index.checkpointed(pending, run)

    def publish(self, path, record, replaced) -> bool:
        if not all(name in self.runs for name in replaced):
            return False
        for name in replaced:
            del self.runs[name]
        self.runs[path] = record
        return True

    def merge(self) -> bool:
        return self.index.merge(lambda: next(self.numbers), self.publish)

    def reopened(self, directory: Path) -> Index:
        index = Index(directory, Disk())
        for path, record in self.runs.items():
            index.add_run(path, record)
        joined = [
            np.frombuffer(b"".join(part), np.uint8).reshape(-1, 32)
            for part in (self.entries, self.entries.values())
        ]
        index.load(*joined)
        return index


def check_found(index: Index, digests, specs) -> None:
    found_specs, found = index.find_many(digests)
    assert found.all()
    assert np.array_equal(found_specs, specs)


def test_entries_are_found_at_every_station_of_their_way(directory):
    index = Index(directory, Disk())
    database = Database(index)
    digests, specs = entries(500, 0)
    index.add(digests, specs)
    assert index.pending_count == 500
    check_found(index, digests, specs)
    database.checkpoint(with_run=False)
    assert (index.pending_count, index.recent_count, index.run_count) == (0, 500, 0)
    check_found(index, digests, specs)
    more_digests, more_specs = entries(300, 1)
    index.add(more_digests, more_specs)
    database.checkpoint(with_run=True)
    assert (index.pending_count, index.recent_count, index.run_count) == (0, 0, 1)
    for pair in ((digests, specs), (more_digests, more_specs)):
        check_found(index, *pair)
        check_found(database.reopened(directory), *pair)
    assert index.find(digests[3].tobytes()) == specs[3].tobytes()
    assert index.find(b"\0" * 32) is None
    absent_specs, found = index.find_many(entries(10, 9)[0])
    assert not found.any()
    assert not absent_specs.any()


def test_few_entries_go_to_the_database_and_many_into_a_run(directory):
    index = Index(directory, Disk())
    index.add(*entries(INDEX_SMALL_ENTRIES_MAX, 0))
    assert not index.needs_run(index.pending())
    index.add(*entries(1, 1))
    assert index.needs_run(index.pending())
    index = Index(directory, Disk())
    index.load(*entries(INDEX_RECENT_ENTRIES_MAX - 5, 2))
    index.add(*entries(5, 3))
    assert not index.needs_run(index.pending())
    index.add(*entries(1, 4))
    assert index.needs_run(index.pending())


def test_what_is_added_during_a_checkpoint_stays_pending(directory):
    index = Index(directory, Disk())
    digests, specs = entries(100, 0)
    index.add(digests, specs)
    pending = index.pending()
    late = entries(10, 1)
    index.add(*late)
    index.add(digests[:5], specs[5:10])  # the same digests elsewhere
    run = run_path(1)
    index.write_run(1, pending)
    index.checkpointed(pending, run)
    assert index.pending_count == 15
    check_found(index, *late)
    check_found(index, digests[:5], specs[5:10])
    check_found(index, digests[5:], specs[5:])


@pytest.mark.parametrize("rows_too", [False, True])
def test_what_is_logged_while_a_run_is_written_is_told_beside_it(directory, rows_too):
    index = Index(directory, Disk())
    digests, specs = entries(100, 0)
    index.add(digests, specs)
    pending = index.pending(follow_log=True)
    first, second, rows = entries(10, 1), entries(5, 2), entries(7, 3)
    index.add(*first, logged=True)
    if rows_too:
        index.add(*rows)
    index.add(*second, logged=True)
    index.write_run(1, pending)
    late = index.late()
    assert np.array_equal(late.digests, np.concatenate([first[0], second[0]]))
    index.checkpointed(pending, run_path(1), late)
    assert index.pending_count == (7 if rows_too else 0)
    assert index.recent_count == 15
    for added in [first, second, (digests, specs), *([rows] if rows_too else [])]:
        check_found(index, *added)
    index.add(*entries(3, 4), logged=True)
    assert index.pending().added > pending.added
    assert index.late() is None


def test_a_checkpoint_that_failed_leaves_all_pending(directory):
    index = Index(directory, Disk())
    digests, specs = entries(100, 0)
    index.add(digests, specs)
    first = index.pending()
    index.write_run(1, first)  # its transaction fails
    again = index.pending()
    assert np.array_equal(first.digests, again.digests)
    check_found(index, digests, specs)
    index.write_run(2, again)
    index.checkpointed(again, run_path(2))
    assert index.pending_count == 0
    check_found(index, digests, specs)


def test_merges_keep_every_entry_and_unlink_what_they_replaced(directory):
    index = Index(directory, Disk())
    database = Database(index)
    added = [entries(200, seed) for seed in range(20)]
    for pair in added:
        index.add(*pair)
        database.checkpoint(with_run=True)
    assert index.run_count == 20
    assert database.merge()
    assert not database.merge()
    assert index.run_count == 1
    assert {f"{RUNS}/{file.name}" for file in (directory / RUNS).iterdir()} == set(database.runs)
    (record,) = database.runs.values()
    assert (record.entries, record.level) == (4000, 1)
    for pair in added:
        check_found(index, *pair)
        check_found(database.reopened(directory), *pair)
    index.verify()


def test_the_newest_place_of_a_digest_survives_merges(directory):
    index = Index(directory, Disk())
    database = Database(index)
    digests, _ = entries(50, 0)
    for seed in range(9):
        index.add(digests, entries(50, seed)[1])
        database.checkpoint(with_run=True)
    newest = entries(50, 8)[1]
    check_found(index, digests, newest)
    assert database.merge()
    check_found(index, digests, newest)
    check_found(database.reopened(directory), digests, newest)


def test_a_merge_that_is_refused_changes_nothing(directory):
    index = Index(directory, Disk())
    database = Database(index)
    for seed in range(8):
        index.add(*entries(20, seed))
        database.checkpoint(with_run=True)
    before = sorted((directory / RUNS).iterdir())
    assert not index.merge(lambda: 99, lambda *_: False)
    assert sorted((directory / RUNS).iterdir()) == before
    assert index.run_count == 8
    for seed in range(8):
        check_found(index, *entries(20, seed))


def test_a_merge_whose_outcome_is_unknown_keeps_all_files(directory):
    index = Index(directory, Disk())
    database = Database(index)
    for seed in range(8):
        index.add(*entries(20, seed))
        database.checkpoint(with_run=True)

    def publish(*_):
        raise OSError("no answer")

    with pytest.raises(OSError, match="no answer"):
        index.merge(lambda: 99, publish)
    assert len(list((directory / RUNS).iterdir())) == 9
    assert index.run_count == 8


class FullDisk(Disk):
    """Full from the N-th write on."""

    def __init__(self, writes: int) -> None:
        self.left = writes

    def write(self, fd: int, data: bytes | memoryview, offset: int) -> None:
        self.left -= 1
        if self.left < 0:
            raise NoSpace("the disk is full", code="disk-full")
        super().write(fd, data, offset)


def test_a_full_disk_leaves_no_half_run_and_no_loss(directory):
    disk = FullDisk(1)
    index = Index(directory, disk)
    digests, specs = entries(300, 0)
    index.add(digests, specs)
    with pytest.raises(NoSpace):
        index.write_run(1, index.pending())
    assert list((directory / RUNS).iterdir()) == []
    check_found(index, digests, specs)
    disk.left = 1000
    pending = index.pending()
    index.write_run(1, pending)
    index.checkpointed(pending, run_path(1))
    check_found(index, digests, specs)


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_a_damaged_run_is_named(directory, damage):
    index = Index(directory, Disk())
    database = Database(index)
    for seed in range(8):
        index.add(*entries(200, seed))
        database.checkpoint(with_run=True)
    path = directory / run_path(3)
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        content[5000] ^= 1
    path.write_bytes({"cut": content[:-1], "flipped": content, "empty": b""}[damage])
    if damage == "flipped":
        reopened = database.reopened(directory)
        with pytest.raises(Corrupt, match="run 3"):
            reopened.verify()
        with pytest.raises(Corrupt, match="run 3"):
            reopened.merge(lambda: 99, database.publish)
        assert not (directory / run_path(99)).exists()
    else:
        with pytest.raises(Corrupt, match="00000003"):
            database.reopened(directory)


def test_look_ups_never_miss_an_entry_on_its_way(directory):
    index = Index(directory, Disk())
    database = Database(index)
    digests, specs = entries(2000, 0)
    index.add(digests, specs)
    done = threading.Event()
    failures = []

    def look_up():
        while not done.is_set():
            if not index.find_many(digests)[1].all():
                failures.append("missed")

    threads = [threading.Thread(target=look_up) for _ in range(2)]
    for thread in threads:
        thread.start()
    for seed in range(1, 17):
        index.add(*entries(50, seed))
        database.checkpoint(with_run=seed % 2 == 0)
        database.merge()
    done.set()
    for thread in threads:
        thread.join()
    assert failures == []


class IndexMachine(RuleBasedStateMachine):
    """Any sequence of additions, checkpoints, merges and restarts, against a dict."""

    digests = st.lists(st.integers(0, 30), min_size=1, max_size=8)

    @initialize()
    def begin(self):
        self.folder = tempfile.TemporaryDirectory()
        self.directory = Path(self.folder.name)
        (self.directory / RUNS).mkdir()
        self.index = Index(self.directory, Disk())
        self.database = Database(self.index)
        self.model: dict[bytes, bytes] = {}
        self.durable: dict[bytes, bytes] = {}
        self.next_spec = count(1)

    @rule(numbers=digests)
    def add(self, numbers):
        spec = next(self.next_spec)
        keys = [bytes([number * 8]) * 32 for number in numbers]
        values = [spec.to_bytes(32, "little")] * len(keys)
        self.model.update(zip(keys, values, strict=True))
        self.index.add(
            *(np.frombuffer(b"".join(part), np.uint8).reshape(-1, 32) for part in (keys, values))
        )

    @rule(with_run=st.booleans())
    def checkpoint(self, with_run):
        self.database.checkpoint(with_run=with_run)
        self.durable = dict(self.model)

    @rule()
    def merge(self):
        self.database.merge()

    @rule()
    def restart(self):
        self.index = self.database.index = self.database.reopened(self.directory)
        self.model = dict(self.durable)

    def teardown(self):
        if not hasattr(self, "model"):
            return
        for number in range(31):
            key = bytes([number * 8]) * 32
            assert self.index.find(key) == self.model.get(key)
        self.folder.cleanup()


TestIndexMachine = IndexMachine.TestCase
TestIndexMachine.settings = settings(max_examples=40, stateful_step_count=60, deadline=None)
