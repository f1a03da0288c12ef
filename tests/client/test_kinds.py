"""Columns of text, of bytes and of variable shape: what a caller sees of them."""

import hangard_client
import numpy as np
import pytest

from hangard.errors import (
    Busy,
    InvalidRequest,
    InvalidType,
    UnknownKey,
)
from hangard.limits import LOG_ROWS_BYTES_MAX

WORDS = ["", "a", "zwölf", "naïve 𝄞", "two words " * 40]
RANDOM = np.random.default_rng(3)


def texts(n, seed=0):
    random = np.random.default_rng(seed)
    return [f"{i} {WORDS[random.integers(len(WORDS))]}" * random.integers(1, 9) for i in range(n)]


def blobs(n, seed=0):
    random = np.random.default_rng(seed)
    return [random.bytes(int(random.integers(0, 700))) for _ in range(n)]


def arrays(n, seed=0, dtype="u1"):
    random = np.random.default_rng(seed)
    return [random.integers(0, 99, (*random.integers(0, 25, 2), 3)).astype(dtype) for _ in range(n)]


KINDS = {
    "str": (lambda co: co.add_str_column("x"), texts),
    "bytes": (lambda co: co.add_bytes_column("x"), blobs),
    "hdf5": (
        lambda co: co.add_ndarray_column(
            "x", (24, 24, 3), "u1", variable_shape=True, backend="hdf5"
        ),
        arrays,
    ),
    "gzip": (
        lambda co: co.add_ndarray_column(
            "x",
            (24, 24, 3),
            "i2",
            variable_shape=True,
            backend={"name": "hdf5", "complib": "gzip", "complevel": 1, "shuffle": True},
        ),
        lambda n, seed=0: arrays(n, seed, "i2"),
    ),
    "numpy": (
        lambda co: co.add_ndarray_column(
            "x", (24, 24, 3), "c8", variable_shape=True, backend="numpy"
        ),
        lambda n, seed=0: arrays(n, seed, "c8"),
    ),
    "lines": (
        lambda co: co.add_ndarray_column("x", 300, "f4", variable_shape=True),
        lambda n, seed=0: [np.arange(i % 300, dtype="f4") + seed for i in range(n)],
    ),
}


def same(found, wanted):
    if isinstance(wanted, np.ndarray):
        return (
            found.shape == wanted.shape and found.dtype == wanted.dtype and (found == wanted).all()
        )
    return type(found) is type(wanted) and found == wanted


def all_same(found, wanted):
    found = list(found)
    return len(found) == len(wanted) and all(map(same, found, wanted))


@pytest.fixture(params=list(KINDS))
def kind(request):
    """What adds a column `x`, and what makes n samples for it."""
    return KINDS[request.param]


@pytest.mark.parametrize("repo", ["windows", "bodies"], indirect=True)
@pytest.mark.parametrize("n", [7, 1500])
def test_samples_come_back_as_they_were(repo, branch, kind, n):
    add, make = kind
    samples = make(n)
    with repo.checkout(branch, write=True) as co:
        column = add(co)
        column.put_many(range(n), samples)
        assert all_same(column.get_many(range(n)), samples)
        assert all_same(column.values(), samples)
        assert same(column[3], samples[3])
        co.commit("samples")
        assert all_same(column.get_many([5, 0, 5]), [samples[5], samples[0], samples[5]])
    with repo.checkout(branch) as co:
        column = co["x"]
        assert all_same(column.get_many(range(n)), samples)
        assert all_same(column.values(), samples)
        assert all(same(found, samples[key]) for key, found in column.items())
        assert same(column.get(n - 1), samples[-1])
        assert column.get("nobody") is None
        assert isinstance(column.get_many(range(3)), list)
        batches = list(column._reader.batches(4))
        assert [len(keys) for keys, _ in batches][:-1] == [4] * (len(batches) - 1)
        assert all_same([sample for _, part in batches for sample in part], samples)
        places = list(column.locations())
        if isinstance(samples[0], np.ndarray):
            assert [place.shape for place in places] == [sample.shape for sample in samples]
        with pytest.raises(InvalidRequest) as caught:
            column.get_many(range(3), out=np.empty((3, 2), "u1"))
        assert caught.value.code == "invalid-output"


