"""Group commit: who shares a transaction, who fails alone, and what a failing disk does."""

import os
import subprocess
import sys
import threading

import lmdb
import pytest

from hangard.db import writer as writer_module
from hangard.db.environment import WritableEnvironment, create_directory
from hangard.db.writer import BULK_GROUP_MAX, Writer
from hangard.errors import Busy, Closed, Conflict, Corrupt, NoSpace


class Put:
    """Sets a counter, if it is what was expected."""

    def __init__(self, name, value, expected=None, *, apply_error=None, gate=None):
        self.name, self.value, self.expected = name, value, expected
        self.apply_error, self.gate = apply_error, gate
        self.started = threading.Event()

    def check(self, tables):
        if self.expected is not None and tables.counter(self.name) != self.expected:
            raise Conflict("moved")

    def apply(self, tables):
        self.started.set()
        if self.gate is not None:
            assert self.gate.wait(10)
        tables.put_counter(self.name, self.value)
        if self.apply_error is not None:
            raise self.apply_error
        return self.value


@pytest.fixture
def env(tmp_path):
    create_directory(tmp_path)
    with WritableEnvironment(tmp_path) as env:
        yield env


@pytest.fixture
def groups():
    return []


@pytest.fixture
def writer(env, groups):
    writer = Writer(env, before_group=lambda operations: groups.append(list(operations)))
    yield writer
    writer.close()


def counter(env, name):
    with env.read() as tables:
        return tables.counter(name)


def held(writer):
    """Keeps the writer busy with one operation, so that what follows gathers."""
    gate = threading.Event()
    first = Put("held", 1, gate=gate)
    future = writer.submit(first)
    assert first.started.wait(10)
    return gate, future


def test_one_operation_is_stored_and_answered(env, writer):
    assert writer.run(Put("a", 7)) == 7
    assert counter(env, "a") == 7


def test_what_waits_goes_into_one_group(env, writer, groups):
    gate, _ = held(writer)
    futures = [writer.submit(Put("a", n)) for n in range(50)]
    assert writer.waiting == 50
    before = env._shared._opened()[0].info()["last_txnid"]
    gate.set()
    assert [future.result(10) for future in futures] == list(range(50))
    assert [len(group) for group in groups] == [1, 50]
    assert env._shared._opened()[0].info()["last_txnid"] == before + 2


def test_operations_of_a_group_see_each_other_and_fail_alone(env, writer):
    gate, _ = held(writer)
    futures = [
        writer.submit(Put("a", 1, expected=0)),
        writer.submit(Put("a", 2, expected=0)),
        writer.submit(Put("a", 3, expected=1)),
    ]
    gate.set()
    assert futures[0].result(10) == 1
    with pytest.raises(Conflict):
        futures[1].result(10)
    assert futures[2].result(10) == 3
    assert counter(env, "a") == 3


def test_an_apply_that_raises_leaves_nothing_and_harms_nobody(env, writer):
    gate, _ = held(writer)
    futures = [
        writer.submit(Put("a", 1)),
        writer.submit(Put("b", 1, apply_error=RuntimeError("broken"))),
        writer.submit(Put("x" * 600, 1)),
        writer.submit(Put("c", 1)),
    ]
    gate.set()
    assert futures[0].result(10) == futures[3].result(10) == 1
    with pytest.raises(RuntimeError, match="broken"):
        futures[1].result(10)
    with pytest.raises(lmdb.BadValsizeError):
        futures[2].result(10)
    assert [counter(env, name) for name in "abc"] == [1, 0, 1]


def test_bulk_waits_for_small_operations_but_not_for_ever(env, writer, groups):
    gate, _ = held(writer)
    bulk = [writer.submit(Put("bulk", n), bulk=True) for n in range(2)]
    small = [writer.submit(Put("small", n)) for n in range(2)]
    gate.set()
    for future in bulk + small:
        future.result(10)
    assert [[operation.name for operation in group] for group in groups] == [
        ["held"],
        ["small", "small"],
        ["bulk", "bulk"],
    ]
    assert counter(env, "bulk") == 1


