"""Merge, revert, cherry-pick, diff and conflicts through both clients and a real daemon."""

from __future__ import annotations

import hangard_client
import numpy as np
import pytest
from client.diverging import commit, row, values

from hangard.errors import (
    Conflict,
    InvalidRequest,
    InvalidType,
    NothingStaged,
    UnknownRevision,
)
from hangard.model.schema import Schema

AUTHOR = {"user_name": "Ada", "user_email": "ada@example.org"}


def test_a_merge_brings_both_sides_together(repo, pair):
    main, dev = pair
    ours = commit(repo, main, {1: 11})
    theirs = commit(repo, dev, {2: 22, 3: None, 5: 5})
    report = repo.merge(dev, into=main, metadata={"why": "test"})
    assert (report.outcome, report.before) == ("merge", ours)
    assert report.bases == tuple(repo.merge_base(ours, theirs))
    assert values(repo, main) == {1: 11, 2: 22, 4: 4, 5: 5}
    (entry,) = repo.log(report.commit, limit=1)
    assert entry.parents == (ours, theirs)
    assert entry.message == f"Merge {dev} into {main}"
    assert entry.metadata == {"why": "test"}
    assert repo.merge(dev, into=main).outcome == "up-to-date"
    assert repo.merge(main, into=dev, ff="only").outcome == "fast-forward"
    assert repo.branches()[dev] == report.commit


def test_a_conflict_names_keys_and_kinds_and_changes_nothing(repo, pair):
    main, dev = pair
    ours = commit(repo, main, {1: 11, 2: None, 3: 33, 8: 8})
    commit(repo, dev, {1: 12, 2: 22, 3: None, 8: 9})
    with pytest.raises(Conflict) as caught:
        repo.merge(dev, into=main)
    assert caught.value.details["keys"] == [["a", 1], ["a", 2], ["a", 3], ["a", 8]]
    assert caught.value.details["kinds"] == ["t3", "t21", "t22", "t1"]
    assert repo.branches()[main] == ours
    found = repo.conflicts(main, dev)
    assert [(c.column, c.key, c.kind) for c in found] == [
        ("a", 1, "t3"),
        ("a", 2, "t21"),
        ("a", 3, "t22"),
        ("a", 8, "t1"),
    ]
    assert found[1].ours is None
    assert found[1].base is not None
    told = repo.merge(dev, into=main, dry_run=True)
    assert told.conflicts == tuple((c.column, c.key, c.kind) for c in found)
    assert told.conflict_count == 4


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("ours", {1: 11, 3: 3, 4: 44, 8: 8}),
        ("theirs", {1: 12, 2: 22, 3: 3, 4: 44, 8: 9}),
        ({"a": "theirs"}, {1: 12, 2: 22, 3: 3, 4: 44, 8: 9}),
        ({"a": {1: "theirs", 2: "ours", 8: "ours"}}, {1: 12, 3: 3, 4: 44, 8: 8}),
    ],
)
def test_strategies_settle_by_side_by_column_and_by_key(repo, pair, strategy, expected):
    main, dev = pair
    commit(repo, main, {1: 11, 2: None, 8: 8})
    commit(repo, dev, {1: 12, 2: 22, 8: 9, 4: 44})
    told = repo.merge(dev, into=main, strategy=strategy, dry_run=True)
    assert told.conflicts == ()
    repo.merge(dev, into=main, strategy=strategy)
    assert values(repo, main) == expected


def test_a_function_is_asked_about_each_conflict_with_its_values(repo, pair):
    main, dev = pair
    commit(repo, main, {1: 11, 2: None, 8: 8})
    commit(repo, dev, {1: 12, 2: 22, 8: 9})
    asked = {}

    def larger(clash):
        asked[clash.key] = (clash.column, clash.kind, clash.base, clash.ours, clash.theirs)
        # The client may be used in the meantime, too.
        assert values(repo, dev)[1] == 12
        sides = [-1 if side is None else int(side[0]) for side in (clash.ours, clash.theirs)]
        return "ours" if sides[0] >= sides[1] else "theirs"

    repo.merge(dev, into=main, strategy=larger)
    assert values(repo, main) == {1: 12, 2: 22, 3: 3, 4: 4, 8: 9}
    assert [entry[:2] for entry in asked.values()] == [("a", "t3"), ("a", "t21"), ("a", "t1")]
    base, ours, theirs = asked[1][2:]
    assert [int(side[0]) for side in (base, ours, theirs)] == [1, 11, 12]
    assert asked[2][3] is None
    assert asked[8][2] is None


