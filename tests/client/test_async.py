import asyncio
import inspect

import hangard_client
import numpy as np
import pytest

from hangard.errors import Closed, Conflict, UnknownKey

ROWS = np.arange(600, dtype="i4").reshape(50, 12)


@pytest.fixture
async def arepo(repo):
    async with hangard_client.AsyncRepository(
        repo.path, user_name="Async", user_email="async@example.org"
    ) as repository:
        yield repository


async def test_everything_is_written_and_read_with_await(arepo, branch):
    async with arepo.checkout(branch, write=True) as co:
        column = await co.add_ndarray_column("x", shape=12, dtype="i4")
        for i in range(10):
            await column.put(i, ROWS[i])
        await column.put_many(range(10, 40), ROWS[10:40])
        await column.update({"a": ROWS[40], "b": ROWS[41]})
        await column.delete(0)
        assert (await column.read(5) == ROWS[5]).all()
        assert await column.get(0) is None
        assert (await column.get_many([1, 20, "a"]) == ROWS[[1, 20, 40]]).all()
        assert await column.count() == 41
        assert await column.contains("b")
        assert [key async for key in column] == [*range(1, 40), "a", "b"]
        await co.flush()
        digest = await co.commit("async", metadata={"k": "v"})
    async with arepo.checkout(branch) as co:
        assert co.commit_digest == digest
        column = co["x"]
        assert (await column.read(3) == ROWS[3]).all()
        assert (await column.get_many(range(1, 40)) == ROWS[1:40]).all()
        assert (await column.view("a") == ROWS[40]).all()
        assert [key async for key, _ in column.items()] == [*range(1, 40), "a", "b"]
        assert len([value async for value in column.values()]) == await column.count() == 41
        with pytest.raises(UnknownKey):
            await column.read("nobody")
    assert (await arepo.log(branch))[0].author.name == "Async"


async def test_a_checkout_can_be_awaited_and_closed(arepo, branch):
    co = await arepo.checkout(branch, write=True)
    column = await co.add_ndarray_column("x", shape=12, dtype="i4")
    await column.put(1, ROWS[0])
    with pytest.warns(hangard_client.UncommittedWarning):
        await co.close()
    await co.close()
    with pytest.raises(Closed):
        await column.put(2, ROWS[0])
    again = await arepo.checkout(session=co.session)
    assert await again["x"].contains(1)
    await again.abort()


async def test_many_tasks_write_at_once(arepo, branch):
    async def work(number):
        async with arepo.checkout(branch, write=True) as co:
            for i in range(100):
                await co["x"].put(number * 100 + i, ROWS[i % 50])
            await co.commit(f"task {number}")

    async with arepo.checkout(branch, write=True) as co:
        await co.add_ndarray_column("x", shape=12, dtype="i4")
        await co.commit("column")
    await asyncio.gather(*(work(i) for i in range(8)))
    async with arepo.checkout(branch) as co:
        assert await co["x"].count() == 800


async def test_a_later_value_never_comes_before_an_earlier_one(arepo, branch):
    old, new = np.zeros(300_000, "u1"), np.ones(300_000, "u1")
    async with arepo.checkout(branch, write=True) as co:
        column = await co.add_ndarray_column("x", shape=300_000, dtype="u1")
        for round_ in range(3):
            for key in range(8):
                await column.put(key, old + round_)
            await column.put(0, new + 10 * round_)
            await co.commit(f"round {round_}")
            assert (await column.read(0) == 1 + 10 * round_).all()
            assert (await column.read(7) == round_).all()


async def test_a_cancelled_commit_loses_nothing(arepo, branch):
    async with arepo.checkout(branch, write=True) as co:
        column = await co.add_ndarray_column("x", shape=12, dtype="i4")
        for turns in range(12):
            await column.put(turns, ROWS[turns])
            task = asyncio.create_task(co.commit(f"after {turns} turns"))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
        await column.put("end", ROWS[0])
        await co.commit("all the rest")
        assert await column.count() == 13
    async with arepo.checkout(branch) as co:
        assert (await co["x"].get_many(range(12)) == ROWS[:12]).all()


