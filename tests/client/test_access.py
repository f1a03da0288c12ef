"""What may stand between a checkout's brackets, of read and write checkouts, sync and async."""

import hangard_client
import numpy as np
import pytest

from hangard.errors import Closed, InvalidType, UnknownColumn, UnknownKey


@pytest.fixture
def both(repo, filled):
    """`faces` is flat, `clips` nested: "s" has left and 2."""
    with repo.checkout(filled, write=True) as co:
        clips = co.add_ndarray_column("clips", shape=3, dtype="i4", contains_subsamples=True)
        clips["s"] = {"left": np.full(3, 1, "i4"), 2: np.full(3, 2, "i4")}
        co.add_ndarray_column("empty", shape=1, dtype="u1")
        co.commit("clips")
    return filled


@pytest.fixture(params=["read", "write"])
def co(request, repo, both):
    with repo.checkout(both, write=request.param == "write") as checkout:
        yield checkout


def test_a_checkout_is_a_mapping_of_columns(co):
    assert list(co) == co.keys() == ["clips", "empty", "faces"]
    assert len(co) == 3
    assert "clips" in co
    assert "nope" not in co
    assert co.values() == [co["clips"], co["empty"], co["faces"]]
    assert [name for name, column in co.items() if column.name == name] == co.keys()
    assert list(co.columns) == co.keys()


def test_items_name_columns_samples_and_parts_of_them(co, images):
    assert co["faces"].name == "faces"
    assert (co["faces", "ada"] == images[100]).all()
    assert (co[("faces", 7)] == images[7]).all()
    assert (co["faces", 7, 2, 1:] == images[7, 2, 1:]).all()
    assert co["clips", "s"].sample == "s"
    assert (co["clips", "s", "left"] == 1).all()
    assert (co["clips", ("s", "left")] == 1).all()
    assert co["clips", "s", "left", 1] == 1
    assert co["clips", "s", ...].keys() == {2, "left"}
    assert list(co["clips", "s", 1:]) == ["left"]


def test_lists_come_in_the_order_of_the_request(co, images):
    wanted = [("faces", 3), ("clips", "s", "left"), ("faces", "ada"), ("clips", "s", 2), "empty"]
    for request in (wanted, (*wanted[:4], "empty")):
        first, left, ada, two, empty = co[request]
        assert (first == images[3]).all()
        assert (left == 1).all()
        assert (ada == images[100]).all()
        assert (two == 2).all()
        assert empty is co["empty"]
    subsamples, whole, part = co[[("clips", "s"), ("clips", "s", ...), ("faces", 1, 2)]]
    assert subsamples.sample == "s"
    assert len(whole) == 2
    assert (part == images[1, 2]).all()
    assert co[[]] == []


def test_what_is_not_there_is_an_error_or_the_default(co, images):
    for item in ("nope", ("nope", 1), ["faces", "nope"], [("nope", 1)]):
        with pytest.raises(UnknownColumn):
            co[item]
    missing = [("faces", "nobody"), ("clips", "t"), ("clips", "s", "up"), ("clips", "t", ...)]
    for item in missing:
        with pytest.raises(UnknownKey):
            co[item]
        with pytest.raises(KeyError):
            co[[("faces", 1), item]]
        with pytest.raises(KeyError):
            co.get(item, except_missing=True)
        assert co.get(item) is None
        assert co.get(item, 5) == 5
    assert co.get("nope", 5) == 5
    assert co.get(("nope", "key"), 5) == 5
    found = co.get([("faces", 3), *missing, ("nope", 1)], default=0)
    assert (found[0] == images[3]).all()
    assert found[1:] == [0] * 5
    with pytest.raises(KeyError):
        co.get([("faces", 3), missing[0]], except_missing=True)
    assert (co.get(("faces", 3)) == images[3]).all()
    assert co.get("faces") is co["faces"]


@pytest.mark.parametrize("item", [5, None, (), {}, {"faces"}, 1.5, ..., slice(1)])
def test_what_names_no_column_is_refused(co, item):
    with pytest.raises(InvalidType):
        co[item]
    with pytest.raises(InvalidType):
        co.get(item)
    with pytest.raises(InvalidType):
        co[[("faces", 1), item]]


