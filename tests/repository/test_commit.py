from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from repository.writing import Writer, open_new, read_commit

from hangard.errors import Closed, Conflict, InvalidRequest, NothingStaged, UnknownColumn
from hangard.repository.repository import Repository


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    opened = open_new(tmp_path)
    yield opened
    opened.close()


def rows(n: int, start: int = 0) -> np.ndarray:
    return (np.arange(start * 4, (start + n) * 4).reshape(n, 4) % 251).astype(np.uint8)


@pytest.mark.parametrize("backend", ["00", "10"])
@pytest.mark.parametrize("n", [1, 50, 100_000])
def test_a_commit_holds_what_was_staged(repository: Repository, backend: str, n: int) -> None:
    writer = Writer(repository)
    writer.column("a", backend=backend)
    batch = np.random.default_rng(0).integers(0, 256, (n, 4), np.uint8)
    writer.put("a", (range(n), batch))
    result = writer.commit("first")
    assert result.parent is None
    step = max(1, n // 20)
    found = repository._objects.commit_tree(result.digest)
    assert list(found) == ["a"]
    if n <= 50:
        samples = read_commit(repository, result.digest)["a"]
        assert list(samples) == list(range(n))
        assert all(np.array_equal(samples[i], batch[i]) for i in range(0, n, step))


def test_a_second_commit_keeps_the_first_ones_samples(repository: Repository) -> None:
    writer = Writer(repository)
    writer.column("a")
    writer.put("a", (range(10), rows(10)))
    first = writer.commit("first")
    writer.put("a", {3: rows(1, 100)[0], "ada": rows(1, 101)[0]})
    writer.delete("a", 5)
    second = writer.commit("second")
    assert second.parent == first.digest
    samples = read_commit(repository, second.digest)["a"]
    assert list(samples) == [0, 1, 2, 3, 4, 6, 7, 8, 9, "ada"]
    assert np.array_equal(samples[3], rows(1, 100)[0])
    assert list(read_commit(repository, first.digest)["a"]) == list(range(10))


def test_nothing_staged_is_an_error_and_so_is_staging_what_is_there(
    repository: Repository,
) -> None:
    writer = Writer(repository)
    with pytest.raises(NothingStaged):
        writer.commit()
    writer.column("a")
    writer.put("a", (range(3), rows(3)))
    writer.commit()
    writer.put("a", {1: rows(3)[1]})
    with pytest.raises(NothingStaged):
        writer.commit()


def test_disjoint_keys_on_a_moved_branch_are_rebased(repository: Repository) -> None:
    first = Writer(repository)
    first.column("a")
    first.put("a", (range(10), rows(10)))
    first.commit()
    left, right = Writer(repository), Writer(repository)
    left.put("a", {1: rows(1, 50)[0]})
    right.put("a", {2: rows(1, 60)[0]})
    moved = left.commit("left")
    rebased = right.commit("right")
    assert rebased.rebased
    assert rebased.parent == moved.digest
    samples = read_commit(repository, rebased.digest)["a"]
    assert np.array_equal(samples[1], rows(1, 50)[0])
    assert np.array_equal(samples[2], rows(1, 60)[0])


def conflicting(repository: Repository) -> tuple[Writer, Writer]:
    first = Writer(repository)
    first.column("a")
    first.put("a", (range(4), rows(4)))
    first.commit()
    left, right = Writer(repository), Writer(repository)
    left.put("a", {1: rows(1, 50)[0]})
    left.delete("a", 2)
    right.put("a", {1: rows(1, 60)[0], 2: rows(1, 61)[0], 3: rows(1, 62)[0]})
    left.commit("left")
    return left, right


def test_a_key_changed_on_both_sides_conflicts_and_changes_nothing(
    repository: Repository,
) -> None:
    _, right = conflicting(repository)
    head = repository._heads["main"]
    with pytest.raises(Conflict) as caught:
        right.commit("right")
    assert caught.value.details["keys"] == [["a", 1], ["a", 2]]
    assert caught.value.details["total"] == 2
    assert repository._heads["main"] == head
    assert right.session.is_changed


@pytest.mark.parametrize(
    ("strategy", "one", "has_two"), [("ours", 60, True), ("theirs", 50, False)]
)
def test_a_strategy_settles_a_conflict(
    repository: Repository, strategy: str, one: int, has_two: bool
) -> None:
    _, right = conflicting(repository)
    result = right.commit("right", strategy=strategy)
    samples = read_commit(repository, result.digest)["a"]
    assert np.array_equal(samples[1], rows(1, one)[0])
    assert (2 in samples) is has_two
    assert np.array_equal(samples[3], rows(1, 62)[0])


def test_equal_changes_and_equal_deletions_do_not_conflict(repository: Repository) -> None:
    first = Writer(repository)
    first.column("a")
    first.put("a", (range(4), rows(4)))
    first.commit()
    left, right = Writer(repository), Writer(repository)
    for writer in (left, right):
        writer.put("a", {1: rows(1, 50)[0]})
        writer.delete("a", 2)
    left.commit("left")
    right.commit("right")


def test_a_column_created_on_both_sides_merges_when_its_schema_is_equal(
    repository: Repository,
) -> None:
    left, right, other = Writer(repository), Writer(repository), Writer(repository)
    left.column("a")
    right.column("a")
    other.column("a", dtype="f4")
    left.put("a", {1: rows(1)[0]})
    right.put("a", {2: rows(1)[0]})
    left.commit()
    assert sorted(read_commit(repository, right.commit().digest)["a"]) == [1, 2]
    with pytest.raises(Conflict) as caught:
        other.commit()
    assert caught.value.details["keys"] == [["a", None]]


def test_a_removed_column_conflicts_with_a_change_of_its_samples(repository: Repository) -> None:
    from hangard.repository.changes import ColumnChange

    first = Writer(repository)
    first.column("a")
    first.put("a", (range(4), rows(4)))
    first.commit()
    left, right = Writer(repository), Writer(repository)
    left.put("a", {1: rows(1, 50)[0]})
    right.apply(ColumnChange("a", None))
    with pytest.raises(UnknownColumn):
        right.put("a", {1: rows(1)[0]})
    left.commit()
    with pytest.raises(Conflict):
        right.commit()
    assert read_commit(repository, right.commit(strategy="ours").digest) == {}


def test_a_repeated_command_gets_the_first_answer(repository: Repository) -> None:
    writer = Writer(repository)
    writer.column("a")
    command = secrets.token_bytes(16)
    first = writer.commit("first", command_id=command)
    assert writer.commit("first", command_id=command) == first


def test_a_commit_that_names_lost_changes_is_refused(repository: Repository) -> None:
    writer = Writer(repository)
    writer.column("a")
    with pytest.raises(Closed) as caught:
        writer.commit(last_sequence=writer.sent + 2)
    assert caught.value.code == "staged-changes-lost"


def test_a_commit_without_a_message_is_refused(repository: Repository) -> None:
    writer = Writer(repository)
    writer.column("a")
    with pytest.raises(InvalidRequest):
        writer.commit("  ")


def test_equal_samples_are_stored_once_across_sessions(repository: Repository) -> None:
    writers = [Writer(repository) for _ in range(4)]
    batch = np.random.default_rng(1).integers(0, 256, (200_000, 4), np.uint8)
    for position, writer in enumerate(writers):
        writer.column(f"c{position}")
    threads = [
        threading.Thread(target=writer.put, args=(f"c{position}", (range(200_000), batch)))
        for position, writer in enumerate(writers)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stored = sum(writer.session.counts.stored_samples for writer in writers)
    assert stored == len(np.unique(batch.view("<u4")))


def test_many_threads_commit_to_one_branch_and_none_is_lost(repository: Repository) -> None:
    first = Writer(repository)
    first.column("a")
    first.commit()

    def work(number: int) -> None:
        writer = Writer(repository)
        for turn in range(5):
            writer.put("a", {number * 100 + turn: rows(1, number * 10 + turn)[0]})
            writer.commit(f"{number}.{turn}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    samples = read_commit(repository, repository._heads["main"])["a"]
    assert sorted(samples) == sorted(n * 100 + t for n in range(6) for t in range(5))
