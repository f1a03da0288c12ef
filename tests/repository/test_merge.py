from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from repository.lives import live_and_die
from repository.merges import head, merge, request
from repository.writing import Writer, open_new, read_commit

from hangard.errors import Busy, Conflict, HeadMoved, InvalidRequest, NothingStaged, UnknownRevision
from hangard.model.commit import Digest
from hangard.model.keys import encode_key
from hangard.model.schema import make_schema
from hangard.repository.changes import ColumnChange
from hangard.repository.repository import Repository
from hangard.wire.merging import MergeResult
from hangard.wire.messages import Choice


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    opened = open_new(tmp_path)
    yield opened
    opened.close()


def row(value: int) -> np.ndarray:
    return np.full(4, value, np.uint8)


def commit(repository: Repository, branch: str, *changes: Any, message: str = "made") -> Digest:
    """A commit of changes: {key: value} of column "a", None deletes; or ColumnChanges."""
    writer = Writer(repository, branch=branch)
    for change in changes:
        if isinstance(change, ColumnChange):
            writer.apply(change)
            continue
        puts = {key: row(value) for key, value in change.items() if value is not None}
        if puts:
            writer.put("a", puts)
        gone = [key for key, value in change.items() if value is None]
        if gone:
            writer.delete("a", *gone)
    digest = writer.commit(message).digest
    repository.close_session(writer.session.id, abort=True)
    return digest


def column(name: str, *, create: bool = True, **schema: Any) -> ColumnChange:
    settings = {"dtype": "u1", "shape": (4,), "backend": "10", **schema}
    return ColumnChange(name, make_schema(**settings), create=create)


def diverged(repository: Repository, ours: Any, theirs: Any) -> tuple[Digest, Digest, Digest]:
    """Base, head of main and head of dev; the base has keys 1 to 5 with their own values."""
    base = commit(repository, "main", column("a"), {key: key for key in range(1, 6)})
    repository.create_branch("dev", base)
    return base, commit(repository, "main", *ours), commit(repository, "dev", *theirs)


def values(repository: Repository, digest: Digest, name: str = "a") -> dict[Any, int]:
    return {key: int(one[0]) for key, one in read_commit(repository, digest)[name].items()}


def test_a_merge_has_the_changes_of_both_sides_and_two_parents(repository: Repository) -> None:
    base, main, dev = diverged(repository, [{1: 11, 6: 6}], [{2: 22, 3: None, 7: 7}])
    result = merge(repository, "main", dev, message="bring dev in", metadata=(("why", "test"),))
    assert (result.outcome, result.before, result.bases) == ("merge", main, (base,))
    assert result.commit == head(repository, "main")
    assert values(repository, result.commit) == {1: 11, 2: 22, 4: 4, 5: 5, 6: 6, 7: 7}
    made = repository._objects.commit(result.commit)
    assert made.parents == (main, dev)
    assert (made.message, made.metadata) == ("bring dev in", (("why", "test"),))
    with repository._env.read() as tables:
        entry = next(iter(tables.reflog()))
    assert (entry.ref, entry.before, entry.after) == ("heads/main", main, result.commit)
    assert entry.action == "merge: bring dev in"
    again = merge(repository, "main", dev)
    assert (again.outcome, again.commit) == ("up-to-date", result.commit)


def test_a_branch_that_has_nothing_of_its_own_is_fast_forwarded(repository: Repository) -> None:
    base = commit(repository, "main", column("a"), {1: 1})
    repository.create_branch("dev", base)
    dev = commit(repository, "dev", {2: 2})
    result = merge(repository, "main", dev, ff="only")
    assert (result.outcome, result.commit, result.before) == ("fast-forward", dev, base)
    assert head(repository, "main") == dev


def test_a_branch_without_a_commit_takes_the_others(repository: Repository) -> None:
    repository.create_branch("old", b"")
    dev = commit(repository, "main", column("a"), {1: 1})
    result = merge(repository, "old", dev)
    assert (result.outcome, result.commit, result.before) == ("fast-forward", dev, None)


