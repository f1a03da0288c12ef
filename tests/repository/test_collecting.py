"""gc: what goes, what stays, and that nobody loses what he found a moment ago."""

from __future__ import annotations

import os
import secrets
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from repository.writing import Writer, open_new, read_commit

from hangard.errors import Busy, Corrupt, UnknownRevision
from hangard.model.directory import directory_of
from hangard.reading.snapshot import RepositoryReader
from hangard.reading.verification import verify
from hangard.repository import collecting
from hangard.repository.collecting import Collected, DropObjects
from hangard.repository.nodes import Nodes
from hangard.repository.repository import Repository
from hangard.wire.merging import MergeRequest

SHAPE = (16, 16)
BATCH_ROWS = 1_500  # above LOG_ROWS_BYTES_MAX: such a batch goes into a segment


def rows_of(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 60, (n, *SHAPE), np.uint8)


def collect(repository: Repository, **options) -> Collected:
    """gc without grace: whatever nothing names at this moment goes."""
    return repository.upkeep.gc(grace_s=-1, reflog_age_s=-1, **options)


def data_files(path: Path) -> set[str]:
    folder = directory_of(path)
    return {
        file.name
        for name in ("log", "segments")
        for file in (folder / name).rglob("*")
        if file.is_file() and file.suffix != ".rows"
    }


def data_bytes(path: Path) -> int:
    folder = directory_of(path)
    return sum(
        file.stat().st_size
        for name in ("log", "segments")
        for file in (folder / name).rglob("*")
        if file.is_file()
    )


