"""Merge, revert, cherry-pick, diff and conflicts through both clients and a real daemon."""

from __future__ import annotations

import hangard_client
import numpy as np
import pytest

from hangard.errors import (
    Busy,
    Conflict,
    InvalidRequest,
    InvalidType,
    NothingStaged,
    UnknownRevision,
)
from hangard.model.schema import Schema

AUTHOR = {"user_name": "Ada", "user_email": "ada@example.org"}


def row(value: int) -> np.ndarray:
    return np.full(3, value, np.int16)


def commit(repo, branch, changes, column="a", message="made", **more):
    with repo.checkout(branch, write=True) as co:
        if column not in co:
            co.add_ndarray_column(column, shape=(3,), dtype="int16")
        for key, value in changes.items():
            if value is None:
                del co[column][key]
            else:
                co[column][key] = row(value)
        return co.commit(message, **more)


def values(repo, revision, column="a"):
    with repo.checkout(revision) as co:
        return {key: int(co[column][key][0]) for key in co[column]}


@pytest.fixture
def pair(repo, branch):
    """Two branches that begin with the keys 1 to 4 under their own values."""
    other = f"{branch}-dev"
    commit(repo, branch, {key: key for key in range(1, 5)})
    repo.create_branch(other, branch)
    return branch, other


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


def test_a_write_checkout_merges_and_goes_on_from_the_result(repo, pair):
    main, dev = pair
    commit(repo, dev, {2: 22})
    commit(repo, dev, {1: 1}, column="new")
    with repo.checkout(main, write=True) as co:
        co["a"][1] = row(11)
        with pytest.raises(InvalidRequest) as caught:
            co.merge(dev, "too early")
        assert caught.value.code == "session-changed"
        co.commit("mine")
        told = co.merge(dev, dry_run=True)
        assert told.changes == {"a": (0, 0, 1), "new": (1, 0, 0)}
        assert "new" not in co
        report = co.merge(dev, "bring it in")
        assert co.commit_digest == report.commit
        assert list(co) == ["a", "new"]
        assert int(co["a"][2][0]) == 22
        assert int(co["new"][1][0]) == 1
        co["new"][2] = row(2)
        last = co.commit("after the merge")
    assert repo.log(last, limit=1)[0].parents == (report.commit,)
    assert values(repo, main, "new") == {1: 1, 2: 2}


def test_a_column_that_changes_its_data_in_a_merge_is_written_under_the_new_schema(repo, pair):
    main, dev = pair
    with repo.checkout(dev, write=True) as co:
        co.remove_column("a")
        co.add_ndarray_column("a", shape=(2,), dtype="float64")
        co.commit("doubles")
    with repo.checkout(main, write=True) as co:
        assert co["a"].shape == (3,)
        co.merge(dev)
        co["a"]["x"] = np.array([1.5, 2.5])
        co.commit("a double")
        assert co["a"]["x"].tolist() == [1.5, 2.5]


def test_an_exclusive_checkout_keeps_others_from_merging(repo, pair):
    main, dev = pair
    commit(repo, dev, {2: 22})
    with repo.checkout(main, write=True, exclusive=True) as co:
        with pytest.raises(Busy):
            repo.merge(dev, into=main)
        assert co.merge(dev).outcome == "fast-forward"


def test_what_is_staged_is_told_as_a_difference(repo, pair):
    main, _ = pair
    with repo.checkout(main, write=True) as co:
        assert co.diff() == []
        co["a"][1] = row(11)
        co["a"][2] = row(2)  # as it was
        co["a"]["new"] = row(7)
        del co["a"][3]
        co.add_ndarray_column("b", shape=(1,), dtype="uint8")["x"] = np.array([1], np.uint8)
        first, second = co.diff()
        assert (first.name, first.schema_change, first.counts()) == ("a", None, (1, 1, 1))
        assert [(c.key, c.kind) for c in first.samples()] == [
            (1, "changed"),
            (3, "deleted"),
            ("new", "added"),
        ]
        assert [c.key for c in first.added()] == ["new"]
        assert [c.key for c in first.deleted()] == [3]
        assert [c.key for c in first.changed()] == [1]
        assert (second.name, second.schema_change) == ("b", "added")
        assert [c.key for c in second.samples()] == ["x"]
        staged = {(column.name, *sample_of(c)) for column in co.diff() for c in column.samples()}
        before = co.commit_digest
        after = co.commit("all of it")
        assert co.diff() == []
        told = {
            (column.name, *sample_of(c))
            for column in repo.diff(before, after)
            for c in column.samples()
        }
        assert staged == told