def test_ff_never_makes_a_merge_commit(repository: Repository) -> None:
    base = commit(repository, "main", column("a"), {1: 1})
    repository.create_branch("dev", base)
    dev = commit(repository, "dev", {2: 2})
    result = merge(repository, "main", dev, ff="never")
    assert result.outcome == "merge"
    assert result.commit is not None
    assert repository._objects.commit(result.commit).parents == (base, dev)


def test_ff_only_refuses_histories_that_went_apart(repository: Repository) -> None:
    _, main, dev = diverged(repository, [{1: 11}], [{2: 22}])
    with pytest.raises(InvalidRequest) as caught:
        merge(repository, "main", dev, ff="only")
    assert caught.value.code == "not-fast-forward"
    assert head(repository, "main") == main


@pytest.mark.parametrize(
    ("ours", "theirs", "kind"),
    [
        ({9: 1}, {9: 2}, "t1"),
        ({1: None}, {1: 2}, "t21"),
        ({1: 2}, {1: None}, "t22"),
        ({1: 2}, {1: 3}, "t3"),
    ],
)
def test_each_kind_of_conflict_is_told_and_nothing_changes(
    repository: Repository, ours: Any, theirs: Any, kind: str
) -> None:
    _, main, dev = diverged(repository, [ours, {5: 55}], [theirs, {4: 44}])
    with pytest.raises(Conflict) as caught:
        merge(repository, "main", dev)
    assert caught.value.code == "merge-conflict"
    assert caught.value.details["keys"] == [["a", next(iter(ours))]]
    assert caught.value.details["kinds"] == [kind]
    assert caught.value.details["total"] == 1
    assert head(repository, "main") == main
    assert values(repository, main)[4] == 4


@pytest.mark.parametrize("change", [{9: 1}, {1: None}, {1: 2}])
def test_the_same_change_on_both_sides_is_no_conflict(
    repository: Repository, change: dict[int, int | None]
) -> None:
    _, _, dev = diverged(repository, [change, {4: 44}], [change, {5: 55}])
    result = merge(repository, "main", dev)
    assert result.commit is not None
    expected = {1: 1, 2: 2, 3: 3, 4: 44, 5: 55, **change}
    assert values(repository, result.commit) == {k: v for k, v in expected.items() if v is not None}


@pytest.mark.parametrize(("strategy", "one", "two"), [("ours", 11, None), ("theirs", 12, 22)])
def test_a_strategy_settles_only_what_conflicts(
    repository: Repository, strategy: Any, one: int, two: int | None
) -> None:
    _, _, dev = diverged(repository, [{1: 11, 2: None, 3: 33}], [{1: 12, 2: 22, 4: 44}])
    result = merge(repository, "main", dev, strategy=strategy)
    assert result.commit is not None
    found = values(repository, result.commit)
    assert (found[1], found.get(2), found[3], found[4]) == (one, two, 33, 44)


def test_a_choice_for_a_key_goes_before_that_of_its_column(repository: Repository) -> None:
    _, _, dev = diverged(repository, [{1: 11, 2: 12, 3: 13}], [{1: 21, 2: 22, 3: 23}])
    choices = (Choice("a", encode_key(1), "ours"), Choice("a", b"", "theirs"))
    result = merge(repository, "main", dev, strategy=choices)
    assert result.commit is not None
    assert values(repository, result.commit) == {1: 11, 2: 22, 3: 23, 4: 4, 5: 5}


def test_a_choice_for_the_column_itself_may_leave_its_keys_open(repository: Repository) -> None:
    _, _, dev = diverged(repository, [{1: 11}], [{1: 21}])
    only_the_column = (Choice("a", b"", "theirs", with_keys=False),)
    with pytest.raises(Conflict):
        merge(repository, "main", dev, strategy=only_the_column)


def test_a_strategy_for_a_column_that_is_nowhere_is_refused(repository: Repository) -> None:
    _, _, dev = diverged(repository, [{1: 11}], [{2: 22}])
    with pytest.raises(InvalidRequest) as caught:
        merge(repository, "main", dev, strategy=(Choice("b", b"", "ours"),))
    assert caught.value.code == "invalid-strategy"