def test_a_function_that_answers_something_else_is_an_error_and_nothing_changes(repo, pair):
    main, dev = pair
    ours = commit(repo, main, {1: 11})
    commit(repo, dev, {1: 12})
    with pytest.raises(InvalidRequest) as caught:
        repo.merge(dev, into=main, strategy=lambda clash: "both")
    assert caught.value.code == "invalid-strategy"
    with pytest.raises(InvalidType):
        repo.merge(dev, into=main, strategy=lambda clash: None)
    with pytest.raises(ZeroDivisionError):
        repo.merge(dev, into=main, strategy=lambda clash: 1 / 0)
    assert repo.branches()[main] == ours


def test_a_function_is_asked_about_columns_with_their_schemas(repo, branch):
    dev = f"{branch}-dev"
    commit(repo, branch, {1: 1})
    repo.create_branch(dev, branch)
    with repo.checkout(branch, write=True) as co:
        co.add_ndarray_column("b", shape=(2,), dtype="float32")
        co.commit("float")
    with repo.checkout(dev, write=True) as co:
        co.add_ndarray_column("b", shape=(2,), dtype="uint8")
        co.commit("uint")
    asked = []

    def choose(clash):
        asked.append(clash)
        return "theirs"

    repo.merge(dev, into=branch, strategy=choose)
    (clash,) = asked
    assert (clash.column, clash.key, clash.kind, clash.base) == ("b", None, "t1", None)
    assert isinstance(clash.ours, Schema)
    assert (clash.ours.dtype, clash.theirs.dtype) == ("<f4", "|u1")
    with repo.checkout(branch) as co:
        assert co["b"].dtype == np.uint8


def test_wrong_arguments_of_a_merge_are_named(repo, pair):
    main, dev = pair
    commit(repo, main, {1: 11})
    commit(repo, dev, {1: 12})
    for arguments, error, code in [
        ({"ff": "maybe"}, InvalidRequest, "ff"),
        ({"ff": "only"}, InvalidRequest, "not-fast-forward"),
        ({"message": "  "}, InvalidRequest, "empty-message"),
        ({"strategy": "mine"}, InvalidRequest, "invalid-strategy"),
        ({"strategy": {"b": "ours"}}, InvalidRequest, "invalid-strategy"),
        ({"strategy": {"a": {1: "mine"}}}, InvalidRequest, "invalid-strategy"),
        ({"strategy": 7}, InvalidType, "invalid-strategy-type"),
        ({"metadata": {"a": 1}}, InvalidType, "invalid-metadata-type"),
    ]:
        with pytest.raises(error) as caught:
            repo.merge(dev, into=main, **arguments)
        assert caught.value.code == code, arguments
    with pytest.raises(UnknownRevision):
        repo.merge("nowhere", into=main)
    with pytest.raises(UnknownRevision):
        repo.merge(dev, into="nowhere")


def test_an_empty_message_must_be_allowed(repo, pair):
    main, dev = pair
    commit(repo, main, {1: 11})
    commit(repo, dev, {2: 22})
    with pytest.raises(InvalidRequest):
        repo.merge(dev, into=main, message="")
    report = repo.merge(dev, into=main, message="", allow_empty_message=True)
    assert repo.log(report.commit, limit=1)[0].message == ""


def test_the_direction_of_a_difference_never_turns(repo, pair):
    main, dev = pair
    ours = commit(repo, main, {7: 7})
    commit(repo, dev, {8: 8, 1: None, 2: 22})
    (column,) = repo.diff(ours, dev)
    assert {c.key: c.kind for c in column.samples()} == {
        1: "deleted",
        2: "changed",
        7: "deleted",
        8: "added",
    }
    (forward,) = repo.diff(f"{dev}~1", dev)
    assert {c.key: c.kind for c in forward.samples()} == {1: "deleted", 2: "changed", 8: "added"}


