"""The columns that the machine of test_repository_machine knows: a name stands for one kind."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

SHAPE = (2, 3)
BOUND = (4, 2)

NAMES = ("images", "nested", "crops", "texts", "blobs")
BACKENDS = {
    "images": ("00", "01", "10"),
    "nested": ("00", "10"),
    "crops": ("00", "10"),
    "texts": ("30",),
    "blobs": ("31",),
}
FLAT_KEYS = st.one_of(st.integers(0, 4), st.sampled_from(["a", "b", "ä"]))
KEYS = {
    **dict.fromkeys(NAMES, FLAT_KEYS),
    "nested": st.tuples(st.sampled_from([0, "s"]), FLAT_KEYS),
}

ADDED = {
    "images": lambda co, name, backend: co.add_ndarray_column(
        name, shape=SHAPE, dtype="uint8", backend=backend
    ),
    "crops": lambda co, name, backend: co.add_ndarray_column(
        name, shape=BOUND, dtype="int16", variable_shape=True, backend=backend
    ),
    "texts": lambda co, name, backend: co.add_str_column(name, backend=backend),
    "blobs": lambda co, name, backend: co.add_bytes_column(name, backend=backend),
    "nested": lambda co, name, backend: co.add_ndarray_column(
        name, shape=3, dtype="float32", contains_subsamples=True, backend=backend
    ),
}


def values(name: str) -> st.SearchStrategy[Any]:
    """Samples of a column; few of them, so that equal ones are often put."""
    if name == "nested":
        return st.integers(0, 5).map(lambda n: np.full(3, n, np.float32))
    if name == "crops":
        sides = st.tuples(*(st.integers(0, size) for size in BOUND))
        return sides.map(lambda shape: np.full(shape, sum(shape), np.int16))
    if name == "texts":
        return st.sampled_from(["", "a", "ä", "text " * 50, "\N{OLD ITALIC LETTER A}"])
    if name == "blobs":
        return st.sampled_from([b"", b"\0", b"bytes" * 60])
    return st.integers(0, 5).map(lambda n: np.full(SHAPE, n, np.uint8))


def plain(value: Any) -> Any:
    """A sample as something that can be compared."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    return value
