"""Any legal options, any dtype and shape: rows come back in any order, and h5py reads the file."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from backends.test_hdf5_segment import append, make_segment, read_plainly, read_rows
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hangard.backends.hdf5_writer import Hdf5Writer
from hangard.model.directory import FORMAT_HDF5, FORMAT_HDF5_FIXED
from hangard.model.options import BLOSC2_CODECS, hdf5_options, resolve_backend

LEVELS = st.integers(0, 9)
BLOSC2 = st.fixed_dictionaries(
    {
        "complib": st.sampled_from(
            [f"{f}:{c}" for f in ("blosc", "blosc2") for c in BLOSC2_CODECS]
        ),
        "complevel": LEVELS,
        "shuffle": st.sampled_from(["none", "byte", "bit", None]),
    }
)
GZIP = st.fixed_dictionaries(
    {"complib": st.just("gzip"), "complevel": LEVELS, "shuffle": st.sampled_from([True, "none"])}
)
LZF = st.fixed_dictionaries({"complib": st.just("lzf"), "shuffle": st.booleans()})
NONE = st.just({"complib": "none"})
CHECKED = st.sampled_from([{}, {"fletcher32": True}, {"fletcher32": False}])
OPTIONS = st.builds(lambda a, b: {**a, **b}, st.one_of(BLOSC2, GZIP, LZF, NONE), CHECKED)


@pytest.fixture(scope="module")
def writer():
    with Hdf5Writer() as writer:
        yield writer


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    options=OPTIONS,
    code=st.sampled_from([FORMAT_HDF5, FORMAT_HDF5_FIXED]),
    dtype=st.sampled_from(["|b1", "|u1", "<i2", "<f4", "<f8", "<c16"]),
    shape=st.lists(st.integers(1, 30), max_size=3).map(tuple),
    n=st.integers(1, 700),
    top=st.sampled_from([1, 3, 255]),
    seed=st.integers(0, 9),
)
def test_rows_come_back_whatever_the_options(writer, options, code, dtype, shape, n, top, seed):
    _, resolved = resolve_backend(f"{code:02d}", options, shape=shape)
    random = np.random.default_rng(seed)
    n = max(1, min(n, 2_000_000 // max(1, int(np.prod(shape)))))
    samples = random.integers(0, top + 1, (n, *shape)).astype(dtype)
    with tempfile.TemporaryDirectory() as folder:
        segment = make_segment(
            writer,
            Path(folder) / "a.h5",
            dtype,
            shape,
            hdf5_options(resolved),
            format_code=code,
        )
        specs = append(segment, samples)
        order = random.permutation(n)
        row_bytes = samples.nbytes // n
        found = read_rows(segment, np.ascontiguousarray(specs[order]), row_bytes)
        assert found.tobytes() == samples[order].tobytes()
        segment.seal()
        if seed == 0:  # h5py takes a second to start
            plain = read_plainly(segment.path)
            assert plain.tobytes() == samples.tobytes()
