"""Choosing and changing a column's backend: each test is one of the things a user may do."""

import asyncio
import itertools

import hangard_client
import numpy as np
import pytest
from click.testing import CliRunner
from hangard_client.async_repository import AsyncRepository

from hangard.cli.main import cli
from hangard.errors import InvalidRequest

DEFAULTS = {"complib": "blosc2:lz4", "complevel": 5, "shuffle": "byte"}
ZSTD = {"shuffle": "byte", "complib": "blosc:zstd", "complevel": 5, "fletcher32": True}
ROWS = 400  # of 28x28 bytes: more than what goes to the log, whatever the backend


_seeds = itertools.count()


@pytest.fixture
def rows():
    """Images that compress and that the repository does not hold yet: those it holds stay where
    they are."""
    random = np.random.default_rng(next(_seeds))
    images = np.sort(random.integers(0, 4, (4 * ROWS, 784), np.uint8), axis=1)
    images[:, :8] = random.integers(0, 256, (4 * ROWS, 8), np.uint8)
    return images.reshape(-1, 28, 28)


def add(co, name="faces", **settings):
    return co.add_ndarray_column(name, shape=(28, 28), dtype="uint8", **settings)


def test_at_creation_by_code(repo, branch):
    with repo.checkout(branch, write=True) as co:
        for code in ("00", "01", "10"):
            assert add(co, f"by-{code}", backend=code).backend == code
        co.commit("columns of every code")


def test_at_creation_by_name(repo, branch):
    with repo.checkout(branch, write=True) as co:
        for name, code in {"hdf5": "00", "hdf5-fixed": "01", "numpy": "10"}.items():
            assert add(co, name, backend=name).backend == code
        co.commit("columns of every name")


@pytest.mark.parametrize("key", ["backend", "name"])
def test_at_creation_by_a_dict_with_options(repo, branch, key, rows):
    with repo.checkout(branch, write=True) as co:
        faces = add(co, backend={key: "00", **ZSTD})
        assert (faces.backend, faces.backend_options) == ("00", ZSTD)
        faces.put_many(range(ROWS), rows[:ROWS])
        co.commit("zstd with fletcher32")
    with repo.checkout(branch) as co:
        assert np.array_equal(co["faces"].get_many(range(ROWS)), rows[:ROWS])
        assert {place.codec for place in co["faces"].locations()} == {"blosc2"}


def test_at_creation_by_backend_and_backend_options(repo, branch):
    with repo.checkout(branch, write=True) as co:
        faces = add(co, backend="hdf5", backend_options=ZSTD)
        assert (faces.backend, faces.backend_options) == ("00", ZSTD)
        co.commit("options beside the backend")


def test_only_a_code_means_the_defaults_of_that_backend(repo, branch):
    with repo.checkout(branch, write=True) as co:
        assert add(co, backend="01").backend_options == DEFAULTS
        co.commit("defaults")


def test_numpy_needs_no_options(repo, branch):
    with repo.checkout(branch, write=True) as co:
        assert add(co, backend="numpy").backend_options == {}
        with pytest.raises(InvalidRequest, match="has no options, but got 'complevel'"):
            add(co, "more", backend="numpy", backend_options={"complevel": 1})
        co.commit("numpy")


WAYS = [
    lambda column: column.change_backend("hdf5", ZSTD),
    lambda column: column.change_backend({"backend": "00", **ZSTD}),
    lambda column: column.change_backend(backend_opts={"name": "hdf5", **ZSTD}),
    lambda column: column.change_backend(**{"backend": "00", **ZSTD}),
    lambda column: column.change_backend(name="hdf5", **ZSTD),
    lambda column: column.change_backend("hdf5", **ZSTD),
]


@pytest.mark.parametrize("way", range(len(WAYS)))
def test_at_any_time_by_change_backend(repo, branch, way):
    with repo.checkout(branch, write=True) as co:
        faces = add(co, backend="numpy")
        WAYS[way](faces)
        assert faces.backend_opts == {"backend": "00", **ZSTD}
        faces.change_backend("01")
        assert faces.backend_opts == {"backend": "01", **DEFAULTS}
        co.commit("changed twice")
    with repo.checkout(branch) as co:
        assert co["faces"].backend_opts == {"backend": "01", **DEFAULTS}


def test_at_any_time_by_change_backend_of_an_asynchronous_column(repo, branch):
    async def change():
        async with (
            AsyncRepository(repo.path, user_name="Ada", user_email="a@example.org") as theirs,
            theirs.checkout(branch, write=True) as co,
        ):
            faces = await co.add_ndarray_column("faces", shape=(28, 28), dtype="uint8")
            assert faces.backend == "01"
            await faces.change_backend({"name": "numpy"})
            assert faces.backend_opts == {"backend": "10"}
            await faces.change_backend(backend="hdf5", complib="gzip")
            await co.commit("changed")
            return faces.backend_opts

    gzip = {"complib": "gzip", "complevel": 5, "shuffle": True}
    assert asyncio.run(change()) == {"backend": "00", **gzip}
    with repo.checkout(branch) as co:
        assert co["faces"].backend_options == gzip