def test_keys_that_cannot_be_keys_are_refused(co):
    for item in (("faces", True), ("faces", None), ("clips", 1.5, 2), [("faces", True)]):
        with pytest.raises(InvalidType):
            co.get(item)


def test_a_write_checkout_sees_what_is_staged_in_every_form(repo, both, images):
    with repo.checkout(both, write=True) as co:
        co["faces"]["new"] = images[150]
        co["clips", "s"]["new"] = np.full(3, 9, "i4")
        del co["faces"][0]
        for _ in range(2):
            new, sub, gone = co.get([("faces", "new"), ("clips", "s", "new"), ("faces", 0)], "gone")
            assert (new == images[150]).all()
            assert (sub == 9).all()
            assert gone == "gone"
            assert set(co["clips", "s", ...]) == {2, "left", "new"}
            co.flush()
        with pytest.raises(TypeError):
            co["faces", "x"] = images[0]
        co.abort()


def test_a_reader_does_not_see_what_is_committed_later(repo, both, images):
    with repo.checkout(both) as before:
        with repo.checkout(both, write=True) as co:
            co["faces"][3] = images[199]
            co["clips"]["t"] = {0: np.zeros(3, "i4")}
            co.remove_column("empty")
            co.commit("later")
        assert (before["faces", 3] == images[3]).all()
        assert list(before["clips"]) == ["s"]
        assert "empty" in before
    with repo.checkout(both) as after:
        assert (after["faces", 3] == images[199]).all()
        assert list(after["clips"]) == ["s", "t"]
        assert "empty" not in after


@pytest.mark.parametrize("write", [False, True])
def test_after_close_everything_that_came_from_a_checkout_refuses(repo, both, write):
    co = repo.checkout(both, write=write)
    faces, sample = co["faces"], co["clips", "s"]
    co.close()
    co.close()
    for use in (
        lambda: co["faces"],
        lambda: co["faces", 1],
        lambda: co[[("faces", 1)]],
        lambda: co.get("faces"),
        lambda: co.keys(),
        lambda: list(co),
        lambda: len(co),
        lambda: "faces" in co,
        lambda: co.columns,
        lambda: faces[1],
        lambda: faces.get(1),
        lambda: faces.get_many([1]),
        lambda: faces.find_many([1]),
        lambda: 1 in faces,
        lambda: len(faces),
        lambda: list(faces),
        lambda: list(faces.items()),
        lambda: sample["left"],
        lambda: sample.data,
    ):
        with pytest.raises(Closed):
            use()
    assert faces.shape == (6, 5)
    assert repr(co)


def test_after_close_nothing_can_be_written(repo, both, images):
    co = repo.checkout(both, write=True)
    column, sample = co["faces"], co["clips", "s"]
    co.close()
    for use in (
        lambda: column.put(1, images[0]),
        lambda: column.update({1: images[0]}),
        lambda: column.append(images[0]),
        lambda: column.delete(1),
        lambda: column.pop(1),
        lambda: column.flush(),
        lambda: co.commit("late"),
        lambda: co.flush(),
        lambda: co.add_ndarray_column("x", shape=1, dtype="u1"),
        lambda: co.remove_column("faces"),
        lambda: co.change_backend("faces", "numpy"),
        lambda: sample.update(x=np.zeros(3, "i4")),
    ):
        with pytest.raises(Closed):
            use()


def test_closing_the_repository_closes_its_read_checkouts(repo, both):
    mine = hangard_client.open(repo.path)
    co = mine.checkout(both)
    faces = co["faces"]
    mine.close()
    for use in (lambda: faces[1], lambda: list(faces), lambda: co["faces", 1]):
        with pytest.raises(Closed):
            use()


def test_read_columns_have_no_methods_that_write(repo, both):
    with repo.checkout(both) as co:
        for attribute in ("put", "put_many", "update", "append", "delete", "pop", "setdefault"):
            assert not hasattr(co["faces"], attribute)
        for attribute in ("commit", "add_ndarray_column", "remove_column", "change_backend"):
            assert not hasattr(co, attribute)
        with pytest.raises(TypeError):
            co["faces"][1] = np.zeros((6, 5), "u1")
        with pytest.raises(TypeError):
            del co["faces"][1]


def test_properties_cannot_be_assigned(co):
    for attribute in ("name", "schema", "dtype", "shape", "backend", "backend_options"):
        with pytest.raises(AttributeError):
            setattr(co["faces"], attribute, 1)
    for attribute in ("commit_digest", "columns"):
        with pytest.raises(AttributeError):
            setattr(co, attribute, 1)


