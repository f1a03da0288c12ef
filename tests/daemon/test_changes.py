"""Change requests at the service, without sockets."""

import asyncio
import os

import msgspec
import numpy as np
import pytest

from hangard.daemon.changes import ChangeHandlers
from hangard.daemon.events import EventLog
from hangard.daemon.memory import Memory
from hangard.daemon.serve import _keep_house
from hangard.daemon.service import Service
from hangard.errors import NoSpace
from hangard.model.schema import make_schema
from hangard.repository.changes import ColumnChange
from hangard.repository.repository import Repository
from hangard.wire import frames
from hangard.wire.messages import Change, ChangeRequest, CommitBody, CommitRequest


@pytest.fixture
async def service(tmp_path):
    Repository.create(tmp_path)
    events = EventLog(tmp_path / "log")
    service = Service(Repository.open(tmp_path), events)
    yield service
    await service.windows.close()
    await service.close()
    events.close()


@pytest.fixture
async def state(service):
    """A session with one column ``x`` of 4 bytes a sample."""
    session = service.repository.open_session()
    schema = make_schema(dtype="u1", shape=(4,), backend="10")
    session.apply(session.attach(), ColumnChange("x", schema, create=True))
    return await service.attach(session)


def body_of(state, rows=b"", sequence=None, **fields):
    change = Change(
        kind="put", column="x", count=1, keys_bytes=2, dtype="|u1", shape=(4,), **fields
    )
    header = ChangeRequest(
        session=state.info.id,
        epoch=state.epoch,
        sequence=state.next_sequence if sequence is None else sequence,
        changes=(change,),
    )
    sections = [b"\x11\x05", np.array([2], "<u4"), rows]
    return memoryview(b"".join(frames.encode(header, sections)))


async def test_staged_keys_do_not_keep_the_body_in_memory(service, state):
    handlers = ChangeHandlers(service)
    body = body_of(state, b"abcd", rows_bytes=4)
    header, view, offset = frames.split_header(body, ChangeRequest)
    pipeline = service.pipelines[state.info.id]
    (work,) = await handlers._works(pipeline, frames.join_changes(view, offset, header.changes))
    assert not np.shares_memory(work.keys[1], np.frombuffer(body, np.uint8))
    assert not np.shares_memory(work.prepare().block.ends, np.frombuffer(body, np.uint8))


async def test_a_request_that_comes_twice_at_once_gives_all_its_memory_back(service, state):
    handlers = ChangeHandlers(service)
    (window,) = service.windows._make(1)
    os.pwrite(service.windows._descriptors[window], b"abcd", 0)
    full = await service.memory.reserve(service.memory.limit_bytes - service.memory.used_bytes)
    body = body_of(state, rows_in="window", rows_id=window)
    posts = [
        asyncio.create_task(handlers.change(body, await Memory(1).reserve(0))) for _ in range(2)
    ]
    async with asyncio.timeout(10):
        while service.memory.waiting < 2:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0)
    full.release()
    await asyncio.gather(*posts)
    await service.pipelines[state.info.id].drain()
    assert service.memory.used_bytes == service.memory.pinned_bytes
    service.windows._drop(window)


async def test_a_commit_repeated_after_a_restart_stages_nothing_twice(tmp_path):
    """The first daemon died between its commit and the answer."""
    Repository.create(tmp_path)
    schema = make_schema(dtype="u1", shape=(4,), backend="10")
    command = CommitRequest(
        session="", command_id=bytes(16), message="m", author_name="a", author_email="a@b"
    )
    results, session = [], ""
    for life in range(2):
        events = EventLog(tmp_path / "log")
        service = Service(Repository.open(tmp_path), events)
        if life == 0:
            opened = service.repository.open_session()
            opened.apply(opened.attach(), ColumnChange("x", schema, create=True))
            session = opened.id
        state = await service.attach(service.repository.session(session))
        last = state.next_sequence
        request = msgspec.structs.replace(command, session=session, last_sequence=last)
        change = Change(
            kind="put", column="x", count=1, keys_bytes=2, dtype="|u1", shape=(4,), rows_bytes=4
        )
        body = b"".join(
            frames.encode(
                CommitBody(commit=request, sequence=last, changes=(change,)),
                [b"\x11\x05", np.array([2], "<u4"), b"abcd"],
            )
        )
        handlers = ChangeHandlers(service)
        results.append(await handlers.commit(memoryview(body), await Memory(1).reserve(0)))
        assert not service.repository.session(session).is_changed
        await service.close()
        events.close()
    assert results[0] == results[1]


async def test_housekeeping_goes_on_after_a_full_disk(service, monkeypatch):
    calls = []

    def sessions():
        calls.append(len(calls))
        raise NoSpace("the disk is full")

    monkeypatch.setattr(service.repository, "sessions", sessions)
    monkeypatch.setattr("hangard.daemon.serve.HOUSEKEEPING_S", 0.001)
    task = asyncio.create_task(_keep_house(service))
    async with asyncio.timeout(10):
        while len(calls) < 3:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