def test_a_change_alone_can_be_committed(repo, branch):
    with repo.checkout(branch, write=True) as co:
        add(co, backend="numpy")
        co.commit("numpy")
    with repo.checkout(branch, write=True) as co:
        co["faces"].change_backend("hdf5")
        co.commit("hdf5")
    with repo.checkout(branch) as co:
        assert co["faces"].backend == "00"


def test_what_is_reported_creates_an_equal_column(repo, branch):
    with repo.checkout(branch, write=True) as co:
        for name, settings in {"a": {}, "b": {"backend": "00", **ZSTD}, "c": "numpy"}.items():
            column = add(co, name, backend=settings or None)
            again = add(co, f"{name}-again", backend=column.backend_opts)
            apart = add(
                co,
                f"{name}-apart",
                backend=column.backend,
                backend_options=column.backend_options,
            )
            assert column.schema == again.schema == apart.schema
        co.commit("pairs")
    with repo.checkout(branch) as reading, repo.checkout(branch, write=True) as writing:
        for name in ("a", "b", "c"):
            opts = reading[name].backend_opts
            assert opts == writing[name].backend_opts
            assert add(writing, f"{name}-read", backend=opts).schema == reading[name].schema
        writing.commit("equal columns")


def test_records_stay_independent_in_one_column_over_several_backends(repo, branch, rows):
    settings = ["numpy", "hdf5", {"name": "hdf5-fixed", "complib": "gzip"}, {"name": "00", **ZSTD}]
    with repo.checkout(branch, write=True) as co:
        faces = add(co)
        for i, setting in enumerate(settings):
            faces.change_backend(setting)
            faces.put_many(range(i * ROWS, (i + 1) * ROWS), rows[i * ROWS : (i + 1) * ROWS])
        co.commit("four backends")
    with repo.checkout(branch) as co:
        faces = co["faces"]
        assert np.array_equal(faces.get_many(range(4 * ROWS)), rows)
        places = list(faces.locations([0, ROWS, 2 * ROWS, 3 * ROWS]))
        assert [place.format_code for place in places] == ["10", "00", "01", "00"]
        assert [place.codec for place in places] == ["raw", "blosc2", "gzip", "blosc2"]
        assert len({place.file for place in places}) == 4
        assert np.array_equal(faces[2 * ROWS + 5], rows[2 * ROWS + 5])


def test_old_commits_and_other_branches_have_their_own_options(repo, branch):
    with repo.checkout(branch, write=True) as co:
        faces = add(co, backend={"name": "hdf5", "complevel": 1})
        first = co.commit("level 1")
        faces.change_backend("hdf5", {"complevel": 9})
        co.commit("level 9")
    side = f"{branch}-side"
    repo.create_branch(side, first)
    with repo.checkout(side, write=True) as co:
        assert co["faces"].backend_options["complevel"] == 1
        co["faces"].change_backend("numpy")
        co.commit("numpy on the side")
    for revision, opts in {
        first: {"backend": "00", **DEFAULTS, "complevel": 1},
        branch: {"backend": "00", **DEFAULTS, "complevel": 9},
        side: {"backend": "10"},
    }.items():
        with repo.checkout(revision) as co:
            assert co["faces"].backend_opts == opts


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"backend": "hdf5", "complib": "snappy"}, "complib='snappy'; it may be 'blosc2:blosclz'"),
        ({"backend": "00", "complevel": 11}, "complevel=11 with complib='blosc2:lz4'; it may be 0"),
        ({"backend": "00", "complib": "lzf", "complevel": 5}, "it may be None, 'none'"),
        ({"backend": "01", "fletcher32": "yes"}, "fletcher32='yes'; it may be True, False"),
        ({"backend": "30"}, r"does not store ndarray samples; use 00 \(hdf5\)"),
        ({"backend": "zarr"}, r"unknown backend 'zarr'; there are 00 \(hdf5\)"),
        ({"backend": "10", "shuffle": "byte"}, "no options, but got 'shuffle'"),
        ({"complevel": 5}, "without a backend"),
    ],
)
def test_invalid_combinations_are_refused_at_once_and_change_nothing(repo, branch, spec, said):
    with repo.checkout(branch, write=True) as co:
        faces = add(co, backend="numpy")
        with pytest.raises(InvalidRequest, match=said):
            faces.change_backend(spec)
        with pytest.raises(InvalidRequest, match=said):
            add(co, "other", backend=spec)
        assert faces.backend_opts == {"backend": "10"}
        assert list(co) == ["faces"]
        co.commit("as it was")


