import asyncio

import pytest

from hangard.daemon.memory import Memory
from hangard.errors import Busy


async def test_reservations_are_counted_and_given_back_once():
    memory = Memory(100)
    first = await memory.reserve(60)
    second = await memory.reserve(40)
    assert memory.used_bytes == 100
    first.release()
    first.release()
    with second:
        assert memory.used_bytes == 40
    assert memory.used_bytes == 0


async def test_who_finds_no_room_waits_in_turn():
    memory = Memory(100)
    held = await memory.reserve(100)
    order = []

    async def want(name, size):
        with await memory.reserve(size):
            order.append(name)

    tasks = [asyncio.create_task(want("large", 90))]
    await asyncio.sleep(0)
    tasks.append(asyncio.create_task(want("small", 5)))
    await asyncio.sleep(0)
    assert memory.waiting == 2
    held.release()
    await asyncio.gather(*tasks)
    assert order == ["large", "small"]
    assert memory.used_bytes == 0


async def test_who_waits_too_long_is_refused_and_lets_the_next_in():
    memory = Memory(100, wait_s=0.2)
    held = await memory.reserve(50)
    waiting = asyncio.create_task(memory.reserve(60))
    await asyncio.sleep(0.1)
    behind = asyncio.create_task(memory.reserve(10))
    with pytest.raises(Busy) as caught:
        await waiting
    assert caught.value.code == "memory-limit"
    (await behind).release()
    held.release()
    assert (memory.used_bytes, memory.waiting) == (0, 0)


async def test_a_cancelled_wait_leaves_nothing_behind():
    memory = Memory(100)
    held = await memory.reserve(100)
    waiting = asyncio.create_task(memory.reserve(1))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    held.release()
    assert (memory.used_bytes, memory.waiting) == (0, 0)


async def test_room_given_in_the_turn_of_a_cancellation_is_given_back():
    memory = Memory(100)
    held = await memory.reserve(100)
    waiting = asyncio.create_task(memory.reserve(1))
    await asyncio.sleep(0)
    held.release()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert memory.used_bytes == 0


async def test_one_request_above_the_limit_is_let_in_alone_beside_pinned_memory():
    memory = Memory(100, wait_s=0.01)
    memory.pin(20)
    with await memory.reserve(500):
        with pytest.raises(Busy):
            await memory.reserve(1)
        with pytest.raises(Busy):
            memory.pin(1)
    memory.unpin(20)
    assert memory.used_bytes == 0


async def test_half_of_the_memory_cannot_be_pinned():
    memory = Memory(100, wait_s=0.01)
    memory.pin(50)
    with pytest.raises(Busy):
        memory.pin(1)
    memory.unpin(50)
    memory.pin(1)
