import numpy as np
import pytest

from hangard.errors import (
    AlreadyExists,
    Closed,
    InvalidRequest,
    InvalidType,
    UnknownColumn,
    UnknownKey,
)

pytestmark = pytest.mark.parametrize("repo", ["windows", "bodies"], indirect=True)

EVERY_DTYPE = ["?", "i1", "u1", "<i2", "<u8", "<f2", "<f4", "<f8", "<c8", "<c16"]


def test_what_was_committed_is_read_in_every_way(repo, filled, images):
    with repo.checkout(filled) as co:
        faces = co["faces"]
        assert (faces[7] == images[7]).all()
        assert (faces["ada"] == images[100]).all()
        assert (co["faces", "ada"] == images[100]).all()
        assert (faces["ada", 1:3] == images[100, 1:3]).all()
        assert (co["faces", 3, 2, 1:] == images[3, 2, 1:]).all()
        assert (faces.get_many(range(100)) == images[:100]).all()
        assert (faces.get_many(np.array([5, 3, 5])) == images[[5, 3, 5]]).all()
        out = np.empty((2, 6, 5), np.uint8)
        assert faces.get_many(["ada", 0], out=out) is out
        assert (out == images[[100, 0]]).all()
        assert (faces.view(9) == images[9]).all()
        assert not faces.view(9).flags.writeable
        assert list(faces) == [*range(100), "ada"]
        assert len(faces) == 101
        assert 5 in faces
        assert 500 not in faces
        assert [key for key, _ in faces.items()] == list(faces.keys())
        assert all((sample == images[i]).all() for i, sample in enumerate(faces.values()))
        assert faces.get("nobody") is None
        assert faces.get("nobody", 5) == 5


def test_a_column_tells_what_it_is(repo, filled):
    with repo.checkout(filled) as co:
        faces = co["faces"]
        assert (faces.name, faces.dtype, faces.shape) == ("faces", np.uint8, (6, 5))
        assert (faces.backend, faces.backend_options) == ("10", {})
        assert repr(faces) == "<Column 'faces': uint8 (6, 5), backend 10>"
        assert faces._ipython_key_completions_()[-1] == "ada"
        assert co._ipython_key_completions_() == ["faces"]
        assert list(co.columns) == list(co) == ["faces"]
        assert len(co) == 1
        assert "faces" in co


def test_unknown_names_are_key_errors(repo, filled):
    with repo.checkout(filled) as co:
        with pytest.raises(UnknownColumn):
            co["nothing"]
        with pytest.raises(KeyError):
            co["faces"]["nobody"]
        with pytest.raises(UnknownKey) as caught:
            co["faces"].get_many([1, "nobody", 1000])
        assert caught.value.details["total"] == 2


@pytest.mark.parametrize("backend", ["numpy", "hdf5"])
@pytest.mark.parametrize("dtype", EVERY_DTYPE)
def test_every_dtype_and_byte_order_comes_back(repo, branch, dtype, backend):
    values = np.random.default_rng(1).integers(0, 100, (7, 3, 4)).astype(dtype)
    with repo.checkout(branch, write=True) as co:
        column = co.add_ndarray_column("x", prototype=values[0], backend=backend)
        column.put_many(range(3), values[:3])
        column[3] = values[3].astype(values.dtype.newbyteorder(">"))
        column[4] = values.transpose(0, 2, 1)[4].T
        column.put_many([5, 6], values[5:].astype(values.dtype.newbyteorder(">")))
        assert (column.get_many(range(7)) == values).all()
        co.commit("all")
    with repo.checkout(branch) as co:
        found = co["x"].get_many(range(7))
        assert found.dtype == values.dtype
        assert (found == values).all()


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1,), (2, 3, 4, 5)])
def test_every_shape_comes_back(repo, branch, shape):
    sample = np.asarray(np.random.default_rng(1).normal(size=shape), "f4")
    with repo.checkout(branch, write=True) as co:
        column = co.add_ndarray_column("x", shape=shape, dtype="f4")
        column["a"] = sample
        column.put_many(["b", "c"], np.stack([sample, sample + 1]))
        co.commit("all")
    with repo.checkout(branch) as co:
        assert co["x"]["a"].shape == shape
        assert (co["x"]["c"] == sample + 1).all()


def test_a_write_checkout_reads_buffer_then_staged_then_base(repo, filled, images):
    with repo.checkout(filled, write=True) as co:
        faces = co["faces"]
        assert len(faces) == 101
        faces[5] = images[150]
        faces["new"] = images[151]
        assert (faces[5] == images[150]).all()
        assert len(faces) == 102
        faces.update({6: images[152]})
        faces[7] = images[153]
        del faces[8]
        assert (faces.get_many([4, 5, 6, 7]) == images[[4, 150, 152, 153]]).all()
        assert 8 not in faces
        with pytest.raises(UnknownKey):
            faces[8]
        with pytest.raises(UnknownKey):
            faces.get_many([7, 8])
        with pytest.raises(UnknownKey):
            del faces[8]
        assert len(faces) == 101
        assert list(faces) == [*(i for i in range(100) if i != 8), "ada", "new"]
        items = dict(faces.items())
        assert (items["new"] == images[151]).all()
        assert (items[6] == images[152]).all()
        faces.flush()
        assert 8 not in faces
        assert (faces[6, 2:4] == images[152, 2:4]).all()
        faces[8] = images[154]
        assert 8 in faces
        assert len(faces) == 102
        co.commit("changes")
        assert (faces[8] == images[154]).all()
        assert len(faces) == 102
        assert faces.get("nobody") is None


