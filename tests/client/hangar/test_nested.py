"""Columns with subsamples."""

import multiprocessing
import pickle

import numpy as np
import pytest
from client.hangar.conftest import ROW, end
from hangard_client.hangar import Repository
from hangard_client.hangar.columns import is_column, is_writer_column

GIVEN = {"s": {"a": ROW, "b": ROW + 1, 1: ROW + 2}, 7: {"a": ROW + 3}}


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    repo = Repository(tmp_path_factory.mktemp("hangar"), exists=False)
    repo.init("Ada", "ada@example.org")
    co = repo.checkout(write=True)
    co.add_ndarray_column("n", prototype=ROW, contains_subsamples=True).update(GIVEN)
    co.add_ndarray_column("x", prototype=ROW)["k"] = ROW + 9
    co.commit("first")
    co.close()
    yield repo
    end(repo)


@pytest.fixture
def column(co):
    return co["n"]


@pytest.fixture
def both(shared, column):
    return shared.checkout()["n"], column


def plain(found):
    return {sample: {k: int(v[0]) for k, v in sub.items()} for sample, sub in found.items()}


def test_a_nested_column_is_a_mapping_of_samples(both):
    for found in both:
        assert found.column_layout == "nested"
        assert found.contains_subsamples is True
        assert found.num_subsamples == 4
        assert len(found) == 2
        assert list(found) == list(found.keys(local=True)) == [7, "s"]
        assert "s" in found
        assert "t" not in found
        assert True not in found
        assert plain(found) == {7: {"a": 3}, "s": {1: 2, "a": 0, "b": 1}}
        assert [len(sub) for sub in found.values(local=True)] == [1, 3]
        assert found.get("t") is None
        assert found.get("s").sample == "s"
        assert is_column(found)
    assert [is_writer_column(found) for found in both] == [False, True]


def test_subsamples_are_reached_by_pair_by_dots_and_by_slice(both):
    for found in both:
        assert (found["s", "b"] == ROW + 1).all()
        assert list(found["s", ...]) == [1, "a", "b"]
        assert list(found["s", 1:3]) == ["a", "b"]
        for missing in ("t", ("s", "zz"), ("t", "a"), ("t", ...), -1, True):
            with pytest.raises(KeyError):
                found[missing]


def test_access_to_the_subsamples_of_a_sample(both):
    for found in both:
        sub = found["s"]
        assert (sub.column, sub.sample) == ("n", "s")
        assert sub.iswriteable is found.iswriteable
        assert list(sub) == list(sub.keys()) == [1, "a", "b"]
        assert len(sub) == 3
        assert "a" in sub
        assert (sub["a"] == ROW).all()
        assert list(sub[...]) == [1, "a", "b"]
        assert list(sub[0:2]) == [1, "a"]
        assert [int(row[0]) for row in sub.values()] == [2, 0, 1]
        assert {key: int(row[0]) for key, row in sub.data.items()} == {1: 2, "a": 0, "b": 1}
        assert sub.get("zz", 7) == 7
        assert sub.contains_remote_references is False
        assert "sample='s'" in repr(sub)
        with sub as entered:
            assert len(entered) == 3
        with pytest.raises(KeyError):
            sub["zz"]
        for key in (1.5, None, ("a", "b"), [1]):
            with pytest.raises(TypeError):
                sub[key]


def test_a_reader_cannot_write_subsamples(shared):
    found = shared.checkout()["n"]
    with pytest.raises(AttributeError):
        found["s"] = {"a": ROW}
    with pytest.raises(AttributeError):
        found["s"]["a"] = ROW
    for name in ("update", "append", "pop"):
        assert not hasattr(found["s"], name)
        assert not hasattr(found, name)


def test_a_sample_is_begun_or_merged_by_assignment(column):
    column["t"] = {"a": ROW}
    column["s"] = [("c", ROW + 5)]
    column["s", "d"] = ROW + 6
    assert set(column["s"]) == {"a", "b", "c", "d", 1}
    assert list(column["t"]) == ["a"]
    with pytest.raises(KeyError):
        column["new"]["a"] = ROW
    assert not hasattr(column, "append")


def test_update_goes_two_levels_deep(column):
    given = {"t": {"a": ROW}, "s": {"c": ROW}}
    column.update(given, u={"a": ROW})
    column.update([("v", [("a", ROW)])])
    assert set(column) == {7, "s", "t", "u", "v"}
    assert "c" in column["s"]
    assert given == {"t": {"a": ROW}, "s": {"c": ROW}}