def test_choices_made_for_another_head_are_refused(repository: Repository) -> None:
    base, _, dev = diverged(repository, [{1: 11}], [{1: 21}])
    with pytest.raises(HeadMoved):
        merge(repository, "main", dev, strategy="ours", strategy_head=base)


def test_columns_of_both_sides_come_together(repository: Repository) -> None:
    _, _, dev = diverged(
        repository,
        [column("new"), column("mine"), {1: 11}],
        [column("new"), column("yours"), ColumnChange("a", None)],
    )
    with pytest.raises(Conflict) as caught:
        merge(repository, "main", dev)
    assert caught.value.details["keys"] == [["a", None]]
    assert caught.value.details["kinds"] == ["t22"]
    result = merge(repository, "main", dev, strategy=(Choice("a", b"", "theirs"),))
    assert result.commit is not None
    assert sorted(read_commit(repository, result.commit)) == ["mine", "new", "yours"]


def test_a_column_deleted_on_one_side_and_untouched_on_the_other_is_gone(
    repository: Repository,
) -> None:
    _, _, dev = diverged(repository, [column("b")], [ColumnChange("a", None)])
    result = merge(repository, "main", dev)
    assert result.commit is not None
    assert list(read_commit(repository, result.commit)) == ["b"]


@pytest.mark.parametrize(
    ("ours", "theirs", "kind"),
    [
        ([column("b")], [column("b", dtype="f4")], "t1"),
        ([ColumnChange("a", None)], [{1: 2}], "t21"),
        ([{1: 2}], [ColumnChange("a", None)], "t22"),
        ([ColumnChange("a", None), column("a", shape=(2,))], [{1: 2}], "t3"),
        (
            [ColumnChange("a", None), column("a", shape=(2,))],
            [ColumnChange("a", None), column("a", shape=(3,))],
            "t3",
        ),
        (
            [column("a", create=False, backend="00")],
            [column("a", create=False, backend="01")],
            "t3",
        ),
    ],
)
def test_each_kind_of_conflict_between_schemas_is_told(
    repository: Repository, ours: Any, theirs: Any, kind: str
) -> None:
    _, main, dev = diverged(repository, ours, theirs)
    with pytest.raises(Conflict) as caught:
        merge(repository, "main", dev)
    assert [key for _, key in caught.value.details["keys"]] == [None]
    assert caught.value.details["kinds"] == [kind]
    assert head(repository, "main") == main
    for strategy, kept in (("ours", main), ("theirs", dev)):
        told = merge(repository, "main", dev, strategy=strategy, dry_run=True)
        assert not told.conflict_count
        name = caught.value.details["keys"][0][0]
        result = repository._merging._plan(
            request("merge", "main", dev, strategy=strategy),
            main,
            _lookup(repository),
            repository._merging._nodes,
        )
        assert result.tree.get(name) == repository._objects.commit_tree(kept).get(name)


def _lookup(repository: Repository) -> Any:
    from hangard.repository.merging import Lookup

    return Lookup(repository._objects)


def test_new_backend_options_of_one_side_are_taken_beside_new_samples_of_the_other(
    repository: Repository,
) -> None:
    _, _, dev = diverged(repository, [{1: 11}], [column("a", create=False, backend="00")])
    result = merge(repository, "main", dev)
    assert result.commit is not None
    entry = repository._objects.commit_tree(result.commit)["a"]
    assert repository._objects.schema(entry.schema).backend == "00"
    assert values(repository, result.commit)[1] == 11


def test_a_dry_run_tells_all_and_changes_nothing(repository: Repository) -> None:
    base, main, dev = diverged(repository, [{1: 11, 4: 44}], [{1: 12, 2: None, 7: 7}])
    told = merge(repository, "main", dev, dry_run=True)
    assert told == MergeResult(
        outcome="merge",
        branch="main",
        before=main,
        bases=(base,),
        conflicts=(("a", encode_key(1), "t3"),),
        conflict_count=1,
    )
    told = merge(repository, "main", dev, dry_run=True, strategy="theirs")
    assert told.changes == {"a": (1, 1, 1)}
    assert told.commit is None
    assert head(repository, "main") == main
    assert merge(repository, "main", base, dry_run=True).outcome == "up-to-date"
    repository.create_branch("old", base)
    forward = merge(repository, "old", dev, dry_run=True)
    assert (forward.outcome, forward.commit) == ("fast-forward", dev)
    assert head(repository, "old") == base


