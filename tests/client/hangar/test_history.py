"""Commits, status, differences, conflicts and merges."""

import numpy as np
import pytest
from client.hangar.conftest import ROW, fill
from hangard_client.hangar import diff
from hangard_client.hangar.diff import (
    Changes,
    ColumnSchemaKey,
    Conflicts,
    DataRecordVal,
    DiffAndConflicts,
    DiffOut,
    FlatColumnDataKey,
    NestedColumnDataKey,
)

from hangard.errors import Conflict

BIG = np.arange(5_000, dtype="i4")


def keys(changes):
    return [key.sample for key in changes.samples]


def commit(repo, branch, change):
    """Change the staging area of a branch and commit; the digest."""
    co = repo.checkout(write=True, branch=branch)
    change(co)
    digest = co.commit(f"on {branch}")
    co.close()
    return digest


@pytest.fixture
def apart(fresh):
    """Branches whose histories went apart: conflicts of every kind, and changes without."""
    fill(fresh)
    start = dict.fromkeys(("t21", "t22", "t3", "same", "both"), ROW)
    commit(fresh, "master", lambda co: co["x"].update(start))
    fresh.create_branch("dev")

    def on_master(co):
        co["x"].update({"t1": ROW + 10, "t22": ROW + 10, "t3": ROW + 10})
        co["x"].update({"same": ROW + 1, "new": ROW, "master": ROW})
        del co["x"]["t21"]

    def on_dev(co):
        co["x"].update({"t1": ROW + 20, "t21": ROW + 20, "t3": ROW + 20})
        co["x"].update({"same": ROW + 1, "new": ROW, "dev": ROW})
        del co["x"]["t22"]

    commit(fresh, "dev", on_dev)
    commit(fresh, "master", on_master)
    return fresh


def test_a_commit_is_a_text_of_its_digest_and_needs_something_staged(fresh):
    co = fresh.checkout(write=True)
    with pytest.raises(RuntimeError):
        co.commit("nothing")
    column = co.add_ndarray_column("x", prototype=ROW)
    digest = co.commit("a column")
    assert bytes.fromhex(digest)
    assert len(digest) == 64
    with pytest.raises(RuntimeError):
        co.commit("nothing")
    column["a"] = ROW
    co.commit("")
    assert fresh.log(return_contents=True)["specs"][co.commit_hash]["commit_message"] == ""
    del column["a"]
    column["a"] = ROW
    with pytest.raises(RuntimeError):
        co.commit("the same again")
    co.close()


def test_a_commit_without_an_author_is_a_runtime_error(fresh, monkeypatch, tmp_path):
    fresh._repo().set_config({"user.name": None})
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("GIT_AUTHOR_NAME", raising=False)
    co = fresh.checkout(write=True)
    co.add_ndarray_column("x", prototype=ROW)
    with pytest.raises(RuntimeError, match="author"):
        co.commit("whose?")
    co.reset_staging_area()
    co.close()


def test_status_compares_contents(fresh):
    fill(fresh)
    co = fresh.checkout(write=True)
    assert co.diff.status() == "CLEAN"
    co["x"]["c"] = ROW
    assert co.diff.status() == "DIRTY"
    del co["x"]["c"]
    assert co.diff.status() == "CLEAN"
    co["x"]["a"] = ROW
    assert co.diff.status() == "CLEAN"
    co.add_ndarray_column("y", prototype=ROW)
    assert co.diff.status() == "DIRTY"
    co.columns.delete("y")
    assert co.diff.status() == "CLEAN"
    co.close()