@pytest.fixture(params=["00", "10"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    repository = open_new(tmp_path)
    yield repository
    repository.close()


def commit_rows(writer: Writer, first: int, rows: np.ndarray) -> bytes:
    writer.put("a", (range(first, first + len(rows)), rows))
    return writer.commit().digest


def test_a_deleted_branch_goes_with_all_that_only_it_had(
    repository: Repository, backend: str
) -> None:
    writer = Writer(repository)
    writer.column("a", shape=SHAPE, backend=backend)
    kept = commit_rows(writer, 0, rows_of(BATCH_ROWS, 1))
    repository.create_branch("side")
    other = Writer(repository, branch="side")
    gone = commit_rows(other, 5_000, rows_of(BATCH_ROWS, 2))
    repository.close_session(other.session.id, abort=True)
    before = data_bytes(repository.path)
    assert collect(repository).records == 0  # the branch has it
    repository.delete_branch("side", force=True)
    dry = collect(repository, dry_run=True)
    assert dry.commits == 1
    assert dry.freed_bytes > 0
    assert data_bytes(repository.path) >= before // 2
    with RepositoryReader(repository.path) as reader:
        assert reader.commit(gone)
    done = collect(repository)
    assert (done.commits, done.files) == (1, dry.files)
    assert done.records >= 0
    assert collect(repository, full=True).commits == 0
    assert data_bytes(repository.path) < 0.7 * before
    with RepositoryReader(repository.path) as reader, pytest.raises(UnknownRevision):
        reader.commit(gone)
    assert np.array_equal(
        np.stack(list(read_commit(repository, kept)["a"].values())), rows_of(BATCH_ROWS, 1)
    )
    assert verify(repository.path).is_sound
    found = commit_rows(writer, 9_000, rows_of(BATCH_ROWS, 2))
    assert len(read_commit(repository, found)["a"]) == 2 * BATCH_ROWS
    assert verify(repository.path).is_sound


def test_what_lives_in_a_half_empty_file_moves(repository: Repository, backend: str) -> None:
    writer = Writer(repository)
    writer.column("a", shape=SHAPE, backend=backend)
    rows = rows_of(BATCH_ROWS, 1)
    writer.put("a", (range(BATCH_ROWS), rows))
    writer.delete("a", *range(1_200))
    writer.put("a", (range(1_200, BATCH_ROWS), rows[1_200:]))
    kept = writer.commit().digest
    before = data_bytes(repository.path)
    with RepositoryReader(repository.path) as reader, reader.checkout_commit(kept) as checkout:
        column = checkout["a"]
        view = column.view(1_300) if backend == "10" else column[1_300]
        done = collect(repository)
        assert done.moved >= 300
        assert done.records >= 1_200
        # A reader that knew the old place is not disturbed.
        assert np.array_equal(column.get_many(range(1_200, BATCH_ROWS)), rows[1_200:])
        assert np.array_equal(view, rows[1_300])
    assert data_bytes(repository.path) < 0.6 * before
    assert verify(repository.path).is_sound
    repository.close()
    again = Repository.open(repository.path)
    assert np.array_equal(np.stack(list(read_commit(again, kept)["a"].values())), rows[1_200:])
    assert verify(again.path).is_sound
    again.close()


def test_nothing_younger_than_the_grace_goes(repository: Repository) -> None:
    writer = Writer(repository)
    writer.column("a", shape=SHAPE)
    writer.put("a", (range(BATCH_ROWS), rows_of(BATCH_ROWS, 1)))
    writer.session.close()
    repository.close_session(writer.session.id, abort=True)
    files = data_files(repository.path)
    assert repository.upkeep.gc().files == 0
    assert data_files(repository.path) >= files

    def make_old() -> None:
        old = time.time() - 2 * 3600
        for file in (directory_of(repository.path) / "segments").rglob("*.npy"):
            os.utime(file, (old, old))

    make_old()
    assert repository.upkeep.gc().files == 0  # it is sealed now, and that wrote to it
    make_old()
    assert repository.upkeep.gc().files == 1
    assert not data_files(repository.path) & {name for name in files if name.endswith(".npy")}


def test_staged_changes_of_a_session_stay_even_over_a_restart(tmp_path: Path) -> None:
    repository = open_new(tmp_path)
    writer = Writer(repository)
    writer.column("a", shape=SHAPE)
    writer.put("a", (range(BATCH_ROWS), rows_of(BATCH_ROWS, 1)))
    collect(repository)
    repository.close()
    repository = Repository.open(tmp_path)
    collect(repository, full=True)
    again = Writer(repository, repository.session(writer.session.id))
    commit = again.commit().digest
    assert len(read_commit(repository, commit)["a"]) == BATCH_ROWS
    assert verify(tmp_path).is_sound
    repository.close()


def test_a_batch_that_is_not_staged_yet_stays(repository: Repository) -> None:
    writer = Writer(repository)
    writer.column("a", shape=SHAPE)
    from hangard_ext.treekey import encode_keys

    rows = rows_of(BATCH_ROWS, 1)
    prepared = repository.prepare_rows(
        writer.session.id,
        "a",
        *encode_keys(range(BATCH_ROWS)),
        "|u1",
        SHAPE,
        rows.reshape(BATCH_ROWS, -1),
    )
    assert collect(repository).files == 0
    writer.apply(prepared)
    commit = writer.commit().digest
    assert len(read_commit(repository, commit)["a"]) == BATCH_ROWS


def test_an_open_read_checkout_keeps_its_commit(repository: Repository) -> None:
    writer = Writer(repository)
    writer.column("a", shape=SHAPE)
    commit_rows(writer, 0, rows_of(10, 1))
    repository.create_branch("side")
    other = Writer(repository, branch="side")
    gone = commit_rows(other, 5_000, rows_of(BATCH_ROWS, 2))
    repository.close_session(other.session.id, abort=True)
    repository.delete_branch("side", force=True)
    with RepositoryReader(repository.path) as reader:
        with reader.checkout_commit(gone) as checkout:
            collect(repository)
            assert len(list(checkout["a"].items())) == BATCH_ROWS + 10
        assert collect(repository).commits == 1
    assert verify(repository.path).is_sound


def test_the_reflog_keeps_what_it_names_until_it_is_old(repository: Repository) -> None:
    writer = Writer(repository)
    writer.column("a", shape=SHAPE)
    commit_rows(writer, 0, rows_of(10, 1))
    repository.create_branch("side")
    other = Writer(repository, branch="side")
    commit_rows(other, 5_000, rows_of(10, 2))
    repository.close_session(other.session.id, abort=True)
    repository.delete_branch("side", force=True)
    assert repository.upkeep.gc(grace_s=-1).commits == 0
    assert repository.upkeep.gc(grace_s=-1, reflog_age_s=-1, dry_run=True).reflog_entries > 0
    assert repository.upkeep.gc(grace_s=-1, dry_run=True).commits == 0
    assert collect(repository).commits == 1


def test_many_small_logs_become_one(tmp_path: Path) -> None:
    commits = []
    Repository.create(tmp_path)
    for number in range(12):
        repository = Repository.open(tmp_path)
        writer = Writer(repository)
        if number == 0:
            writer.column("a", shape=SHAPE)
        commits.append(commit_rows(writer, 100 * number, rows_of(10, number)))
        repository.close()
    assert len(data_files(tmp_path)) == 12
    repository = Repository.open(tmp_path)
    done = repository.upkeep.gc(grace_s=-1)
    assert done.records == 0
    assert len(data_files(tmp_path)) == 1
    assert len(read_commit(repository, commits[-1])["a"]) == 120
    assert verify(tmp_path).is_sound
    repository.close()
    repository = Repository.open(tmp_path)
    assert len(read_commit(repository, commits[5])["a"]) == 60
    repository.close()


def test_gc_refuses_while_what_is_reachable_cannot_be_known(repository: Repository) -> None:
    writer = Writer(repository)
    writer.column("a", shape=SHAPE)
    commit_rows(writer, 0, rows_of(10, 1))
    repository.close()
    (log,) = (directory_of(repository.path) / "log").iterdir()
    content = bytearray(log.read_bytes())
    content[-200] ^= 1
    log.write_bytes(content)
    again = Repository.open(repository.path)
    with pytest.raises(Corrupt, match="hangard repair") as raised:
        collect(again)
    assert raised.value.code == "gc-needs-repair"
    assert log.exists()
    again.close()


def test_only_one_piece_of_maintenance_runs_at_a_time(repository: Repository) -> None:
    with repository.upkeep.maintenance.run("purge"):
        assert repository.upkeep.maintenance.stage.verb == "purge"
        with pytest.raises(Busy, match="purge runs already") as raised:
            collect(repository)
    assert raised.value.code == "maintenance-running"
    assert collect(repository).files >= 0


def test_writers_that_put_what_gc_drops_lose_nothing(repository: Repository, backend: str) -> None:
    """The same few batches are staged, aborted, put again and committed while gc runs again and
    again without any grace: each commit holds what was put."""
    setup = Writer(repository)
    setup.column("a", shape=SHAPE, backend=backend)
    setup.commit()
    stop = threading.Event()
    failures: list[BaseException] = []
    batches = [rows_of(BATCH_ROWS, seed) for seed in range(3)]

    def write(number: int) -> None:
        rng = np.random.default_rng(number)
        branch = f"b{number}"
        repository.create_branch(branch)
        try:
            for _ in range(12):
                writer = Writer(repository, branch=branch)
                rows = batches[rng.integers(3)]
                rows = rows if rng.integers(2) else rows[: int(rng.integers(1, 300))]
                writer.put("a", (range(len(rows)), rows))
                if rng.integers(2):
                    commit = writer.commit(allow_empty=True).digest
                    found = read_commit(repository, commit)["a"]
                    assert all(np.array_equal(found[key], rows[key]) for key in range(len(rows)))
                repository.close_session(writer.session.id, abort=True)
                if rng.integers(3) == 0:
                    repository.delete_branch(branch, force=True)
                    repository.create_branch(branch)
        except BaseException as error:
            failures.append(error)

    def gc() -> None:
        try:
            while not stop.is_set():
                collect(repository, full=True)
        except BaseException as error:
            failures.append(error)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    collector = threading.Thread(target=gc)
    for thread in [*writers, collector]:
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    collector.join()
    assert not failures, failures
    collect(repository, full=True)
    assert verify(repository.path).is_sound
    assert collect(repository, full=True).commits == 0


@pytest.mark.parametrize("when", range(8))
def test_a_commit_that_is_named_again_while_objects_go_keeps_its_history_or_is_gone(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, when: int
) -> None:
    writer = Writer(repository)
    writer.column("a", shape=SHAPE)
    commit_rows(writer, 0, rows_of(3, 0))
    repository.create_branch("side")
    other = Writer(repository, branch="side")
    other.column("b", shape=SHAPE)
    for number in range(3):
        tip = commit_rows(other, 10 * number, rows_of(3, number + 1))
    repository.close_session(other.session.id, abort=True)
    repository.delete_branch("side", force=True)
    monkeypatch.setattr(collecting, "OBJECTS_PER_TRANSACTION_MAX", 1)
    run, done = repository._writer.run, 0

    def run_and_name(operation: Any, *, bulk: bool = False) -> Any:
        nonlocal done
        if isinstance(operation, DropObjects):
            if done == when:
                with suppress(UnknownRevision):
                    repository.create_branch("again", tip)
            done += 1
        return run(operation, bulk=bulk)

    monkeypatch.setattr(repository._writer, "run", run_and_name)
    collect(repository)
    assert ("again" in repository._heads) == (when == 0)
    assert verify(repository.path).is_sound
    if when == 0:
        assert len(read_commit(repository, tip)["a"]) == 9


def test_a_cherry_pick_of_a_commit_that_gc_took_meanwhile_is_refused(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = Writer(repository)
    writer.column("a", shape=SHAPE)
    first = commit_rows(writer, 0, rows_of(3, 0))
    repository.create_branch("side")
    other = Writer(repository, branch="side")
    other.column("b", shape=SHAPE)
    other.put("b", (range(3), rows_of(3, 1)))
    picked = other.commit().digest
    repository.close_session(other.session.id, abort=True)
    repository.delete_branch("side", force=True)
    publish = repository.publisher.publish

    def collect_and_publish(*arguments: Any, **options: Any) -> Any:
        collect(repository)
        return publish(*arguments, **options)

    monkeypatch.setattr(repository.publisher, "publish", collect_and_publish)
    request = MergeRequest(
        branch="main",
        commit=picked,
        verb="cherry-pick",
        command_id=secrets.token_bytes(16),
        message="pick",
        author_name="Ada",
        author_email="ada@example.org",
    )
    with pytest.raises(UnknownRevision):
        repository._merging.carry_out(request)
    assert repository._heads["main"] == first
    assert verify(repository.path).is_sound


def test_a_node_that_moves_between_look_up_and_reading_is_found(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = Writer(repository)
    writer.column("a", shape=SHAPE)
    commit = commit_rows(writer, 0, rows_of(3, 0))
    root = repository._objects.commit_tree(commit)["a"].root
    nodes = Nodes(repository._env.directory, repository._storage)
    find_many, looked_up = repository._storage.find_many, []

    def find_and_move(digests: np.ndarray) -> Any:
        found = find_many(digests)
        if not looked_up:
            looked_up.append(found)
            # What main leaves behind makes the log hollow.
            gone = commit_rows(writer, 0, rows_of(3, 1))
            repository.refs.reset_branch("main", commit, gone.hex())
            repository.close_session(writer.session.id, abort=True)
            assert collect(repository, full=True).files
        return found

    monkeypatch.setattr(repository._storage, "find_many", find_and_move)
    assert nodes.get(root)
    nodes.close()