@pytest.mark.parametrize("value", [ROW, 7, None, "text", [ROW], {"a": ROW[:2]}, {"a b": ROW}])
def test_what_is_no_mapping_of_samples_is_refused_before_anything_is_written(column, value):
    for write in (
        lambda: column.__setitem__("t", value),
        lambda: column.update({"good": {"a": ROW}, "t": value}),
    ):
        with pytest.raises((TypeError, ValueError)):
            write()
    assert list(column) == [7, "s"]


def test_samples_and_subsamples_are_removed(column):
    taken = column.pop("s")
    assert {key: int(row[0]) for key, row in taken.items()} == {1: 2, "a": 0, "b": 1}
    assert "s" not in column
    del column[7]
    assert len(column) == 0
    for missing in ("s", 7):
        with pytest.raises(KeyError):
            column.pop(missing)
        with pytest.raises(KeyError):
            del column[missing]


def test_a_writer_of_subsamples(column):
    sub = column["s"]
    sub["c"] = ROW + 7
    key = sub.append(ROW + 8)
    assert key.isdecimal()
    sub.update({"d": ROW}, e=ROW)
    assert (sub.pop("c") == ROW + 7).all()
    del sub["a"]
    assert set(column["s"]) == {1, "b", "d", "e", key}
    with pytest.raises(KeyError):
        sub.pop("zz")
    with pytest.raises(KeyError):
        del sub["zz"]
    with pytest.raises(ValueError, match="key"):
        sub["a b"] = ROW
    with pytest.raises(ValueError, match="holds int64"):
        sub.update({"f": ROW, "g": ROW.astype("f4")})
    assert "f" not in sub


def test_a_sample_without_subsamples_is_gone(fresh):
    co = fresh.checkout(write=True)
    column = co.add_ndarray_column("n", prototype=ROW, contains_subsamples=True)
    column["s"] = {"a": ROW}
    column["t"] = {"a": ROW}
    del column["s"]["a"]
    assert "s" not in column
    co.commit("first")
    co.close()
    assert list(fresh.checkout()["n"]) == ["t"]


def test_a_checkout_reaches_nested_samples(shared, co):
    for checkout in (shared.checkout(), co):
        assert (checkout["n", "s", "b"] == ROW + 1).all()
        assert list(checkout["n", "s", ...]) == [1, "a", "b"]
        mixed = checkout[("n", 7, "a"), ("x", "k"), ("n", "s", 1)]
        assert [int(row[0]) for row in mixed] == [3, 9, 2]
        assert checkout["n", "s"].sample == "s"
        found = checkout.get([("n", "s", "zz"), ("x", "k")], default=None)
        assert found[0] is None
        with pytest.raises(KeyError):
            checkout["n", "s", "zz"]


def test_columns_of_text_may_be_nested(co):
    column = co.add_str_column("texts", contains_subsamples=True)
    column["s"] = {"de": "Haus", "en": "house"}
    assert column["s"].data == {"de": "Haus", "en": "house"}
    assert co["texts", "s", "en"] == "house"


def test_after_closing_subsamples_are_a_permission_error(shared):
    reader, writer = shared.checkout(), shared.checkout(write=True)
    for checkout in (reader, writer):
        sub = checkout["n"]["s"]
        checkout.close()
        for use in (
            lambda sub=sub: sub["a"],
            lambda sub=sub: len(sub),
            lambda sub=sub: sub.data,
            lambda sub=sub: sub.sample,
            lambda sub=sub: list(sub),
        ):
            with pytest.raises(PermissionError):
                use()


def _first(sub, key):
    return int(sub[key][0])


def test_nested_columns_and_subsamples_are_pickled(shared, column):
    found = shared.checkout()["n"]
    assert (pickle.loads(pickle.dumps(found))["s", "b"] == ROW + 1).all()
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(_first, (found["s"], "b")) == 1
    for value in (column, column["s"]):
        with pytest.raises(PermissionError):
            pickle.dumps(value)


def test_zero_length_rows_of_nested_columns(co):
    column = co.add_ndarray_column(
        "v", shape=(4,), dtype="f4", variable_shape=True, contains_subsamples=True
    )
    column["s"] = {0: np.zeros(0, "f4"), 1: np.zeros(4, "f4")}
    assert [row.shape for row in column["s"].values()] == [(0,), (4,)]