def test_what_is_staged_is_told_by_kind_of_change(fresh):
    fill(fresh)
    commit(fresh, "master", lambda co: co.add_ndarray_column("old", prototype=ROW))
    co = fresh.checkout(write=True)
    assert co.diff.staged().diff == DiffOut(*[Changes({}, ())] * 3)
    co["x"].update({"c": ROW, "a": ROW + 5})
    del co["x"]["b"]
    del co.columns["old"]
    co.add_ndarray_column("n", prototype=ROW, contains_subsamples=True)["s"] = {"k": ROW}
    co["x"].change_backend("00")
    found = co.diff.staged()
    assert isinstance(found, DiffAndConflicts)
    assert found.conflict == Conflicts(*[Changes({}, ())] * 4, False)
    added, deleted, mutated = found.diff
    assert set(added.samples) == {
        FlatColumnDataKey("x", "c"),
        NestedColumnDataKey("n", "s", "k"),
    }
    assert list(added.schema) == [ColumnSchemaKey("n", "nested")]
    assert deleted.samples == (FlatColumnDataKey("x", "b"),)
    assert list(deleted.schema) == [ColumnSchemaKey("old", "flat")]
    assert mutated.samples == (FlatColumnDataKey("x", "a"),)
    assert list(mutated.schema) == [ColumnSchemaKey("x", "flat")]
    co.reset_staging_area()
    co.close()


def test_records_of_a_difference_are_hashable_and_have_a_layout():
    flat, nested = FlatColumnDataKey("x", 1), NestedColumnDataKey("n", "s", 1)
    schema = ColumnSchemaKey("x", "flat")
    assert (flat.layout, nested.layout, schema.layout) == ("flat", "nested", "flat")
    assert tuple(flat) == ("x", 1)
    assert tuple(nested) == ("n", "s", 1)
    assert len({flat, nested, schema, DataRecordVal("00"), FlatColumnDataKey("x", 1)}) == 4
    assert diff.DiffAndConflicts._fields == ("diff", "conflict")
    assert DiffOut._fields == ("added", "deleted", "mutated")
    assert Conflicts._fields == ("t1", "t21", "t22", "t3", "conflict")
    assert Changes._fields == ("schema", "samples")


def test_added_is_always_what_the_second_side_has(fresh):
    first = fill(fresh)
    fresh.create_branch("dev")
    second = commit(fresh, "dev", lambda co: co["x"].update({"dev": ROW}))
    assert keys(fresh.diff("master", "dev").diff.added) == ["dev"]
    assert keys(fresh.diff("dev", "master").diff.deleted) == ["dev"]
    assert keys(fresh.diff(first, second).diff.added) == ["dev"]
    commit(fresh, "master", lambda co: co["x"].update({"master": ROW}))
    found = fresh.diff("master", "dev").diff
    assert (keys(found.added), keys(found.deleted)) == (["dev"], ["master"])
    reader = fresh.checkout(branch="master")
    for checkout in (reader, fresh.checkout(write=True, branch="master")):
        assert keys(checkout.diff.branch("dev").diff.added) == ["dev"]
        assert keys(checkout.diff.commit(second).diff.deleted) == ["master"]
        for call, unknown in (
            (checkout.diff.branch, "nothing"),
            (checkout.diff.commit, "0" * 64),
            (checkout.diff.commit, second[:8]),
        ):
            with pytest.raises(ValueError, match=r"no |full digest"):
                call(unknown)
        checkout.close()
    for sides in (("nothing", "dev"), ("dev", "nothing"), ("dev", "0" * 64)):
        with pytest.raises(ValueError, match=r"no |full digest"):
            fresh.diff(*sides)


def test_conflicts_are_told_by_their_kinds(apart):
    found = apart.diff("master", "dev").conflict
    assert found.conflict is True
    assert [keys(part) for part in found[:4]] == [["t1"], ["t21"], ["t22"], ["t3"]]
    turned = apart.diff("dev", "master").conflict
    assert [keys(part) for part in turned[:4]] == [["t1"], ["t22"], ["t21"], ["t3"]]


def test_a_merge_with_conflicts_is_a_value_error_and_changes_nothing(apart):
    before = apart.log("master", return_contents=True)
    with pytest.raises(ValueError, match="t1") as caught:
        apart.merge("no", "master", "dev")
    assert isinstance(caught.value, Conflict)
    assert apart.log("master", return_contents=True) == before
    assert not apart.writer_lock_held
    co = apart.checkout(write=True, branch="master")
    with pytest.raises(ValueError, match="t1"):
        co.merge("no", "dev")
    assert co.diff.status() == "CLEAN"
    co.close()


