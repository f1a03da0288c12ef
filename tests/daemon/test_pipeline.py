import asyncio
import gc
import threading
import weakref
from functools import partial

import numpy as np
import pytest

from hangard.daemon import applying
from hangard.daemon.applying import Abandoned
from hangard.daemon.memory import Memory
from hangard.daemon.pipeline import QUEUE_CHANGES_MAX, Pipeline, Work
from hangard.daemon.threads import Threads
from hangard.errors import Busy, Closed, HangardError, InvalidRequest, NoSpace
from hangard.repository.changes import Deletion

FIRST = (3 << 48) + 1


class Target:
    """A session that only remembers."""

    def __init__(self):
        self.applied = []
        self.skipped = []

    def apply_together(self, sequence, changes):
        if any(change.column == "refused" for change in changes):
            raise InvalidRequest("no such column", code="refused")
        self.applied += [sequence - FIRST + i for i in range(len(changes))]
        return True

    def skip(self, sequence):
        self.skipped.append(sequence - FIRST)

    def check_contains(self, last_sequence):
        assert last_sequence


def work(column="x", prepare=None, held=None, more=False):
    keys = b"\x11\x05\x81\x00"[:2], np.array([2], np.uint32)
    return Work(column, keys, prepare or (lambda: Deletion(column, *keys)), held, more)


@pytest.fixture
async def target():
    return Target()


@pytest.fixture
async def pipeline(target):
    threads = Threads()
    pipeline = Pipeline("s", target, threads)
    pipeline.attach(FIRST)
    yield pipeline
    await pipeline.close()
    threads.close()


async def nothing():
    return await Memory(10).reserve(0)


async def test_changes_are_prepared_at_once_and_applied_in_order(pipeline, target):
    gate, behind = threading.Event(), threading.Event()

    def slow(number):
        def prepare():
            if number == 0:
                assert gate.wait(10)
            elif number == 5:
                behind.set()
            return Deletion("x", b"", np.empty(0, np.uint32))

        return prepare

    for i in range(6):
        pipeline.accept(FIRST + i, [work(prepare=slow(i))], await nothing())
    assert await asyncio.to_thread(behind.wait, 10)
    assert target.applied == []
    assert pipeline.queued == 6
    gate.set()
    await pipeline.drain()
    assert target.applied == list(range(6))
    assert pipeline.queued == 0


async def test_a_repeated_request_is_accepted_and_not_applied_again(pipeline, target):
    assert pipeline.accept(FIRST, [work(), work()], await nothing())
    assert not pipeline.accept(FIRST, [work(), work()], await nothing())
    await pipeline.drain()
    assert target.applied == [0, 1]


async def test_a_client_that_attaches_again_is_not_counted_twice(pipeline):
    assert pipeline.attached == 1
    pipeline.attach((4 << 48) + 1, last_sequence=FIRST)
    assert pipeline.attached == 1
    with pytest.raises(Closed):
        pipeline.accept(FIRST, [work()], await nothing())
    pipeline.attach((5 << 48) + 1)
    assert pipeline.attached == 2


async def test_gaps_and_strangers_are_refused(pipeline):
    with pytest.raises(InvalidRequest) as caught:
        pipeline.accept(FIRST + 1, [work()], await nothing())
    assert caught.value.code == "sequence-gap"
    with pytest.raises(Closed):
        pipeline.accept(1 << 48, [work()], await nothing())


async def test_a_failure_names_its_keys_once_and_the_rest_is_applied(pipeline, target):
    def full():
        raise NoSpace("the disk is full")

    works = [work(), work(prepare=full), work("refused"), work()]
    pipeline.accept(FIRST, works, await nothing())
    await pipeline.drain()
    assert target.applied == [0, 3]
    assert target.skipped == [1, 2]
    with pytest.raises(NoSpace, match=r"2 samples sent earlier were not stored \(x\[5\]") as caught:
        pipeline.raise_failure()
    assert caught.value.details["keys"] == [["x", 5], ["refused", 5]]
    assert pipeline.pop_failure() is None