def test_a_session_sees_what_it_staged_over_what_is_committed(repo, branch, kind):
    add, make = kind
    first, second = make(12), make(12, seed=1)
    with repo.checkout(branch, write=True) as co:
        column = add(co)
        column.update(dict(enumerate(first)))
        co.commit("first")
    with repo.checkout(branch, write=True) as co:
        column = co["x"]
        column[0] = second[0]
        column[0] = second[1]
        column["new"] = second[2]
        del column[3]
        column.put_many([4, 5], second[4:6])
        column[6] = second[6]
        assert same(column[0], second[1])
        assert 3 not in column
        wanted = [second[1], first[1], second[4], second[5], second[6], second[2]]
        assert all_same(column.get_many([0, 1, 4, 5, 6, "new"]), wanted)
        with pytest.raises(UnknownKey):
            column.get_many([1, 3])
        assert len(column) == 12
        assert dict(column.items()).keys() == {0, 1, 2, *range(4, 12), "new"}
        column[3] = second[3]
        co.commit("second")
    with repo.checkout(branch) as co:
        assert all_same(
            co["x"].get_many([0, 2, 3, "new"]), [second[1], first[2], second[3], second[2]]
        )


async def test_async_columns_hold_every_kind(repo, branch, kind):
    add, make = kind
    samples = make(40)
    async with hangard_client.AsyncRepository(
        repo.path, user_name="Ada", user_email="ada@example.org"
    ) as far:
        async with far.checkout(branch, write=True) as co:
            column = await add(co)
            await column.put_many(range(20), samples[:20])
            await column.update(zip(range(20, 40), samples[20:], strict=True))
            assert same(await column.read(30), samples[30])
            await co.commit("all")
        async with far.checkout(branch) as co:
            assert all_same(await co["x"].get_many(range(40)), samples)
            assert all_same([sample async for sample in co["x"].values()], samples)


def test_a_client_that_cannot_read_the_files_gets_every_kind(repo, branch, kind, monkeypatch):
    add, make = kind
    samples = make(900)
    with repo.checkout(branch, write=True) as co:
        add(co).put_many(range(900), samples)
        co.commit("all")

    def refuse(*arguments):
        raise Busy("no slot is left", code="readers-full")

    with hangard_client.Repository(repo.path) as far:
        for name in ("branch", "branches", "resolve", "checkout", "checkout_commit"):
            monkeypatch.setattr(far._inner._reader, name, refuse)
        with far.checkout(branch) as co:
            column = co["x"]
            assert same(column[3], samples[3])
            assert all_same(column.get_many(range(900)), samples)
            assert all_same(column.values(), samples)
            if isinstance(samples[0], str):
                with pytest.raises(InvalidRequest):
                    column.view(3)
            elif isinstance(samples[0], bytes):
                assert column.view(3) == samples[3]
            else:
                assert same(column.view(3), samples[3])
                assert not column.view(3).flags.writeable


def test_arrays_that_were_read_belong_to_the_caller(repo, branch):
    with repo.checkout(branch, write=True) as co:
        column = co.add_ndarray_column("x", (9, 9), "u1", variable_shape=True)
        given = np.ones((3, 4), "u1")
        column[0] = given
        given[:] = 7
        found = column[0]
        found[:] = 9
        assert (column[0] == 1).all()
        column[1] = np.arange(81, dtype=">u1").reshape(9, 9).T
        column[2] = np.ones((4, 4), "u1")[::2, ::2]
        co.commit("all")
    with repo.checkout(branch) as co:
        assert co["x"][0].flags.writeable
        assert (co["x"][1] == np.arange(81).reshape(9, 9).T).all()
        assert co["x"][2].shape == (2, 2)


def test_big_endian_samples_are_converted(repo, branch):
    with repo.checkout(branch, write=True) as co:
        column = co.add_ndarray_column("x", 5, ">i4", variable_shape=True)
        column.put_many([0, 1], [np.array([1, 2], ">i4"), np.array([3], "<i4")])
        assert column[0].tolist() == [1, 2]
        assert column.dtype == np.dtype("<i4")
        co.abort()


@pytest.mark.parametrize(
    ("add", "value", "kind", "code"),
    [
        ("str", b"bytes", InvalidType, "not-a-str"),
        ("str", 3, InvalidType, "not-a-str"),
        ("str", "lone \ud800", InvalidRequest, "invalid-text"),
        ("bytes", "text", InvalidType, "not-bytes"),
        ("bytes", 5, InvalidType, "not-bytes"),
        ("hdf5", [1, 2], InvalidType, "not-an-array"),
        ("hdf5", np.zeros((2, 2, 3), "f4"), InvalidRequest, "wrong-dtype"),
        ("hdf5", np.zeros((2, 3), "u1"), InvalidRequest, "wrong-shape"),
        ("hdf5", np.zeros((2, 25, 3), "u1"), InvalidRequest, "wrong-shape"),
        ("lines", np.zeros(301, "f4"), InvalidRequest, "wrong-shape"),
    ],
)
def test_what_does_not_fit_is_refused_at_once(repo, branch, add, value, kind, code):
    with repo.checkout(branch, write=True) as co:
        column = KINDS[add][0](co)
        for put in (
            lambda: column.__setitem__(0, value),
            lambda: column.put_many([0], [value]),
            lambda: column.update({0: value}),
        ):
            with pytest.raises(kind) as caught:
                put()
            assert caught.value.code == code
            assert "'x'" in str(caught.value)
        assert len(column) == 0
        with pytest.raises(InvalidRequest):
            column.put_many([0, 1], [KINDS[add][1](1)[0]])
        co.abort()