async def test_asynchronous_checkouts_read_at_once_or_when_awaited(repo, both, images):
    async with (
        hangard_client.AsyncRepository(repo.path) as mine,
        mine.checkout(both) as reading,
        mine.checkout(both, write=True) as writing,
    ):
        assert (reading["faces", 3] == images[3]).all()
        assert (reading["clips", "s", "left"] == 1).all()
        assert len(reading[[("faces", 3), ("clips", "s", ...)]][1]) == 2
        assert await reading.get(("faces", "nobody"), 5) == 5
        for co in (reading, writing):
            assert co.keys() == ["clips", "empty", "faces"]
            found = await co.get([("faces", 3), ("clips", "s", 2), ("faces", "nobody"), "empty"], 0)
            assert (found[0] == images[3]).all()
            assert (found[1] == 2).all()
            assert found[2] == 0
            assert found[3] is co["empty"]
            assert (await co.get(("clips", "s"))).sample == "s"
            assert set(await co.get(("clips", "s", ...))) == {2, "left"}
            assert (await co.get(("faces", 3, 1)) == images[3, 1]).all()
            with pytest.raises(UnknownKey):
                await co.get(("clips", "s", "up"), except_missing=True)
            with pytest.raises(UnknownColumn):
                await co.get("nope", except_missing=True)
            with pytest.raises(UnknownColumn):
                co["nope"]


async def test_asynchronous_nested_columns(repo, both):
    def row(number):
        return np.full(3, number, "i4")

    async with hangard_client.AsyncRepository(
        repo.path, user_name="A", user_email="a@example.org"
    ) as mine:
        async with mine.checkout(both, write=True) as co:
            clips = co["clips"]
            await clips.put(("s", "up"), row(3))
            await clips.put_sample("t", {0: row(4), 1: row(5)})
            await clips.update({"u": {0: row(6)}}, v=[(0, row(7))])
            await clips.put_many(("w", range(3)), np.stack([row(8), row(9), row(10)]))
            assert [key async for key in clips] == ["s", "t", "u", "v", "w"]
            assert await clips.count() == 5
            assert await clips.count_subsamples() == 10
            assert await clips.contains("t")
            assert not await clips.contains(("t", 2))
            t = await clips.at("t")
            assert (t.sample, t.column, await t.keys(), await t.count()) == (
                "t",
                "clips",
                [0, 1],
                2,
            )
            await t.put("x", row(11))
            await t.update({"y": row(12)}, z=row(13))
            key = await t.append(row(14))
            assert (await t.read(key) == 14).all()
            assert (await t.pop("z") == 13).all()
            await t.delete("y")
            assert await t.contains("x")
            assert await t.get("y") is None
            assert list(await t.data()) == [0, 1, key, "x"]
            assert (await t.get_many([1, 0]))[:, 0].tolist() == [5, 4]
            assert list(await clips.pop("u")) == [0]
            await clips.delete("v")
            appended = await clips.append({"only": row(1)})
            assert await clips.subsample_keys(appended) == ["only"]
            await clips.delete(appended)
            await co.commit("asynchronous")
        async with mine.checkout(both) as co:
            clips = co["clips"]
            assert [key async for key in clips] == ["s", "t", "w"]
            assert [(key, await subs.count()) async for key, subs in clips.items()] == [
                ("s", 3),
                ("t", 4),
                ("w", 3),
            ]
            pairs = [pair async for pair, _ in clips.subsample_items()]
            assert pairs[:3] == [("s", 2), ("s", "left"), ("s", "up")]
            assert (await clips.read(("w", 2)) == 10).all()
            assert list(await clips.read_sample("w", slice(1, None))) == [1, 2]
            assert await clips.get("nope") is None
            assert repr(clips["w"]) == "<AsyncSubsamples of 'w' in column 'clips'>"


@pytest.mark.parametrize("flags", [{"write": "yes"}, {"write": 1}, {"write": True, "exclusive": 1}])
def test_flags_of_a_checkout_are_true_or_false(repo, both, flags):
    with pytest.raises(InvalidType) as caught:
        repo.checkout(both, **flags)
    assert caught.value.code == "invalid-flag-type"