async def test_a_bug_in_preparation_is_an_internal_error(pipeline):
    pipeline.accept(FIRST, [work(prepare=lambda: 1 // 0)], await nothing())
    await pipeline.drain()
    with pytest.raises(HangardError, match="ZeroDivisionError") as caught:
        pipeline.raise_failure()
    assert caught.value.code == "internal-error"


class Rows:
    """Stands for rows in memory."""


async def test_a_failure_that_waits_to_be_told_holds_no_rows(pipeline):
    rows = Rows()
    living = weakref.ref(rows)

    def failing(rows):
        try:
            raise ValueError("inner")
        except ValueError as error:
            raise NoSpace("the disk is full") from error

    pipeline.accept(FIRST, [work(prepare=partial(failing, rows))], await nothing())
    del rows, failing
    await pipeline.drain()
    gc.collect()
    assert living() is None
    assert pipeline.pop_failure().code == "no-space"


async def test_memory_is_given_back_when_all_is_prepared(pipeline):
    memory = Memory(100)
    pipeline.accept(FIRST, [work(held=await memory.reserve(20)), work()], await memory.reserve(60))
    await pipeline.drain()
    assert memory.used_bytes == 0


async def test_a_full_queue_lets_callers_wait_and_then_refuses_them(pipeline, monkeypatch):
    gate = threading.Event()

    def slow():
        assert gate.wait(10)
        return Deletion("x", b"", np.empty(0, np.uint32))

    works = [work(prepare=slow) for _ in range(QUEUE_CHANGES_MAX)]
    pipeline.accept(FIRST, works, await nothing())
    monkeypatch.setattr("hangard.daemon.pipeline.QUEUE_S_MAX", 0.01)
    with pytest.raises(Busy) as caught:
        await pipeline.wait_for_room()
    assert caught.value.code == "queue-full"
    monkeypatch.setattr("hangard.daemon.pipeline.QUEUE_S_MAX", 10)
    waiting = asyncio.create_task(pipeline.wait_for_room())
    gate.set()
    await waiting


@pytest.mark.parametrize("queued", [False, True])
async def test_a_commit_applies_what_rides_on_it_first(pipeline, target, queued):
    if queued:
        pipeline.accept(FIRST, [work()], await nothing())
    first = FIRST + queued
    found = await pipeline.commit(first, [work()], lambda: list(target.applied), await nothing())
    assert found == list(range(1 + queued))
    assert not pipeline.accept(first, [work()], await nothing())


@pytest.mark.parametrize("queued", [False, True])
async def test_a_commit_whose_riding_changes_fail_is_not_done(pipeline, target, queued):
    if queued:
        pipeline.accept(FIRST, [work()], await nothing())
    committed = []
    with pytest.raises(InvalidRequest):
        await pipeline.commit(
            FIRST + queued, [work("refused")], lambda: committed.append(1), await nothing()
        )
    assert committed == []
    assert target.skipped == [int(queued)]


async def failed(pipeline, number=0):
    """Let one change fail, which nobody is told of yet."""
    pipeline.accept(FIRST + number, [work("refused")], await nothing())
    await pipeline.drain()


async def test_what_rides_on_a_commit_is_taken_although_an_earlier_change_failed(pipeline, target):
    await failed(pipeline)
    committed = []
    with pytest.raises(InvalidRequest, match="1 samples"):
        await pipeline.commit(FIRST + 1, [work()], lambda: committed.append(1), await nothing())
    assert (target.applied, committed) == ([1], [])
    assert pipeline.accepted(FIRST) == FIRST + 1


async def test_a_failure_is_told_again_when_its_answer_was_lost(pipeline):
    await failed(pipeline)
    for _ in range(2):
        assert pipeline.tell(FIRST + 1).code == "refused"
    assert pipeline.tell(FIRST + 2) is None
    assert pipeline.tell(FIRST + 1) is None


async def test_a_failure_in_an_answer_that_never_came_is_told_after_resuming(pipeline):
    await failed(pipeline)
    pipeline.accept(FIRST + 1, [work()], await nothing())
    assert pipeline.tell(FIRST + 1).code == "refused"
    pipeline.attach((4 << 48) + 1, FIRST)
    assert pipeline.pop_failure().code == "refused"


async def test_a_repeated_commit_does_not_pass_over_what_failed_with_it(pipeline, target):
    committed = []
    for _ in range(2):
        with pytest.raises(InvalidRequest, match="1 samples"):
            await pipeline.commit(
                FIRST,
                [work("refused")],
                lambda: committed.append(1),
                await nothing(),
                command=b"same",
            )
    assert (committed, target.skipped) == ([], [0])


async def test_what_rode_on_a_commit_that_is_done_is_not_staged_again(pipeline, target):
    found = await pipeline.commit(
        FIRST, [work(), work()], lambda: "twice", await nothing(), find_done=lambda: "done"
    )
    assert found == "done"
    assert (target.applied, target.skipped) == ([], [0, 1])
    assert pipeline.accept(FIRST + 2, [work()], await nothing())


async def test_what_belongs_together_waits_for_its_last_and_lets_others_pass(pipeline, target):
    other = (4 << 48) + 1
    pipeline.attach(other)
    pipeline.accept(FIRST, [work(), work(more=True), work(more=True)], await nothing())
    pipeline.accept(other, [work()], await nothing())
    await pipeline.drain()
    assert target.applied == [0, other - FIRST]
    pipeline.accept(FIRST + 3, [work(), work()], await nothing())
    await pipeline.drain()
    assert target.applied == [0, other - FIRST, 1, 2, 3, 4]
    pipeline.raise_failure()


@pytest.mark.parametrize("wrong", [0, 1, 2])
async def test_one_that_fails_takes_all_it_belongs_to_with_it(pipeline, target, wrong):
    def failing():
        raise NoSpace("the disk is full")

    works = [work(more=i < 2, prepare=failing if i == wrong else None) for i in range(3)]
    pipeline.accept(FIRST, works, await nothing())
    pipeline.accept(FIRST + 3, [work("refused", more=True), work(), work()], await nothing())
    await pipeline.drain()
    assert target.applied == [5]
    assert target.skipped == [0, 1, 2, 3, 4]
    failure = pipeline.pop_failure()
    assert isinstance(failure, NoSpace)
    assert failure.details["total"] == 5


async def test_what_is_abandoned_is_skipped_without_a_failure(pipeline, target):
    def abandon():
        raise Abandoned

    pipeline.accept(FIRST, [work(more=True), work(prepare=abandon), work()], await nothing())
    await pipeline.drain()
    assert (target.applied, target.skipped) == ([2], [0, 1])
    pipeline.raise_failure()


async def test_too_much_that_belongs_together_is_refused_to_its_last(pipeline, target, monkeypatch):
    monkeypatch.setattr(applying, "HELD_BYTES_MAX", 100)
    works = [work(more=i < 5) for i in range(6)]
    pipeline.accept(FIRST, [*works, work()], await nothing())
    await pipeline.drain()
    assert (target.applied, target.skipped) == ([6], [0, 1, 2, 3, 4, 5])
    failure = pipeline.pop_failure()
    assert (failure.code, failure.details["total"]) == ("batch-too-large", 6)
    pipeline.raise_failure()


async def test_what_waits_in_a_stream_that_ended_is_forgotten(pipeline, target):
    pipeline.accept(FIRST, [work(more=True)], await nothing())
    await pipeline.drain()
    again = (5 << 48) + 1
    pipeline.attach(again, FIRST)
    pipeline.accept(again, [work()], await nothing())
    await pipeline.drain()
    assert target.applied == [again - FIRST]
