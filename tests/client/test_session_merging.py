"""What a write checkout does about other commits of its branch: merges, conflicts, differences."""

from __future__ import annotations

import numpy as np
import pytest
from client.diverging import commit, row, values

from hangard.errors import (
    Busy,
    Conflict,
    InvalidRequest,
)

AUTHOR = {"user_name": "Ada", "user_email": "ada@example.org"}


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
