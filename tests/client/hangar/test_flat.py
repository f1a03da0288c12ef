"""Flat columns: keys, samples, and everything that is asked of a column."""

import multiprocessing
import pickle

import numpy as np
import pytest
from client.hangar.conftest import ROW


def test_a_column_tells_what_it_is(shared, column):
    for found, writes in ((shared.checkout()["x"], False), (column, True)):
        assert found.column == "x"
        assert found.column_type == "ndarray"
        assert found.column_layout == "flat"
        assert found.schema_type == "fixed_shape"
        assert found.dtype == np.dtype("i8")
        assert found.shape == (6,)
        assert found.backend == "10"
        assert found.backend_options == found.backend_opts == {}
        assert found.iswriteable is writes
        assert found.contains_subsamples is False
        assert found.contains_remote_references is False
        assert found.remote_reference_keys == ()
        assert "'x'" in repr(found)


@pytest.mark.parametrize(
    "name",
    [
        *("column", "column_type", "column_layout", "schema_type", "dtype", "shape", "backend"),
        *("backend_options", "iswriteable", "contains_subsamples"),
        *("contains_remote_references", "remote_reference_keys"),
    ],
)
def test_properties_cannot_be_assigned(shared, column, name):
    for found in (shared.checkout()["x"], column):
        with pytest.raises(AttributeError):
            setattr(found, name, "other")


def test_a_column_is_a_mapping(shared, column):
    for found in (shared.checkout()["x"], column):
        assert len(found) == 3
        assert list(found) == [1, "a", "b"]
        assert list(found.keys()) == list(found.keys(local=True)) == [1, "a", "b"]
        assert [row[0] for row in found.values()] == [2, 0, 1]
        assert [row[0] for row in found.values(local=True)] == [2, 0, 1]
        assert [(key, row[0]) for key, row in found.items(local=True)] == [
            *((1, 2), ("a", 0), ("b", 1))
        ]
        assert "a" in found
        assert 1 in found
        assert "1" not in found
        assert (found["a"] == ROW).all()
        assert found.get("zz") is None
        assert found.get("zz", 7) == 7
        with found as entered:
            assert (entered["b"] == ROW + 1).all()


@pytest.mark.parametrize("key", ["zz", 99, "", -1, 1.5, True, None, ("a", "b", "c"), "a" * 300])
def test_what_is_not_there_is_a_key_error(shared, column, key):
    for found in (shared.checkout()["x"], column):
        with pytest.raises(KeyError):
            found[key]
        assert found.get(key) is None
        assert key not in found
    with pytest.raises(KeyError):
        del column[key]
    with pytest.raises(KeyError):
        column.pop(key)


def test_what_is_read_is_a_copy_that_may_be_changed(shared, column):
    for found in (shared.checkout()["x"], column):
        row = found["a"]
        assert row.flags.c_contiguous
        assert row.flags.writeable
        row[:] = 99
        assert (found["a"] == ROW).all()


def test_samples_are_written_and_removed(column):
    column["c"] = ROW + 3
    column[2] = ROW + 4
    assert (column["c"] == ROW + 3).all()
    assert (column[2] == ROW + 4).all()
    column["c"] = ROW + 5
    assert (column["c"] == ROW + 5).all()
    del column["c"]
    assert "c" not in column
    assert (column.pop("a") == ROW).all()
    assert "a" not in column
    assert len(column) == 3


def test_int_and_text_keys_are_different(column):
    column["1"] = ROW + 7
    assert (column[1] == ROW + 2).all()
    assert (column["1"] == ROW + 7).all()


@pytest.mark.parametrize(
    "key",
    [-1, 1.5, "", " ", "a b", "ä", "a" * 65, ("a",), None, True, np.int64(3), 2**63, b"a", "a\n"],
)
def test_a_key_that_cannot_be_written_is_a_value_error(column, key):
    with pytest.raises(ValueError, match="key"):
        column[key] = ROW
    with pytest.raises(ValueError, match="key"):
        column.update({"good": ROW, key: ROW})
    assert "good" not in column


def test_true_is_no_key_and_spoils_no_commit(fresh):
    co = fresh.checkout(write=True)
    column = co.add_ndarray_column("x", prototype=ROW)
    for key in (True, False):
        with pytest.raises(ValueError, match="key"):
            column[key] = ROW
    column[1] = ROW
    co.commit("fine")
    co.close()
    assert list(fresh.checkout()["x"]) == [1]


@pytest.mark.parametrize(
    "value",
    [
        [0, 1, 2, 3, 4, 5],
        7,
        None,
        "text",
        ROW.astype("i4"),
        ROW.astype("f8"),
        ROW[:5],
        ROW.reshape(2, 3),
        np.arange(12, dtype="i8")[::2],
    ],
)
def test_a_sample_that_does_not_fit_is_a_value_error(column, value):
    with pytest.raises(ValueError, match="column 'x'"):
        column["c"] = value
    with pytest.raises(ValueError, match="column 'x'"):
        column.update({"good": ROW, "c": value})
    with pytest.raises(ValueError, match="column 'x'"):
        column.append(value)
    assert list(column) == [1, "a", "b"]


def test_big_endian_arrays_keep_their_values(column):
    column["c"] = ROW.astype(">i8")
    assert (column["c"] == ROW).all()


def test_append_makes_a_key_of_digits(column):
    keys = [column.append(ROW + i) for i in range(3)]
    assert len(set(keys)) == 3
    assert all(key.isdecimal() for key in keys)
    assert (column[keys[2]] == ROW + 2).all()


def test_update_takes_a_mapping_pairs_and_names(column):
    given = {"c": ROW, 2: ROW}
    before = dict(given)
    assert column.update(given, d=ROW + 1) is None
    assert given == before
    column.update([("e", ROW), ("f", ROW)])
    column.update((key, ROW) for key in ("g", "h"))
    column.update(i=ROW)
    column.update()
    assert set(column) == {1, 2, *"abcdefghi"}


@pytest.mark.parametrize("other", [7, "ab", [("a",)], [1, 2], ROW])
def test_update_with_something_else_is_a_type_error(column, other):
    with pytest.raises((TypeError, ValueError)):
        column.update(other)
    assert list(column) == [1, "a", "b"]


def test_each_write_outside_of_a_block_has_reached_the_daemon(shared, column):
    column["sent"] = ROW
    area = next(info for info in shared._repo().sessions() if info.id == "default")
    assert area.staged == 1
    with column:
        column["waits"] = ROW
    assert next(info for info in shared._repo().sessions() if info.id == "default").staged == 2


def _first(found, key):
    return int(found[key][0])


def test_read_columns_are_pickled_and_work_in_other_processes(shared):
    co = shared.checkout()
    found = pickle.loads(pickle.dumps(co["x"]))
    assert (found["b"] == ROW + 1).all()
    assert found.shape == (6,)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(_first, (co["x"], "b")) == 1
    co.close()
    assert (found["b"] == ROW + 1).all()
    with pytest.raises(PermissionError):
        pickle.dumps(co.arraysets["x"])