def test_bytes_like_samples_are_bytes(repo, branch):
    with repo.checkout(branch, write=True) as co:
        column = co.add_bytes_column("x")
        column.put_many(range(3), [bytearray(b"one"), memoryview(b"two"), b""])
        assert column.get_many(range(3)) == [b"one", b"two", b""]
        co.abort()


def test_parts_of_samples_are_read(repo, branch):
    with repo.checkout(branch, write=True) as co:
        co.add_str_column("text")["k"] = "zwölf Boxer"
        co.add_bytes_column("blob")["k"] = b"0123456789"
        co.add_ndarray_column("x", (5, 5), "u1", variable_shape=True)["k"] = np.eye(4, dtype="u1")
        assert co["text", "k", 2:5] == "ölf"
        assert co["blob"]["k", :3] == b"012"
        co.commit("all")
    with repo.checkout(branch) as co:
        assert co["text", "k", 2:5] == "ölf"
        assert co["blob"]["k", :3] == b"012"
        assert co["blob"]["k", 3] == ord("3")
        assert co["x", "k", 1:3, 1].tolist() == [1, 0]
        with pytest.raises(InvalidRequest) as caught:
            co["text"]["k", 1, 2]
        assert caught.value.code == "invalid-index"


def test_views_are_of_what_lies_uncompressed(repo, branch):
    lines = [np.arange(i, dtype="u4") for i in range(1, 500)]
    with repo.checkout(branch, write=True) as co:
        co.add_ndarray_column("x", 500, "u4", variable_shape=True, backend="numpy").put_many(
            range(499), lines
        )
        co.add_bytes_column("noise")[0] = RANDOM.bytes(2 * LOG_ROWS_BYTES_MAX)
        co.add_str_column("text")[0] = "text"
        co.commit("all")
    with repo.checkout(branch) as co:
        assert (co["x"].view(400) == lines[400]).all()
        assert not co["x"].view(400).flags.writeable
        assert isinstance(co["noise"].view(0), memoryview)
        assert bytes(co["noise"].view(0)) == co["noise"][0]
        with pytest.raises(InvalidRequest) as caught:
            co["text"].view(0)
        assert caught.value.code == "not-viewable"


def test_samples_larger_than_a_window_travel_in_pieces(repo, branch):
    text = "long " * 2_000_000
    array = np.arange(3_000_000, dtype="f8").reshape(-1, 3)
    noise = RANDOM.bytes(9_000_000)
    with repo.checkout(branch, write=True) as co:
        co.add_str_column("text").put_many(["a", "b", "c"], ["short", text, "shorter"])
        co.add_bytes_column("blob")["b"] = noise
        for backend in ("hdf5", "numpy"):
            co.add_ndarray_column(backend, (2**21, 3), "f8", variable_shape=True, backend=backend)
            co[backend].put_many([0, 1, 2], [array[:1], array, array[5:9]])
        co.commit("large")
    with repo.checkout(branch) as co:
        assert co["text"].get_many(["a", "b", "c"]) == ["short", text, "shorter"]
        assert co["blob"]["b"] == noise
        for backend in ("hdf5", "numpy"):
            assert all_same(co[backend].get_many(range(3)), [array[:1], array, array[5:9]])


@pytest.mark.parametrize("backend", ["00", "01", "10"])
@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2)])
@pytest.mark.parametrize("n", [3, 200_000])
def test_samples_without_dimensions_or_items_are_samples(repo, branch, backend, shape, n):
    rows = np.arange(n, dtype="f8").reshape(n, *([1] * len(shape))) * np.ones(shape)
    with repo.checkout(branch, write=True) as co:
        column = co.add_ndarray_column("x", shape, "f8", backend=backend)
        column.put_many(range(n), rows)
        column["last"] = np.ones(shape)
        co.commit("all")
    with repo.checkout(branch) as co:
        assert co["x"].get_many(range(n)).shape == (n, *shape)
        assert (co["x"].get_many(range(n)) == rows).all()
        assert co["x"][2].shape == shape
        assert (co["x"]["last"] == np.ones(shape)).all()