def test_a_change_names_one_backend(repo, branch):
    with repo.checkout(branch, write=True) as co:
        faces = add(co, backend="numpy")
        with pytest.raises(InvalidRequest, match="name the backend"):
            faces.change_backend()
        with pytest.raises(InvalidRequest, match="give the backend once"):
            faces.change_backend("hdf5", backend_opts="numpy")
        with pytest.raises(InvalidRequest, match="give the backend once"):
            faces.change_backend({"name": "hdf5"}, complevel=5)
        co.commit("as it was")


@pytest.mark.parametrize("complib", ["gzip", "lzf", "none", "blosc2:zlib", "blosc:blosclz"])
@pytest.mark.parametrize("fletcher32", [False, True])
def test_every_compressor_stores_and_reads(repo, branch, rows, complib, fletcher32):
    with repo.checkout(branch, write=True) as co:
        faces = add(co, backend={"name": "hdf5", "complib": complib, "fletcher32": fletcher32})
        faces.put_many(range(ROWS), rows[:ROWS])
        assert np.array_equal(faces[7], rows[7])
        co.commit("stored")
    with repo.checkout(branch) as co:
        assert np.array_equal(co["faces"].get_many(range(ROWS)), rows[:ROWS])


def test_a_read_column_has_no_change_backend(repo, branch):
    with repo.checkout(branch, write=True) as co:
        add(co)
        co.commit("a column")
    with repo.checkout(branch) as co, pytest.raises(AttributeError):
        co["faces"].change_backend("numpy")
    assert not hasattr(hangard_client.Column, "change_backend")


def test_columns_of_text_bytes_and_any_shape_have_backends_too(repo, branch):
    with repo.checkout(branch, write=True) as co:
        words = co.add_str_column("words")
        blobs = co.add_bytes_column("blobs", backend="bytes")
        ragged = co.add_ndarray_column("ragged", shape=(9, 9), dtype="f4", variable_shape=True)
        assert (words.backend, blobs.backend, ragged.backend) == ("30", "31", "00")
        words.change_backend({"name": "str"})
        for column, backend in ((words, "hdf5"), (blobs, "30"), (ragged, "01")):
            with pytest.raises(InvalidRequest, match="does not store"):
                column.change_backend(backend)
        ragged.change_backend(name="hdf5", complib="lzf")
        ragged["a"] = np.ones((2, 3), "f4")
        co.commit("every kind")
    with repo.checkout(branch) as co:
        assert co["ragged"].backend_options["complib"] == "lzf"
        assert co["words"].backend_opts == {"backend": "30"}


def test_a_nested_column_changes_its_backend(repo, branch, rows):
    with repo.checkout(branch, write=True) as co:
        faces = co.add_ndarray_column(
            "faces", shape=(28, 28), dtype="u1", contains_subsamples=True, backend="numpy"
        )
        faces["ada"] = {0: rows[0], 1: rows[1]}
        faces.change_backend("hdf5", complib="gzip")
        faces["bob"] = {i: rows[i] for i in range(2, ROWS + 2)}
        assert faces.backend_options["complib"] == "gzip"
        co.commit("nested")
    with repo.checkout(branch) as co:
        places = {place.key: place for place in co["faces"].locations()}
        assert places[("bob", 2)].codec == "gzip"
        assert places[("ada", 0)].format_code in ("10", "20")
        assert np.array_equal(co["faces"]["bob", 2], rows[2])


def test_show_prints_where_each_record_lies(repo, branch, rows, monkeypatch):
    with repo.checkout(branch, write=True) as co:
        faces = add(co, backend="numpy")
        faces.put_many(range(ROWS), rows[:ROWS])
        faces.change_backend("hdf5-fixed", {"complib": "gzip"})
        faces.put_many(range(ROWS, 2 * ROWS), rows[ROWS : 2 * ROWS])
        co.commit("two backends")
    monkeypatch.chdir(repo.path)
    shown = CliRunner().invoke(cli, ["show", branch, "--locations"], catch_exceptions=False).stdout
    assert shown.count("format 10 numpy") == shown.count("format 01 hdf5-fixed") == ROWS
    with repo.checkout(branch) as co:
        place = next(iter(co["faces"].locations([ROWS + 3])))
    line = f".hangard/{place.file}, byte {place.offset}, {place.stored_length} bytes gzip, row 3"
    assert line in shown
    assert f"crc32c {place.crc32c:08x}, shape (28, 28)" in shown


def test_repack_rewrites_what_there_is_into_the_present_backend(repo, branch, rows):
    with repo.checkout(branch, write=True) as co:
        faces = add(co, f"faces-{branch}", backend="numpy")
        faces.put_many(range(ROWS), rows[:ROWS])
        faces.change_backend("01", {"complib": "blosc:zstd", "complevel": 1})
        co.commit("from now on zstd")
    assert repo.repack(f"faces-{branch}").rewritten == ROWS
    with repo.checkout(branch) as co:
        column = co[f"faces-{branch}"]
        assert {place.format_code for place in column.locations()} == {"01"}
        assert np.array_equal(column.get_many(range(ROWS)), rows[:ROWS])
