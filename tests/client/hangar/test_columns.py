"""``checkout.columns``, and columns that are made: by every argument, with every error."""

import numpy as np
import pytest
from client.hangar.conftest import ROW
from hangard_client.hangar.columns import Columns, is_column, is_writer_column


def test_the_accessor_reads_like_a_dictionary(shared, co):
    for checkout, writes in ((shared.checkout(), False), (co, True)):
        columns = checkout.columns
        assert isinstance(columns, Columns)
        assert columns["x"].column == columns.get("x").column == "x"
        for name in ("y", 7):
            with pytest.raises(KeyError):
                columns[name]
            with pytest.raises(KeyError):
                columns.get(name)
        assert "x" in columns
        assert "y" not in columns
        assert len(columns) == 1
        assert list(columns) == ["x"]
        assert columns.keys() == ["x"]
        assert [column.column for column in columns.values()] == ["x"]
        assert [name for name, _ in columns.items()] == ["x"]
        assert columns.iswriteable is writes
        assert columns.contains_remote_references == {"x": False}
        assert columns.remote_sample_keys == {"x": ()}
        assert "'x'" in repr(columns)
        assert columns._ipython_key_completions_() == ["x"]
        assert is_column(columns["x"])
        assert is_writer_column(columns["x"]) is writes
    assert not is_column(ROW)
    assert not is_writer_column(ROW)


def test_a_column_is_deleted_with_its_samples(co):
    column = co.add_ndarray_column("y", prototype=ROW)
    column["a"] = ROW
    assert co.columns.delete("y") == "y"
    assert "y" not in co
    with pytest.raises(KeyError):
        co.columns.delete("y")
    co.add_ndarray_column("y", prototype=ROW)
    assert len(co["y"]) == 0
    del co.columns["y"]
    assert list(co) == ["x"]


def test_a_column_whose_samples_are_all_gone_keeps_its_schema(fresh):
    co = fresh.checkout(write=True)
    co.add_ndarray_column("x", prototype=ROW)["a"] = ROW
    co.commit("first")
    del co["x"]["a"]
    co.commit("none left")
    co.close()
    column = fresh.checkout()["x"]
    assert len(column) == 0
    assert column.shape == (6,)


def test_an_ndarray_column_by_shape_and_dtype_or_by_prototype(co):
    by_shape = co.add_ndarray_column("shape", shape=(2, 3), dtype=np.float32)
    by_number = co.add_ndarray_column("number", 4, "uint8")
    by_prototype = co.add_ndarray_column("prototype", prototype=np.zeros((2, 3), np.float32))
    scalar = co.add_ndarray_column("scalar", shape=(), dtype="int16")
    assert (by_shape.shape, by_shape.dtype) == ((2, 3), np.dtype("f4"))
    assert (by_number.shape, by_number.dtype) == ((4,), np.dtype("u1"))
    assert (by_prototype.shape, by_prototype.dtype) == ((2, 3), np.dtype("f4"))
    scalar["a"] = np.array(7, "int16")
    assert (scalar.shape, scalar["a"]) == ((), 7)


@pytest.mark.parametrize(
    "dtype", [*"?bBhHiIlLqQefdg", bool, float, np.uint16, np.dtype("int64"), "float16"]
)
def test_all_dtypes_of_hangar(co, dtype):
    column = co.add_ndarray_column("y", shape=(3,), dtype=dtype)
    value = np.array([0, 1, 1], dtype)
    column["a"] = value
    assert column.dtype == np.dtype(dtype)
    assert column["a"].dtype == value.dtype
    assert (column["a"] == value).all()


@pytest.mark.parametrize("name", ["", " ", "a b", "ä", "a/b", "x" * 65, 7, None, "a:b"])
def test_a_bad_name_is_a_value_error(co, name):
    for add in (co.add_ndarray_column, co.add_str_column, co.add_bytes_column):
        with pytest.raises(ValueError, match="name"):
            add(name)


def test_a_name_that_is_taken_is_a_lookup_error(co):
    for add in (co.add_str_column, co.add_bytes_column):
        with pytest.raises(LookupError):
            add("x")
    with pytest.raises(LookupError):
        co.add_ndarray_column("x", prototype=ROW)


@pytest.mark.parametrize(
    "arguments",
    [
        {"prototype": ROW, "shape": (6,)},
        {"prototype": ROW, "dtype": "i8"},
        {"prototype": [1, 2, 3]},
        {},
        {"shape": (3, 0), "dtype": "u1"},
        {"shape": 0, "dtype": "u1"},
        {"prototype": np.zeros((0, 2))},
        {"shape": (-1,), "dtype": "u1"},
        {"shape": (1,) * 32, "dtype": "u1"},
        {"shape": (2,), "dtype": object},
        {"shape": (2,), "dtype": "U7"},
        {"shape": (2,), "dtype": "M8[s]"},
        {"prototype": ROW, "contains_subsamples": 1},
        {"prototype": ROW, "variable_shape": "yes"},
        {"prototype": ROW, "backend_options": {"complevel": 3}},
        {"prototype": ROW, "backend": "30"},
        {"prototype": ROW, "backend": "77"},
        {"prototype": ROW, "backend": "00", "backend_options": {"complib": "blosc:snappy"}},
        {"prototype": ROW, "backend": "00", "backend_options": {"complevel": 11}},
    ],
)
def test_arguments_that_are_wrong_are_a_value_error(co, arguments):
    with pytest.raises(ValueError, match=r"\w"):
        co.add_ndarray_column("y", **arguments)
    assert "y" not in co


@pytest.mark.parametrize(
    "arguments",
    [
        {"prototype": ROW, "backend": "00", "backend_options": [("complevel", 3)]},
        {"prototype": ROW, "backend": "00", "backend_options": {"unheard": 3}},
        {"prototype": ROW, "backend": "10", "backend_options": {"complevel": 3}},
        {"shape": (2,), "dtype": [("a", "u1"), ("b", "u1")]},
    ],
)
def test_arguments_of_a_wrong_kind_are_a_type_error(co, arguments):
    with pytest.raises(TypeError):
        co.add_ndarray_column("y", **arguments)
    assert "y" not in co


def test_the_older_spelling_of_making_a_column(co):
    one = co.arraysets.init_arrayset("one", prototype=ROW, backend_opts="00")
    two = co.arraysets.init_arrayset(
        "two",
        shape=(6,),
        dtype="i8",
        backend_opts={"backend": "00", "complib": "blosc:zstd", "complevel": 3, "shuffle": "bit"},
    )
    three = co.arraysets.init_arrayset("three", prototype=ROW)
    assert (one.backend, three.backend) == ("00", "10")
    assert two.backend == "00"
    assert two.backend_opts["complib"] == "blosc:zstd"
    assert two.backend_options["complevel"] == 3
    two["a"] = ROW
    assert (co.arraysets["two"]["a"] == ROW).all()


def test_a_schema_is_visible_before_it_is_committed(co):
    co.add_ndarray_column("y", prototype=ROW)
    ((key, _),) = co.diff.staged().diff.added.schema.items()
    assert (key.column, key.layout) == ("y", "flat")