def test_a_repeated_command_is_carried_out_once(repository: Repository) -> None:
    _, _, dev = diverged(repository, [{1: 11}], [{2: 22}])
    command_id = secrets.token_bytes(16)
    first = merge(repository, "main", dev, command_id=command_id)
    second = merge(repository, "main", dev, command_id=command_id)
    assert (second.outcome, second.commit) == (first.outcome, first.commit)


def test_an_unknown_branch_or_commit_is_told(repository: Repository) -> None:
    made = commit(repository, "main", column("a"), {1: 1})
    with pytest.raises(UnknownRevision):
        merge(repository, "nowhere", made)
    for verb in ("merge", "revert", "cherry-pick"):
        with pytest.raises(UnknownRevision):
            repository.merge(request(verb, "main", bytes([7]) * 32))


def test_an_exclusive_session_keeps_others_from_merging_into_its_branch(
    repository: Repository,
) -> None:
    _, _, dev = diverged(repository, [{1: 11}], [{2: 22}])
    session = repository.open_session("main", exclusive=True)
    with pytest.raises(Busy) as caught:
        merge(repository, "main", dev)
    assert caught.value.code == "exclusive-session"
    result = merge(repository, "main", dev, session=session.id)
    assert session.base == result.commit


def test_a_session_that_is_open_goes_on_over_a_merge(repository: Repository) -> None:
    base = commit(repository, "main", column("a"), {key: key for key in range(1, 6)})
    repository.create_branch("dev", base)
    dev = commit(repository, "dev", {2: 22})
    writer = Writer(repository, branch="main")
    writer.put("a", {1: row(11)})
    commit(repository, "main", {3: 33})
    merged = merge(repository, "main", dev)
    result = writer.commit()
    assert result.rebased
    assert result.parent == merged.commit
    assert values(repository, result.digest) == {1: 11, 2: 22, 3: 33, 4: 4, 5: 5}


def test_a_session_with_staged_changes_cannot_merge(repository: Repository) -> None:
    _, main, dev = diverged(repository, [{1: 11}], [{2: 22}])
    writer = Writer(repository, branch="main")
    writer.put("a", {5: row(55)})
    with pytest.raises(InvalidRequest) as caught:
        merge(repository, "main", dev, session=writer.session.id)
    assert caught.value.code == "session-changed"
    assert head(repository, "main") == main


def test_histories_that_never_met_are_merged_over_an_empty_base(repository: Repository) -> None:
    commit(repository, "main", column("a"), {1: 1, 2: 2})
    repository.create_branch("other", b"")
    other = commit(repository, "other", column("a"), {2: 2, 3: 3})
    result = merge(repository, "main", other)
    assert result.bases == ()
    assert result.commit is not None
    assert values(repository, result.commit) == {1: 1, 2: 2, 3: 3}


def test_merges_racing_with_commits_lose_no_change(repository: Repository) -> None:
    base = commit(repository, "main", column("a"), {0: 0})
    repository.create_branch("dev", base)
    failures: list[BaseException] = []

    def commit_many(branch: str, first: int) -> None:
        try:
            for i in range(first, first + 25):
                commit(repository, branch, {i: i % 200})
        except BaseException as error:
            failures.append(error)

    threads = [
        threading.Thread(target=commit_many, args=("main", 1000)),
        threading.Thread(target=commit_many, args=("main", 2000)),
        threading.Thread(target=commit_many, args=("dev", 3000)),
    ]
    for thread in threads:
        thread.start()
    outcomes = []
    while any(thread.is_alive() for thread in threads):
        outcomes.append(merge(repository, "main", head(repository, "dev")).outcome)
        merge(repository, "dev", head(repository, "main"))
    for thread in threads:
        thread.join()
    assert not failures
    assert "merge" in outcomes
    last = merge(repository, "main", head(repository, "dev"))
    assert last.commit is not None
    wanted = {0, *range(1000, 1025), *range(2000, 2025), *range(3000, 3025)}
    assert set(values(repository, last.commit)) == wanted