def test_few_bulk_operations_share_a_group(env, writer, groups):
    gate, _ = held(writer)
    bulk = [writer.submit(Put("bulk", n), bulk=True) for n in range(BULK_GROUP_MAX + 1)]
    gate.set()
    for future in bulk:
        future.result(10)
    assert [len(group) for group in groups] == [1, BULK_GROUP_MAX, 1]


def test_bulk_that_waited_long_joins_a_group_of_small_ones(env, groups):
    now = [0.0]
    writer = Writer(env, before_group=lambda ops: groups.append(list(ops)), clock=lambda: now[0])
    gate, _ = held(writer)
    futures = [writer.submit(Put("bulk", 1), bulk=True), writer.submit(Put("small", 1))]
    now[0] = 0.2
    gate.set()
    for future in futures:
        future.result(10)
    writer.close()
    assert [operation.name for operation in groups[1]] == ["small", "bulk"]


def test_bulk_waits_a_moment_for_others_that_are_on_their_way(env, groups, monkeypatch):
    monkeypatch.setattr(writer_module, "BULK_GATHER_S_MAX", 30.0)
    writer = Writer(env, before_group=lambda ops: groups.append(list(ops)))
    with writer.expecting(), writer.expecting():
        first = writer.submit(Put("bulk", 1), bulk=True)
        second = writer.submit(Put("bulk", 2), bulk=True)
        assert [first.result(10), second.result(10)] == [1, 2]
    writer.close()
    assert [len(group) for group in groups] == [2]


def test_bulk_goes_alone_when_the_others_give_up_or_take_long(env, groups, monkeypatch):
    monkeypatch.setattr(writer_module, "BULK_GATHER_S_MAX", 30.0)
    writer = Writer(env, before_group=lambda ops: groups.append(list(ops)))
    with writer.expecting():
        with writer.expecting():
            first = writer.submit(Put("bulk", 1), bulk=True)
        assert first.result(10) == 1
    monkeypatch.setattr(writer_module, "BULK_GATHER_S_MAX", 0.01)
    with writer.expecting(), writer.expecting():
        assert writer.run(Put("bulk", 2), bulk=True) == 2
    writer.close()
    assert [len(group) for group in groups] == [1, 1]


def test_a_small_operation_waits_for_nobody(env, writer):
    with writer.expecting(), writer.expecting():
        assert writer.run(Put("small", 1)) == 1


def test_a_group_is_bounded(env, groups):
    writer = Writer(env, before_group=lambda ops: groups.append(list(ops)), group_max=10)
    gate, _ = held(writer)
    futures = [writer.submit(Put("a", n)) for n in range(25)]
    gate.set()
    for future in futures:
        future.result(10)
    writer.close()
    assert [len(group) for group in groups] == [1, 10, 10, 5]


def test_a_full_queue_is_busy_and_a_closed_writer_closed(env, writer, monkeypatch):
    monkeypatch.setattr(writer_module, "WRITER_QUEUE_MAX", 3)
    gate, _ = held(writer)
    futures = [writer.submit(Put("a", n)) for n in range(3)]
    with pytest.raises(Busy) as caught:
        writer.submit(Put("a", 9))
    assert caught.value.code == "writer-queue-full"
    cancelled = futures[2].cancel()
    gate.set()
    writer.close()
    assert cancelled
    assert counter(env, "a") == 1
    with pytest.raises(Closed):
        writer.submit(Put("a", 9))
    writer.close()


def test_what_before_group_raises_goes_to_all_and_the_writer_lives_on(env):
    errors = [NoSpace("full"), OSError(28, "No space left on device"), OSError(5, "EIO"), None]

    def before_group(operations):
        error = errors.pop(0)
        if error is not None:
            raise error

    writer = Writer(env, before_group=before_group)
    for kind in (NoSpace, NoSpace, Corrupt):
        with pytest.raises(kind):
            writer.run(Put("a", 1))
        assert counter(env, "a") == 0
    assert writer.run(Put("a", 1)) == 1
    writer.close()