def test_the_last_value_of_a_key_wins(repo, branch, images):
    with repo.checkout(branch, write=True) as co:
        faces = co.add_ndarray_column("faces", shape=(6, 5), dtype="uint8")
        faces.put_many([1, 1, 1], images[:3])
        faces[2] = images[0]
        faces[2] = images[1]
        del faces[2]
        faces[2] = images[2]
        faces[3] = images[3]
        del faces[3]
        co.commit("last wins")
    with repo.checkout(branch) as co:
        assert list(co["faces"]) == [1, 2]
        assert (co["faces"].get_many([1, 2]) == images[[2, 2]]).all()


@pytest.mark.parametrize(
    ("value", "error", "code"),
    [
        (np.zeros((6, 5), np.float32), InvalidRequest, "wrong-dtype"),
        (np.zeros((6, 5), object), InvalidRequest, "wrong-dtype"),
        (np.zeros((6, 5), [("a", "u1")]), InvalidRequest, "wrong-dtype"),
        (np.zeros((5, 6), np.uint8), InvalidRequest, "wrong-shape"),
        ([[0] * 5] * 6, InvalidType, "not-an-array"),
        (None, InvalidType, "not-an-array"),
    ],
)
def test_a_wrong_sample_is_refused_at_once(repo, filled, images, value, error, code):
    with repo.checkout(filled, write=True) as co:
        with pytest.raises(error) as caught:
            co["faces"]["x"] = value
        assert caught.value.code == code
        with pytest.raises(InvalidRequest):
            co["faces"].put_many(["x"], value if isinstance(value, np.ndarray) else [value])
        assert "x" not in co["faces"]


@pytest.mark.parametrize("key", [True, -1, 2**63, 1.5, None, "", "a\n", "x" * 256, b"k", "\ud800"])
def test_an_illegal_key_is_refused_at_once(repo, filled, images, key):
    with repo.checkout(filled, write=True) as co:
        with pytest.raises(InvalidRequest):
            co["faces"][key] = images[0]
        with pytest.raises(InvalidRequest):
            co["faces"].put_many([key], images[:1])


def test_as_many_keys_as_samples_are_needed(repo, filled, images):
    with repo.checkout(filled, write=True) as co:
        with pytest.raises(InvalidRequest) as caught:
            co["faces"].put_many([1, 2, 3], images[:2])
        assert caught.value.code == "wrong-count"
        co["faces"].put_many([], images[:0])
        co["faces"].put_many([], [])


def test_columns_are_added_changed_and_removed(repo, filled, images):
    with repo.checkout(filled, write=True) as co:
        with pytest.raises(AlreadyExists):
            co.add_ndarray_column("faces", shape=1, dtype="u1")
        for wrong in ({"shape": 3}, {"dtype": "u1"}, {}, {"prototype": images[0], "shape": 1}):
            with pytest.raises(InvalidRequest):
                co.add_ndarray_column("other", **wrong)
        for name in ("a b", "", ".", "ü", "x" * 65):
            with pytest.raises(InvalidRequest):
                co.add_ndarray_column(name, shape=1, dtype="u1")
        with pytest.raises(InvalidType):
            co.add_ndarray_column("other", shape=1, dtype=object)
        with pytest.raises(InvalidRequest):
            co.add_ndarray_column("other", shape=1, dtype="u1", backend="tape")
        old = co["faces"]
        co.change_backend("faces", "hdf5", {"complib": "blosc2:zstd", "complevel": 1})
        co["faces"][5] = images[120]
        co.commit("stored another way")
        assert (old[5] == images[120]).all()
        co.remove_column("faces")
        assert "faces" not in co
        with pytest.raises(UnknownColumn):
            co["faces"]
        with pytest.raises(UnknownColumn):
            co.remove_column("faces")
        again = co.add_ndarray_column("faces", shape=2, dtype="f4")
        assert len(again) == 0
        assert 5 not in again
        again["x"] = np.array([1, 2], "f4")
        assert list(again) == ["x"]
        co.commit("a new column of the old name")
    with repo.checkout(filled) as co:
        assert co["faces"].shape == (2,)
    with repo.checkout(f"{filled}~1") as co:
        options = {"complib": "blosc2:zstd", "complevel": 1, "shuffle": "byte"}
        assert co["faces"].backend_options == options
        assert (co["faces"][5] == images[120]).all()


def test_a_closed_checkout_refuses_everything(repo, filled, images):
    reading, writing = repo.checkout(filled), repo.checkout(filled, write=True)
    column = writing["faces"]
    reading.close()
    writing.close()
    reading.close()
    writing.close()
    for use in (
        lambda: reading["faces"],
        lambda: len(reading),
        lambda: writing["faces"],
        lambda: column.put("x", images[0]),
        lambda: column["x"],
        lambda: column.get_many([1]),
        lambda: writing.commit("late"),
    ):
        with pytest.raises(Closed):
            use()


def test_samples_above_the_piece_size_travel_in_pieces(repo, branch):
    large = np.arange(5 * 1024 * 1024, dtype="<u4").reshape(5, 1024, 1024)
    with repo.checkout(branch, write=True) as co:
        column = co.add_ndarray_column("x", prototype=large, backend="numpy")
        column["a"] = large
        column.put_many(["b", "c"], np.stack([large + 1, large + 2]))
        assert (column["b", 3] == large[3] + 1).all()
        co.commit("large")
    with repo.checkout(branch) as co:
        for i, key in enumerate("abc"):
            assert (co["x"].view(key) == large + np.uint32(i)).all()


def test_many_small_columns_ride_on_one_commit(repo, branch):
    with repo.checkout(branch, write=True) as co:
        for i in range(20):
            co.add_ndarray_column(f"c{i}", shape=(), dtype="i8")[0] = np.int64(i)
        co.commit("twenty")
    with repo.checkout(branch) as co:
        assert [int(co[f"c{i}", 0]) for i in range(20)] == list(range(20))
