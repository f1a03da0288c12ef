"""Samples of any shapes through a repository and back, in every backend that takes them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hangard_client
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as numpy_st

DTYPES = ("bool", "u1", "i2", "f2", "<f4", ">f8", "c16", "longdouble")
BACKENDS: dict[str, Any] = {
    "hdf5": "00",
    "gzip": {"backend": "00", "complib": "gzip", "complevel": 1, "shuffle": True},
    "none": {"backend": "00", "complib": "none", "fletcher32": True},
    "numpy": "10",
}
# Above the rows that a flush puts into the log, so that segments are written too.
REPEATS = st.sampled_from([1, 1, 3000])
_numbers = itertools.count()


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[hangard_client.Repository]:
    path: Path = tmp_path_factory.mktemp("ragged") / "repo"
    repository = hangard_client.Repository(
        path, create=True, idle_s=60, user_name="Ada", user_email="ada@example.org"
    )
    yield repository
    repository.stop()
    repository.close()


@st.composite
def arrays(draw: st.DrawFn) -> tuple[tuple[int, ...], np.dtype[Any], list[np.ndarray[Any, Any]]]:
    """The bound of a column, its dtype, and some samples."""
    bound = tuple(draw(st.lists(st.integers(0, 6), max_size=4)))
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    shapes = draw(st.lists(st.tuples(*(st.integers(0, size) for size in bound)), max_size=6))
    samples = [draw(numpy_st.arrays(dtype, shape)) for shape in shapes]
    return bound, dtype, samples


def many(samples: list[Any], repeats: int) -> list[Any]:
    """The samples over and over; arrays differ from each other in their first item."""
    result = []
    for i, sample in enumerate(samples * repeats):
        if isinstance(sample, np.ndarray) and sample.size and repeats > 1:
            sample = sample.copy()
            sample.reshape(-1)[0] = i % 100
        result.append(sample)
    return result


def round_trip(
    repo: hangard_client.Repository, add: Any, samples: list[Any], split: int
) -> list[Any]:
    """Samples that were put in two ways, committed, and read in two ways."""
    branch = f"b{next(_numbers)}"
    repo.create_branch(branch)
    split = min(split, len(samples))
    with repo.checkout(branch, write=True) as co:
        column = add(co)
        column.put_many(range(split), samples[:split])
        for key in range(split, len(samples)):
            column[key] = samples[key]
        staged = column.get_many(range(len(samples)))
        co.commit("all", allow_empty=True)
    with repo.checkout(branch) as co:
        found: list[Any] = co["x"].get_many(range(len(samples)))
        for one, other, third in zip(found, staged, co["x"].values(), strict=True):
            assert np.array_equal(one, other, equal_nan=isinstance(one, np.ndarray))
            assert np.array_equal(one, third, equal_nan=isinstance(one, np.ndarray))
    return found


@pytest.mark.parametrize("backend", list(BACKENDS))
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(drawn=arrays(), repeats=REPEATS, split=st.integers(0, 20_000))
def test_arrays_come_back_with_their_shapes(
    repo: hangard_client.Repository, backend: str, drawn: Any, repeats: int, split: int
) -> None:
    bound, dtype, few = drawn
    samples = many(few, repeats)

    def add(co: Any) -> Any:
        return co.add_ndarray_column(
            "x", bound, dtype, variable_shape=True, backend=BACKENDS[backend]
        )

    found = round_trip(repo, add, samples, split)
    for sample, wanted in zip(found, samples, strict=True):
        assert sample.shape == wanted.shape
        assert sample.dtype == wanted.dtype.newbyteorder("<")
        assert sample.tobytes() == wanted.astype(sample.dtype).tobytes()


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.text(max_size=60), max_size=8), REPEATS, st.integers(0, 30_000))
def test_any_text_that_has_an_encoding_comes_back(
    repo: hangard_client.Repository, few: list[str], repeats: int, split: int
) -> None:
    samples = [f"{i % 997} {text}" for i, text in enumerate(few * repeats)] + few
    assert round_trip(repo, lambda co: co.add_str_column("x"), samples, split) == samples


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.binary(max_size=60), max_size=8), REPEATS, st.integers(0, 30_000))
def test_any_bytes_come_back(
    repo: hangard_client.Repository, few: list[bytes], repeats: int, split: int
) -> None:
    samples = [b"%d " % (i % 997) + blob for i, blob in enumerate(few * repeats)] + few
    assert round_trip(repo, lambda co: co.add_bytes_column("x"), samples, split) == samples
