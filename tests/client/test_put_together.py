"""One call over several columns: all of it is staged, or none."""

import asyncio
import contextlib
import os
import signal
import threading

import hangard_client
import numpy as np
import pytest

from hangard.errors import Closed, InvalidRequest, InvalidType, Unavailable, UnknownColumn


@pytest.fixture
def wide(repo, branch):
    """A branch with columns `image`, `label` and the nested `boxes`."""
    with repo.checkout(branch, write=True) as co:
        co.add_ndarray_column("image", shape=(28, 28), dtype="u1", backend="numpy")
        co.add_ndarray_column("label", shape=(), dtype="i8")
        co.add_ndarray_column("boxes", shape=4, dtype="f4", contains_subsamples=True)
        co.commit("columns")
    return branch


def rows(n):
    images = np.random.default_rng(n).integers(0, 256, (n, 28, 28), dtype=np.uint8)
    return images, np.arange(n)


@pytest.mark.parametrize("n", [1, 300, 20_000])
def test_samples_of_several_columns_are_staged_in_one_call(repo, wide, n):
    images, labels = rows(n)
    box = np.ones((2, 4), "f4")
    with repo.checkout(wide, write=True) as co:
        co["label"][n] = np.int64(7)  # buffered before
        co.put_many(
            {
                "image": (range(n), images),
                "label": (range(n), labels),
                "boxes": (("s", ["left", "right"]), box),
            }
        )
        assert (co["image"].get_many(range(n)) == images).all()
        assert len(co["label"]) == n + 1
        assert list(co["boxes"]["s"]) == ["left", "right"]
        co.put_many(
            {"label": {"named": np.int64(3)}, "boxes": {"t": {0: box[0]}}, "image": ([], [])}
        )
        co.put_many({})
        co.commit("together")
    with repo.checkout(wide) as co:
        assert (co["image"].get_many(range(n)) == images).all()
        assert (co["label"].get_many(range(n)) == labels).all()
        assert (int(co["label", "named"]), int(co["label", n])) == (3, 7)
        assert list(co["boxes"]) == ["s", "t"]


def test_nothing_is_sent_unless_all_is_legal(repo, wide):
    images, labels = rows(3)
    good = {"label": (range(3), labels)}
    with repo.checkout(wide, write=True) as co:
        for bad, error in (
            ({"image": (range(3), images[:2])}, InvalidRequest),
            ({"image": (range(3), images.astype("f4"))}, InvalidRequest),
            ({"image": ([1, True, 2], images)}, InvalidType),
            ({"image": images}, InvalidType),
            ({"image": 5}, InvalidType),
            ({"boxes": (["s"], np.ones((1, 4), "f4"))}, InvalidType),
            ({"nope": (range(3), images)}, UnknownColumn),
        ):
            with pytest.raises(error):
                co.put_many({**good, **bad})
        with pytest.raises(InvalidType):
            co.put_many([("label", (range(3), labels))])
        assert len(co["label"]) == 0
    with pytest.raises(Closed):
        co.put_many(good)


def test_nothing_is_staged_unless_all_is_stored(repo, wide):
    images, labels = rows(5000)
    with repo.checkout(wide, write=True) as co:
        co.put_many({"label": {"before": np.int64(1)}})
        with repo.checkout(session=co.session) as other:
            # What this client does not know when it checks, the daemon finds when it stores.
            other.remove_column("image")
            other.add_ndarray_column("image", shape=(2,), dtype="u1")
        for wanted in (["label", "image"], ["image", "label"]):
            given = {"label": (range(5000), labels), "image": (range(5000), images)}
            with pytest.raises(InvalidRequest) as caught:
                co.put_many({name: given[name] for name in wanted})
            assert caught.value.code == "wrong-shape"
            assert caught.value.details["total"] == 10_000
            assert list(co["label"]) == ["before"]
        co["label"]["after"] = np.int64(2)
        assert list(co["label"]) == ["after", "before"]
        co.abort()


async def test_asynchronous_checkouts_stage_together(repo, wide):
    images, labels = rows(100)
    async with (
        hangard_client.AsyncRepository(
            repo.path, user_name="A", user_email="a@example.org"
        ) as mine,
        mine.checkout(wide, write=True) as co,
    ):
        await co.put_many({"image": (range(100), images), "label": dict(enumerate(labels))})
        assert await co["label"].count() == await co["image"].count() == 100
        await co.commit("together")


@pytest.mark.parametrize("delay_s", [0.0, 0.03, 0.1])
def test_a_killed_daemon_leaves_all_of_a_call_or_nothing(repo, wide, delay_s):
    images, labels = rows(2000)
    co = repo.checkout(wide, write=True)
    killer = threading.Timer(delay_s, os.kill, (repo.status()["pid"], signal.SIGKILL))
    killer.start()
    done, lost = 0, None
    for number in range(12):
        keys = range(number * 2000, number * 2000 + 2000)
        try:
            co.put_many({"image": (keys, images), "label": (keys, labels)})
        except Closed as error:
            lost = error.code
            break
        done += 1
    killer.join()
    assert lost in (None, "staged-changes-lost")
    with contextlib.suppress(Closed, Unavailable):
        co.leave()
    with repo.checkout(session=co.session) as again:
        found = list(again["image"])
        assert found == list(again["label"])
        assert len(found) in ({done * 2000, done * 2000 + 2000} if lost else {done * 2000})
        again.abort()


@pytest.mark.parametrize("turns", [0, 1, 2, 5, 8])
async def test_what_a_cancelled_call_left_waiting_is_not_the_callers_array(repo, wide, turns):
    images, labels = rows(100)
    async with (
        hangard_client.AsyncRepository(
            repo.path, user_name="A", user_email="a@example.org"
        ) as mine,
        mine.checkout(wide, write=True) as co,
    ):
        first = images[0].copy()
        together = {"label": (range(100), labels), "image": (range(100), images)}
        call = asyncio.create_task(co.put_many(together))
        for _ in range(turns):
            await asyncio.sleep(0)
        call.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await call
        images[:], labels[:] = 99, 99
        await co.flush()
        image, label = await co["image"].get(0), await co["label"].get(0)
        assert (image is None) == (label is None)
        assert image is None or (np.array_equal(image, first) and label == 0)
        await co.abort()