def test_a_merge_makes_a_commit_with_two_parents_and_moves_the_staging_area(fresh):
    fill(fresh)
    fresh.create_branch("dev")
    dev = commit(fresh, "dev", lambda co: co["x"].update({"dev": ROW}))
    master = commit(fresh, "master", lambda co: co["x"].update({"master": ROW}))
    fresh.checkout(write=True, branch="dev").close()
    digest = fresh.merge("both", "master", "dev")
    log = fresh.log(return_contents=True)
    assert log["head"] == digest
    assert log["ancestors"][digest] == [master, dev]
    assert log["specs"][digest]["commit_message"] == "both"
    assert {"dev", "master"} <= set(fresh.checkout()["x"])
    assert fresh.checkout(write=True).branch_name == "master"


def test_a_merge_moves_a_branch_that_has_nothing_of_its_own(fresh):
    fill(fresh)
    fresh.create_branch("dev")
    dev = commit(fresh, "dev", lambda co: co["x"].update({"dev": ROW}))
    assert fresh.merge("not used", "master", "dev") == dev
    assert fresh.log("master", return_contents=True)["head"] == dev


def test_what_cannot_be_merged(fresh):
    fill(fresh)
    fresh.create_branch("dev")
    with pytest.raises(ValueError, match="same commit"):
        fresh.merge("m", "master", "dev")
    for sides in (("master", "nothing"), ("nothing", "dev")):
        with pytest.raises(ValueError, match="no branch"):
            fresh.merge("m", *sides)
    commit(fresh, "dev", lambda co: co["x"].update({"dev": ROW}))
    co = fresh.checkout(write=True, branch="master")
    with pytest.raises(PermissionError):
        fresh.merge("m", "master", "dev")
    with pytest.raises(ValueError, match="no branch"):
        co.merge("m", "nothing")
    co["x"]["staged"] = ROW
    with pytest.raises(RuntimeError, match="staged"):
        co.merge("m", "dev")
    co.close()
    with pytest.raises(RuntimeError, match="staged"):
        fresh.merge("m", "master", "dev")


def test_a_writer_merges_and_goes_on_from_the_result(fresh):
    fill(fresh)
    fresh.create_branch("dev")
    commit(fresh, "dev", lambda co: co["x"].update({"dev": ROW}))
    commit(fresh, "master", lambda co: co["x"].update({"master": ROW}))
    co = fresh.checkout(write=True, branch="master")
    digest = co.merge("both", "dev")
    assert co.commit_hash == digest
    assert "dev" in co["x"]
    co["x"]["after"] = ROW
    co.commit("after")
    assert fresh.log(return_contents=True)["order"][1] == digest
    co.close()


def test_merges_cross_each_other(fresh):
    fill(fresh)
    fresh.create_branch("dev")
    commit(fresh, "dev", lambda co: co["x"].update({"d1": ROW}))
    commit(fresh, "master", lambda co: co["x"].update({"m1": ROW}))
    fresh.create_branch("dev-before")
    fresh.merge("one", "master", "dev")
    commit(fresh, "dev", lambda co: co["x"].update({"d2": ROW}))
    fresh.merge("two", "dev", "dev-before")
    fresh.merge("three", "master", "dev")
    assert {"d1", "d2", "m1"} <= set(fresh.checkout(branch="master")["x"])


def test_columns_conflict_by_their_schemas(fresh):
    fill(fresh)
    fresh.create_branch("dev")
    commit(fresh, "dev", lambda co: co.add_ndarray_column("y", shape=3, dtype="u1"))
    commit(fresh, "master", lambda co: co.add_ndarray_column("y", shape=4, dtype="u1"))
    found = fresh.diff("master", "dev")
    assert list(found.conflict.t1.schema) == [ColumnSchemaKey("y", "flat")]
    assert list(found.diff.mutated.schema) == [ColumnSchemaKey("y", "flat")]
    with pytest.raises(ValueError, match="y"):
        fresh.merge("m", "master", "dev")