async def test_the_loop_turns_while_a_large_batch_is_sent(arepo, branch):
    turns = 0

    async def turn():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with arepo.checkout(branch, write=True) as co:
        column = await co.add_ndarray_column("x", shape=(64, 64), dtype="f4")
        task = asyncio.create_task(turn())
        await column.put_many(range(500), np.zeros((500, 64, 64), "f4"))
        task.cancel()
        await co.abort()
    assert turns > 10


async def test_errors_are_the_same(arepo, branch):
    async with arepo.checkout(branch, write=True) as co:
        column = await co.add_ndarray_column("x", shape=12, dtype="i4")
        await column.put(1, ROWS[0])
        await co.commit("first")
    async with arepo.checkout(branch, write=True) as one, arepo.checkout(branch, write=True) as two:
        await one["x"].put(1, ROWS[1])
        await two["x"].put(1, ROWS[2])
        await one.commit("one")
        with pytest.raises(Conflict):
            await two.commit("two")
        await two.commit("two", strategy={"x": {1: "ours"}})


async def test_control_verbs_are_awaited(arepo, branch):
    assert await arepo.create_branch(f"{branch}-b") is None
    assert f"{branch}-b" in await arepo.branches()
    await arepo.delete_branch(f"{branch}-b")
    assert await arepo.head() == "main"
    assert isinstance(await arepo.sessions(), list)
    assert (await arepo.status())["pid"]
    assert await arepo.log(branch) == []


SUBSAMPLES_INNER = {"read", "contains", "count", "data"}
PAIRS = [
    (
        hangard_client.Repository,
        hangard_client.AsyncRepository,
        {
            *("close_files", "close_connections", "use_start", "reader"),
            *("read_conflicts", "read_merge_base", "read_digests_under"),
            *("read_branches", "read_tags", "read_tag", "read_checkout", "read_diff"),
            *("read_history", "read_reflog", "read_summary", "read_tree"),
            *("read_levels", "read_config", "column_defaults"),
        },
    ),
    (hangard_client.Checkout, hangard_client.AsyncCheckout, set()),
    (hangard_client.WriteCheckout, hangard_client.AsyncWriteCheckout, {"end", "leave"}),
    (hangard_client.Column, hangard_client.AsyncColumn, set()),
    (hangard_client.WriteColumn, hangard_client.AsyncWriteColumn, {"at"}),
    (hangard_client.NestedColumn, hangard_client.AsyncNestedColumn, set()),
    (hangard_client.NestedWriteColumn, hangard_client.AsyncNestedWriteColumn, {"at"}),
    (
        hangard_client.Subsamples,
        hangard_client.AsyncSubsamples,
        SUBSAMPLES_INNER,
    ),
    (
        hangard_client.WriteSubsamples,
        hangard_client.AsyncWriteSubsamples,
        SUBSAMPLES_INNER,
    ),
]


@pytest.mark.parametrize(("sync", "asynchronous", "inner"), PAIRS)
def test_both_faces_have_the_same_methods_with_the_same_parameters(sync, asynchronous, inner):
    def methods(cls):
        return {
            name: member
            for name, member in inspect.getmembers(cls)
            if not name.startswith("_") and callable(member)
        }

    ours, theirs = methods(sync), methods(asynchronous)
    assert set(theirs) - inner <= set(ours)
    assert set(ours) - set(theirs) <= {"locations", "values", "items"}
    for name in set(ours) & set(theirs):
        assert (
            inspect.signature(ours[name]).parameters == inspect.signature(theirs[name]).parameters
        ), name
        # A mapping of columns asks nobody: only what reads samples is awaited.
        if name != "checkout" and not (
            "Checkout" in sync.__name__ and name in {"keys", "values", "items"}
        ):
            is_async = inspect.iscoroutinefunction(theirs[name]) or inspect.isasyncgenfunction(
                theirs[name]
            )
            assert is_async, name
    assert inspect.signature(sync).parameters == inspect.signature(asynchronous).parameters or (
        "Repository" not in sync.__name__
    )