@pytest.mark.parametrize("backend", ["00", "10"])
def test_a_column_of_variable_shape_may_have_no_dimensions(repo, branch, backend):
    with repo.checkout(branch, write=True) as co:
        column = co.add_ndarray_column("x", (), "i8", variable_shape=True, backend=backend)
        column.put_many(range(50_000), [np.array(i) for i in range(50_000)])
        column["scalar"] = np.int64(5)
        co.commit("all")
    with repo.checkout(branch) as co:
        assert [int(value) for value in co["x"].get_many([0, 7, 49_999])] == [0, 7, 49_999]
        assert co["x"]["scalar"].shape == ()


def test_equal_samples_are_stored_once_whatever_their_column(repo, branch):
    words = texts(3000)
    with repo.checkout(branch, write=True) as co:
        for name in ("a", "b"):
            co.add_str_column(name).put_many(range(3000), words)
        co.add_bytes_column("c").put_many(range(3000), [word.encode() for word in words])
        co.add_ndarray_column("fixed", (4, 6), "u1")[0] = np.ones((4, 6), "u1")
        varied = co.add_ndarray_column("varied", (9, 9), "u1", variable_shape=True)
        varied.put_many([0, 1], [np.ones((4, 6), "u1"), np.ones((6, 4), "u1")])
        co.commit("all")
    with repo.checkout(branch) as co:
        places = {name: [place.digest for place in co[name].locations()] for name in co}
        assert places["a"] == places["b"]
        assert not set(places["a"]) & set(places["c"])
        assert len({*places["fixed"], *places["varied"]}) == 3
        assert co["varied"][0].shape == (4, 6)
        assert co["varied"][1].shape == (6, 4)
        assert co["fixed"][0].shape == (4, 6)


def test_another_backend_takes_later_samples_and_leaves_the_others(repo, branch):
    first, second = arrays(800, seed=8), arrays(800, seed=9)
    with repo.checkout(branch, write=True) as co:
        column = co.add_ndarray_column("x", (24, 24, 3), "u1", variable_shape=True, backend="10")
        column.put_many(range(800), first)
        column.change_backend("hdf5", {"complib": "blosc2:zstd", "complevel": 1})
        column.put_many(range(800, 1600), second)
        co.commit("both")
        with pytest.raises(InvalidRequest) as caught:
            column.change_backend("01")
        assert caught.value.code == "unsuitable-backend"
        with pytest.raises(InvalidRequest):
            co.add_str_column("t", backend="numpy")
    with repo.checkout(branch) as co:
        assert all_same(co["x"].values(), first + second)
        assert {place.format_code for place in co["x"].locations()} >= {"00", "10"}


@pytest.mark.parametrize("option", ["variable_shape", "contains_subsamples"])
def test_what_is_true_or_false_is_no_number(repo, branch, option):
    with repo.checkout(branch, write=True) as co:
        with pytest.raises(InvalidType) as caught:
            co.add_ndarray_column("x", 3, "u1", **{option: 1})
        assert caught.value.code == "not-a-bool"
        co.abort()


def test_columns_tell_what_they_hold(repo, branch):
    with repo.checkout(branch, write=True) as co:
        text, varied = co.add_str_column("t"), co.add_ndarray_column("v", (3, 4), "f4", None, True)
        assert (text.kind, text.variable_shape, text.backend) == ("str", True, "30")
        assert (varied.kind, varied.shape, varied.dtype) == ("ndarray", (3, 4), np.dtype("f4"))
        assert "up to (3, 4)" in repr(varied)
        assert "str" in repr(text)
        assert co.add_bytes_column("b", backend="bytes").kind == "bytes"
        assert not co.add_ndarray_column("f", 3, "f4").variable_shape
        co.abort()


def test_nested_columns_hold_every_kind(repo, branch):
    with repo.checkout(branch, write=True) as co:
        co.add_str_column("t", contains_subsamples=True)["s"] = {"a": "one", 1: "zwei"}
        co.add_bytes_column("b", contains_subsamples=True)["s"] = {"a": b"one"}
        varied = co.add_ndarray_column("v", (4, 4), "u1", None, True, True)
        varied["s"] = {0: np.ones((1, 2), "u1"), 1: np.ones((4, 4), "u1")}
        co.commit("all")
    with repo.checkout(branch) as co:
        assert co["t", "s", "a"] == "one"
        assert dict(co["t"]["s"].items()) == {1: "zwei", "a": "one"}
        assert co["b", "s", "a"] == b"one"
        assert co["v", "s", 0].shape == (1, 2)
        assert co["v", "s", 1].shape == (4, 4)