def test_a_commit_is_reverted_and_picked(repo, pair):
    main, dev = pair
    wrong = commit(repo, main, {1: 99, 5: 5, 2: None}, message="wrong\n\nall of it")
    commit(repo, main, {6: 6})
    told = repo.revert(wrong, branch=main, dry_run=True)
    assert told.changes == {"a": (1, 1, 1)}
    report = repo.revert(wrong, branch=main)
    assert values(repo, main) == {1: 1, 2: 2, 3: 3, 4: 4, 6: 6}
    (entry,) = repo.log(report.commit, limit=1)
    assert entry.message == f'Revert "wrong"\n\nThis reverts commit {wrong}.'
    with pytest.raises(NothingStaged):
        repo.revert(wrong, branch=main)
    picked = repo.cherry_pick(wrong, branch=dev)
    assert values(repo, dev) == {1: 99, 3: 3, 4: 4, 5: 5}
    (entry,) = repo.log(picked.commit, limit=1)
    assert entry.message == "wrong\n\nall of it"
    assert entry.metadata == {"cherry-picked-from": str(wrong)}
    with pytest.raises(InvalidRequest):
        repo.cherry_pick(wrong, branch=dev, mainline=2)
    with pytest.raises(InvalidRequest):
        repo.revert(wrong)  # of which branch?
    commit(repo, dev, {1: 5})
    with pytest.raises(Conflict):
        repo.revert(picked.commit, branch=dev)
    repo.revert(picked.commit, branch=dev, strategy=lambda clash: "theirs")
    assert values(repo, dev) == {1: 1, 2: 2, 3: 3, 4: 4}


async def test_the_asynchronous_client_merges_with_a_coroutine_that_decides(tmp_path):
    async with hangard_client.AsyncRepository(tmp_path, create=True, idle_s=30, **AUTHOR) as repo:

        async def commit_async(branch, changes):
            async with repo.checkout(branch, write=True) as co:
                if "a" not in co:
                    await co.add_ndarray_column("a", shape=(3,), dtype="int16")
                for key, value in changes.items():
                    await co["a"].put(key, row(value))
                return await co.commit("made")

        await commit_async("main", {1: 1, 2: 2})
        await repo.create_branch("dev", "main")
        await commit_async("main", {1: 11})
        await commit_async("dev", {1: 12, 2: 22})

        async def choose(clash):
            return "theirs" if int(clash.theirs[0]) > int(clash.ours[0]) else "ours"

        assert len(await repo.conflicts("main", "dev")) == 1
        report = await repo.merge("dev", into="main", strategy=choose)
        async with repo.checkout("main") as co:
            assert [int((await co["a"].get(key))[0]) for key in (1, 2)] == [12, 22]
        async with repo.checkout("main", write=True) as co:
            await co["a"].put(3, row(3))
            (column,) = await co.diff()
            assert column.counts() == (1, 0, 0)
            await co.commit("three")
            assert (await co.merge("dev")).outcome == "up-to-date"
        await repo.revert(report.commit, branch="main", mainline=1)
        assert await repo.merge_base("main", "dev") == [(await repo.branches())["dev"]]
        await repo.cherry_pick(report.commit, branch="main", mainline=1)
        await repo.stop()


@pytest.mark.parametrize("verb", ["diff", "conflicts", "merge_base"])
def test_what_compares_two_revisions_names_the_unknown_one(repo, pair, verb):
    main, _ = pair
    for names in ((main, "nowhere"), ("nowhere", main), (main, "0" * 64)):
        with pytest.raises(UnknownRevision) as caught:
            getattr(repo, verb)(*names)
        assert caught.value.code == "unknown-revision"
    with pytest.raises(InvalidType):
        getattr(repo, verb)(main, 7)


def test_a_decision_on_very_many_conflicts_fits_a_request(repo, branch):
    keys = [f"a rather long name of a sample, number {key:06d}" for key in range(40_000)]
    dev = f"{branch}-dev"
    with repo.checkout(branch, write=True) as co:
        column = co.add_ndarray_column("a", shape=(1,), dtype="uint8")
        column.put_many(keys, np.zeros((len(keys), 1), np.uint8))
        co.commit("base")
    repo.create_branch(dev, branch)
    for name, value in ((branch, 1), (dev, 2)):
        with repo.checkout(name, write=True) as co:
            co["a"].put_many(keys, np.full((len(keys), 1), value, np.uint8))
            co.commit("all of them")
    found = repo.conflicts(branch, dev)
    assert len(found) == len(keys)
    chosen = {"a": {c.key: "theirs" if i % 2 else "ours" for i, c in enumerate(found)}}
    repo.merge(dev, into=branch, strategy=chosen)
    with repo.checkout(branch) as co:
        assert co["a"].get_many(keys[:4])[:, 0].tolist() == [1, 2, 1, 2]
