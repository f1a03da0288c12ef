"""Columns of text, of bytes, and of arrays whose shape varies."""

import numpy as np
import pytest
from client.hangar.conftest import ROW

TEXTS = {"a": "", "b": "grüße \N{SNOWMAN}\n\x00", 7: "x" * 3_000_000}
BYTES = {"a": b"", "b": bytes(range(256)), 7: b"y" * 3_000_000}


@pytest.mark.parametrize(
    ("add", "kind", "backend", "given"),
    [("add_str_column", str, "30", TEXTS), ("add_bytes_column", bytes, "31", BYTES)],
)
def test_text_and_bytes_of_any_length(fresh, add, kind, backend, given):
    co = fresh.checkout(write=True)
    column = getattr(co, add)("y")
    column.update(given)
    assert {key: column[key] for key in given} == given
    co.commit("first")
    co.close()
    read = fresh.checkout()["y"]
    for found in (read,):
        assert dict(found.items()) == given
        assert found.column_type == kind.__name__
        assert found.schema_type == "variable_shape"
        assert found.dtype is kind
        assert found.shape is None
        assert (found.backend, found.backend_options) == (backend, {})


@pytest.mark.parametrize("value", [b"bytes", 7, None, ROW])
def test_a_column_of_text_takes_text_only(co, value):
    column = co.add_str_column("y")
    with pytest.raises(ValueError, match="takes str"):
        column["a"] = value
    assert len(column) == 0


@pytest.mark.parametrize("value", ["text", 7, None, ROW])
def test_a_column_of_bytes_takes_bytes_only(co, value):
    column = co.add_bytes_column("y")
    with pytest.raises(ValueError, match="takes bytes"):
        column["a"] = value


def test_arguments_of_columns_of_text_and_bytes(co):
    for add, right, wrong in (
        (co.add_str_column, "30", "31"),
        (co.add_bytes_column, "31", "00"),
    ):
        for arguments in (
            {"backend": wrong},
            {"backend_options": {"a": 1}},
            {"contains_subsamples": "yes"},
        ):
            with pytest.raises(ValueError, match=r"\w"):
                add("y", **arguments)
        with pytest.raises(TypeError):
            add("y", backend=right, backend_options={"complevel": 1})
        add("y", backend=right, backend_options={})
        co.columns.delete("y")


def test_shapes_may_vary_up_to_a_bound(fresh):
    co = fresh.checkout(write=True)
    column = co.add_ndarray_column("y", shape=(4, 6), dtype="f4", variable_shape=True)
    shapes = [(1, 1), (4, 6), (2, 3), (0, 5), (0, 0)]
    for i, shape in enumerate(shapes):
        column[i] = np.full(shape, i, "f4")
    for shape in ((5, 6), (4, 7), (4,), (1, 1, 1)):
        with pytest.raises(ValueError, match="shape"):
            column["bad"] = np.zeros(shape, "f4")
    co.commit("first")
    co.close()
    read = fresh.checkout()["y"]
    assert read.schema_type == "variable_shape"
    assert read.shape == (4, 6)
    assert [row.shape for row in read.values()] == shapes
    assert (read[2] == 2).all()
    assert "bad" not in read


@pytest.mark.parametrize("size", [399, 400, 1_000])
def test_the_backend_is_chosen_as_hangar_does(co, size):
    one = co.add_ndarray_column("one", shape=size, dtype="u1")
    varying = co.add_ndarray_column("varying", shape=size, dtype="u1", variable_shape=True)
    assert one.backend == varying.backend == ("10" if size < 400 else "00")


def test_the_backend_of_more_dimensions(co):
    assert co.add_ndarray_column("fixed", shape=(9, 9), dtype="u1").backend == "01"
    assert co.add_ndarray_column("scalar", shape=(), dtype="u1").backend == "01"
    varying = co.add_ndarray_column("varying", shape=(9, 9), dtype="u1", variable_shape=True)
    assert varying.backend == "00"
    with pytest.raises(ValueError, match="01"):
        co.add_ndarray_column("y", shape=(9, 9), dtype="u1", variable_shape=True, backend="01")