def test_after_group_hears_what_became_durable_before_anyone_is_answered(env):
    heard = []
    futures = []
    fail_before = [False]

    def before_group(operations):
        if fail_before[0]:
            raise NoSpace("full")

    def after_group(operations, durable):
        states = [future.done() for future in futures]
        heard.append(([operation.name for operation in operations], durable, any(states)))
        raise RuntimeError("is logged, and harms nobody")

    writer = Writer(env, before_group=before_group, after_group=after_group)
    gate, first = held(writer)
    futures += [writer.submit(Put("a", 1, expected=5)), writer.submit(Put("b", 1))]
    gate.set()
    assert first.result(10) == futures[1].result(10) == 1
    fail_before[0] = True
    futures.clear()
    with pytest.raises(NoSpace):
        writer.run(Put("c", 1))
    writer.close()
    assert heard == [
        (["held"], [True], False),
        (["a", "b"], [False, True], False),
        (["c"], [False], False),
    ]


@pytest.mark.parametrize(
    ("error", "free", "expected", "code"),
    [
        (lmdb.DiskError(f"commit: {os.strerror(28)}"), 1 << 40, NoSpace, "disk-full"),
        (lmdb.Error(f"commit: {os.strerror(5)}"), 1000, NoSpace, "disk-full"),
        (lmdb.Error(f"commit: {os.strerror(5)}"), 1 << 40, Corrupt, "commit-failed"),
        (lmdb.MapFullError("put: MDB_MAP_FULL"), 1 << 40, NoSpace, "map-full"),
    ],
)
def test_errors_of_lmdb_become_ours_for_the_whole_group(env, error, free, expected, code):
    writer = Writer(env, space=lambda: free)
    gate, first = held(writer)
    futures = [writer.submit(Put("a", 1)), writer.submit(Put("b", 1, apply_error=error))]
    gate.set()
    first.result(10)
    for future in futures:
        with pytest.raises(expected) as caught:
            future.result(10)
        assert caught.value.code == code
    assert counter(env, "a") == 0
    assert writer.run(Put("a", 1)) == 1
    writer.close()


FULL_DISK = """
import resource, sys
from hangard.db.environment import WritableEnvironment
from hangard.db.writer import BULK_GROUP_MAX, Writer
from hangard.errors import NoSpace

class Fill:
    def check(self, tables): pass
    def apply(self, tables): tables.put_meta("big", b"x" * (1 << 20))

env = WritableEnvironment(sys.argv[1])
writer = Writer(env, space=lambda: 0)
resource.setrlimit(resource.RLIMIT_FSIZE, (256 << 10, resource.RLIM_INFINITY))
for _ in range(2):
    try:
        writer.run(Fill())
    except NoSpace as error:
        print(error.code)
with env.read() as tables:
    print(tables.find_meta("big"))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
writer.run(Fill())
with env.read() as tables:
    print(len(tables.find_meta("big")))
writer.close()
env.close()
"""


def test_a_disk_without_room_is_no_space_and_works_again_with_room(tmp_path):
    create_directory(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True
    )
    assert done.stdout.split() == ["disk-full", "disk-full", "None", str(1 << 20)], done.stderr


def test_answered_operations_survive_a_kill(tmp_path):
    create_directory(tmp_path)
    code = (
        "import os, sys\n"
        "from hangard.db.environment import WritableEnvironment\n"
        "from hangard.db.writer import Writer\n"
        "class Count:\n"
        "    def check(self, tables): pass\n"
        "    def apply(self, tables): return tables.next_number('n')\n"
        "writer = Writer(WritableEnvironment(sys.argv[1]))\n"
        "while True: os.write(1, b'%d\\n' % writer.run(Count()))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
    for _ in range(40):
        process.stdout.readline()
    process.kill()
    answered = [int(line) for line in process.stdout.read().split()]
    process.stdout.close()
    process.wait()
    with WritableEnvironment(tmp_path) as env:
        assert counter(env, "n") >= max(answered, default=40)