def sample_of(change):
    return change.key, change.kind, change.before, change.after


def test_a_column_that_is_removed_and_made_again_is_told_by_its_samples(repo, pair):
    main, _ = pair
    with repo.checkout(main, write=True) as co:
        schema = co["a"].schema if hasattr(co["a"], "schema") else None
        co.remove_column("a")
        (only,) = co.diff()
        assert (only.schema_change, only.counts()) == ("deleted", (0, 4, 0))
        co.add_ndarray_column("a", shape=(3,), dtype="int16")
        co["a"][1] = row(1)
        co["a"][9] = row(9)
        (only,) = co.diff()
        assert only.counts() == (1, 3, 0)
        assert only.schema_change is None or schema is None
        co.abort()


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


def test_a_commit_is_settled_by_column_by_key_and_by_a_function(repo, pair):
    main, _ = pair
    for strategy, expected in [
        ({"a": "ours"}, (21, 22, 31)),
        ({"a": {1: "ours", 2: "theirs", None: "ours"}}, (21, 12, 31)),
        (lambda clash: "theirs" if clash.key == 1 else "ours", (11, 22, 31)),
    ]:
        with repo.checkout(main, write=True) as co:
            commit(repo, main, {1: 11, 2: 12, 3: 3})
            co["a"].update({1: row(21), 2: row(22), 3: row(31)})
            with pytest.raises(Conflict) as caught:
                co.commit("mine")
            assert caught.value.details["kinds"] == ["t3", "t3"]
            with pytest.raises(InvalidRequest) as wrong:
                co.commit("mine", strategy={"elsewhere": "ours"})
            assert wrong.value.code == "invalid-strategy"
            co.commit("mine", strategy=strategy)
            assert tuple(int(co["a"][key][0]) for key in (1, 2, 3)) == expected
        commit(repo, main, {1: 1, 2: 2, 3: 3})


def test_a_function_sees_the_values_that_a_commit_conflicts_in(repo, pair):
    main, _ = pair
    asked = []

    def choose(clash):
        sides = (clash.base, clash.ours, clash.theirs)
        asked.append(
            (clash.key, clash.kind, [None if side is None else int(side[0]) for side in sides])
        )
        return "ours"

    with repo.checkout(main, write=True) as co:
        commit(repo, main, {1: 11, 2: 22, 3: None, 9: 8})
        co["a"].update({1: row(21), 3: row(33), 9: row(9)})
        del co["a"][2]
        co.commit("mine", strategy=choose)
    assert asked == [
        (1, "t3", [1, 21, 11]),
        (2, "t21", [2, None, 22]),
        (3, "t22", [3, 33, None]),
        (9, "t1", [None, 9, 8]),
    ]
    assert values(repo, main) == {1: 21, 3: 33, 4: 4, 9: 9}


