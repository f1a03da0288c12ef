"""Backends of columns: changed at any time, recorded in the history."""

import numpy as np
import pytest
from client.hangar.conftest import ROW

BIG = np.arange(5_000, dtype="i4")
ZSTD = {"complib": "blosc:zstd", "complevel": 5, "shuffle": "byte"}
OPTIONS = [
    *({"complib": f"blosc:{name}", "complevel": 3, "shuffle": "bit"} for name in ("lz4", "zlib")),
    {"complib": "blosc:blosclz", "complevel": 0, "shuffle": None},
    {"complib": "gzip", "complevel": 4, "shuffle": True},
    {"complib": "lzf", "complevel": None, "shuffle": False},
    {"complib": "gzip", "complevel": 1, "shuffle": False, "fletcher32": True},
]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("backend", ["00", "01"])
def test_every_family_of_options_is_kept_and_reads_back(co, backend, options):
    column = co.add_ndarray_column("y", prototype=BIG, backend=backend, backend_options=options)
    column["a"] = BIG
    assert column.backend == backend
    assert column.backend_options.items() >= options.items()
    assert (column["a"] == BIG).all()
    again = co.add_ndarray_column(
        "z", prototype=BIG, backend=column.backend, backend_options=column.backend_options
    )
    assert again.backend_options == column.backend_options


def test_a_change_of_the_backend_is_a_change_to_commit(fresh):
    co = fresh.checkout(write=True)
    column = co.add_ndarray_column("y", prototype=BIG, backend="10")
    column["old"] = BIG
    first = co.commit("first")
    assert co.diff.status() == "CLEAN"
    column.change_backend("00", ZSTD)
    assert (column.backend, column.backend_options["complib"]) == ("00", "blosc:zstd")
    assert co.diff.status() == "DIRTY"
    ((key, _),) = co.diff.staged().diff.mutated.schema.items()
    assert key.column == "y"
    column["new"] = BIG + 1
    second = co.commit("second")
    co.close()
    for commit, backend in ((first, "10"), (second, "00")):
        read = fresh.checkout(commit=commit)["y"]
        assert read.backend == backend
        assert (read["old"] == BIG).all()
    assert (read["new"] == BIG + 1).all()


def test_options_left_out_are_the_backends_defaults(co):
    column = co.add_ndarray_column("y", prototype=BIG, backend="10")
    plain = co.add_ndarray_column("z", prototype=BIG, backend="00")
    column.change_backend("00")
    assert column.backend_options == plain.backend_options


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("77",), ValueError),
        (("30",), ValueError),
        (("00", {"complib": "blosc:snappy", "complevel": 3, "shuffle": None}), ValueError),
        (("00", {"complib": "gzip", "complevel": 10, "shuffle": True}), ValueError),
        (("00", {"unheard": 1}), TypeError),
        (("10", {"complevel": 1}), TypeError),
        (("00", [1]), TypeError),
    ],
)
def test_a_change_that_is_refused_changes_nothing(co, arguments, error):
    column = co.add_ndarray_column("y", prototype=BIG, backend="00", backend_options=ZSTD)
    before = column.backend, column.backend_options
    with pytest.raises(error):
        column.change_backend(*arguments)
    assert (column.backend, column.backend_options) == before
    column["a"] = BIG
    assert (column["a"] == BIG).all()


def test_the_older_spelling_of_a_change(column):
    column.change_default_backend("00")
    assert column.backend == "00"
    column.change_default_backend(backend="00", **ZSTD)
    assert column.backend_opts["complib"] == "blosc:zstd"
    column.change_default_backend({"backend": "10"})
    assert (column.backend, column.backend_opts) == ("10", {})
    column["c"] = ROW
    assert (column["c"] == ROW).all()
