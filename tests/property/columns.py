"""The columns that the machine of test_repository_machine knows: a name stands for one kind."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

SHAPE = (2, 3)
BOUND = (4, 2)

NAMES = ("images",)
BACKENDS = {"images": ("00", "10")}
FLAT_KEYS = st.one_of(st.integers(0, 4), st.sampled_from(["a", "b", "ä"]))
KEYS = {"images": FLAT_KEYS}

ADDED = {
    "images": lambda co, name, backend: co.add_ndarray_column(
        name, shape=SHAPE, dtype="uint8", backend=backend
    )
}


def values(name: str) -> st.SearchStrategy[Any]:
    """Samples of a column; few of them, so that equal ones are often put."""
    return st.integers(0, 5).map(lambda n: np.full(SHAPE, n, np.uint8))


def plain(value: Any) -> Any:
    """A sample as something that can be compared."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    return value