def _merge_and_die(path: Path) -> tuple[Digest, Digest]:
    repository = open_new(path)
    _, _, dev = diverged(repository, [{1: 11}], [{2: 22}])
    result = merge(repository, "main", dev)
    assert result.commit is not None
    return dev, result.commit


def test_a_merge_survives_a_kill_of_the_process(tmp_path: Path) -> None:
    _, merged = live_and_die(_merge_and_die, tmp_path)
    repository = Repository.open(tmp_path)
    try:
        assert head(repository, "main") == merged
        assert values(repository, merged) == {1: 11, 2: 22, 3: 3, 4: 4, 5: 5}
    finally:
        repository.close()


def test_a_revert_takes_back_one_commit_and_keeps_the_later_ones(repository: Repository) -> None:
    commit(repository, "main", column("a"), {1: 1, 2: 2})
    wrong = commit(repository, "main", {1: 99, 3: 3, 2: None})
    last = commit(repository, "main", {4: 4})
    result = repository.merge(request("revert", "main", wrong))
    assert (result.outcome, result.before) == ("commit", last)
    assert result.commit is not None
    assert values(repository, result.commit) == {1: 1, 2: 2, 4: 4}
    assert repository._objects.commit(result.commit).parents == (last,)
    with pytest.raises(NothingStaged) as caught:
        repository.merge(request("revert", "main", wrong))
    assert caught.value.code == "nothing-changes"


def test_a_revert_of_the_first_commit_leaves_nothing(repository: Repository) -> None:
    first = commit(repository, "main", column("a"), {1: 1})
    result = repository.merge(request("revert", "main", first))
    assert read_commit(repository, result.commit) == {}


def test_a_revert_of_what_was_changed_again_conflicts(repository: Repository) -> None:
    commit(repository, "main", column("a"), {1: 1})
    wrong = commit(repository, "main", {1: 99})
    last = commit(repository, "main", {1: 5})
    with pytest.raises(Conflict) as caught:
        repository.merge(request("revert", "main", wrong))
    assert caught.value.details["kinds"] == ["t3"]
    assert head(repository, "main") == last
    result = repository.merge(request("revert", "main", wrong, strategy="theirs"))
    assert result.commit is not None
    assert values(repository, result.commit) == {1: 1}


def test_a_merge_commit_is_reverted_against_the_mainline_that_is_named(
    repository: Repository,
) -> None:
    _, _, dev = diverged(repository, [{1: 11}], [{2: 22}])
    merged = merge(repository, "main", dev).commit
    assert merged is not None
    for mainline in (0, 3):
        with pytest.raises(InvalidRequest) as caught:
            repository.merge(request("revert", "main", merged, mainline=mainline))
        assert caught.value.code == "mainline"
    result = repository.merge(request("revert", "main", merged, mainline=1))
    assert result.commit is not None
    assert values(repository, result.commit) == {1: 11, 2: 2, 3: 3, 4: 4, 5: 5}
    picked = repository.merge(request("cherry-pick", "dev", merged, mainline=2))
    assert picked.commit is not None
    assert values(repository, picked.commit) == {1: 11, 2: 22, 3: 3, 4: 4, 5: 5}


def test_a_cherry_pick_brings_the_changes_of_one_commit(repository: Repository) -> None:
    base = commit(repository, "main", column("a"), {1: 1, 2: 2})
    repository.create_branch("dev", base)
    commit(repository, "dev", {7: 7})
    good = commit(repository, "dev", {1: 11, 2: None, 8: 8})
    commit(repository, "dev", {9: 9})
    result = repository.merge(request("cherry-pick", "main", good))
    assert result.commit is not None
    assert values(repository, result.commit) == {1: 11, 8: 8}
    assert repository._objects.commit(result.commit).parents == (base,)
    with pytest.raises(NothingStaged):
        repository.merge(request("cherry-pick", "main", good))
    told = repository.merge(request("cherry-pick", "dev", base, dry_run=True, strategy="theirs"))
    assert told.changes == {"a": (1, 0, 1)}
