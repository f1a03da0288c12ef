"""Small commits on branches that go apart."""

from __future__ import annotations

import numpy as np


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