def test_more_conflicts_than_one_answer_lists_are_all_asked_about(repo, branch):
    keys = range(2500)
    with repo.checkout(branch, write=True) as co:
        co.add_ndarray_column("a", shape=(1,), dtype="int32")
        co["a"].put_many(keys, np.zeros((len(keys), 1), np.int32))
        co.commit("base")
    with repo.checkout(branch, write=True) as co, repo.checkout(branch, write=True) as other:
        other["a"].put_many(keys, np.ones((len(keys), 1), np.int32))
        other.commit("theirs")
        co["a"].put_many(keys, np.full((len(keys), 1), 2, np.int32))
        with pytest.raises(Conflict) as caught:
            co.commit("ours")
        assert len(caught.value.details["keys"]) == 1000
        assert caught.value.details["total"] == 2500
        co.commit("ours", strategy=lambda clash: "ours" if clash.key % 2 else "theirs")
        found = co["a"].get_many(keys)[:, 0]
    assert found.tolist() == [2 if key % 2 else 1 for key in keys]


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


def test_texts_bytes_nested_and_variable_samples_are_merged_and_shown(repo, branch):
    dev = f"{branch}-dev"
    with repo.checkout(branch, write=True) as co:
        co.add_str_column("text")["k"] = "base"
        co.add_bytes_column("raw")["k"] = b"base"
        free = co.add_ndarray_column("free", shape=(9,), dtype="uint8", variable_shape=True)
        free["k"] = np.zeros(2, np.uint8)
        nested = co.add_ndarray_column(
            "nested", shape=(1,), dtype="uint8", contains_subsamples=True
        )
        nested["s"] = {1: np.array([1], np.uint8), 2: np.array([2], np.uint8)}
        co.commit("base")
    repo.create_branch(dev, branch)

    def change(co, number):
        co["text"]["k"] = f"text {number}"
        co["raw"]["k"] = bytes([number])
        co["free"]["k"] = np.full(number, number, np.uint8)
        co["nested"]["s"][1] = np.array([number], np.uint8)
        co["nested"]["s"][f"n{number}"] = np.array([number], np.uint8)

    with repo.checkout(branch, write=True) as co:
        change(co, 3)
        assert {column.name: column.counts() for column in co.diff()} == {
            "free": (0, 0, 1),
            "nested": (1, 0, 1),
            "raw": (0, 0, 1),
            "text": (0, 0, 1),
        }
        co.commit("ours")
    with repo.checkout(dev, write=True) as co:
        change(co, 5)
        co.commit("theirs")
    asked = {}

    def choose(clash):
        asked[clash.column, clash.key] = (clash.base, clash.ours, clash.theirs)
        return "theirs"

    repo.merge(dev, into=branch, strategy=choose)
    assert asked["text", "k"] == ("base", "text 3", "text 5")
    assert asked["raw", "k"] == (b"base", b"\3", b"\5")
    assert [side.tolist() for side in asked["free", "k"]] == [[0, 0], [3] * 3, [5] * 5]
    assert [side.tolist() for side in asked["nested", ("s", 1)]] == [[1], [3], [5]]
    assert len(asked) == 4
    with repo.checkout(branch) as co:
        assert co["text"]["k"] == "text 5"
        assert sorted(map(str, co["nested"]["s"].keys())) == ["1", "2", "n3", "n5"]
    # and the same when a commit is put on top of another one
    with repo.checkout(branch, write=True) as co:
        with repo.checkout(branch, write=True) as other:
            change(other, 6)
            other.commit("meanwhile")
        change(co, 7)
        asked.clear()
        co.commit("on top", strategy=choose)
        assert asked["text", "k"] == ("text 5", "text 7", "text 6")
        assert [side.tolist() for side in asked["free", "k"]] == [[5] * 5, [7] * 7, [6] * 6]
        assert [side.tolist() for side in asked["nested", ("s", 1)]] == [[5], [7], [6]]
        assert len(asked) == 4
        assert co["text"]["k"] == "text 6"


def test_a_session_sees_the_columns_that_came_with_the_commits_of_others(repo, pair):
    main, _ = pair
    with repo.checkout(main, write=True) as co:
        commit(repo, main, {1: 1}, column="new")
        co["a"][1] = row(11)
        co.commit("on top of a column")
        assert list(co) == ["a", "new"]
        co["new"][2] = row(2)
        co.commit("into it")
    assert values(repo, main, "new") == {1: 1, 2: 2}
