"""Exclusive sessions: one client at a time, taken by force, held again after a restart."""

import os
import signal
import subprocess
import sys
import time

import hangard_client
import numpy as np
import pytest

from hangard.errors import Busy, Closed
from hangard.wire.endpoint import read_endpoint

ROW = np.arange(6, dtype="u1")


@pytest.fixture
def own(tmp_path):
    """A repository of the test's own."""
    repo = hangard_client.Repository(
        tmp_path / "repo", create=True, idle_s=60, user_name="Ada", user_email="a@example.org"
    )
    yield repo
    repo.stop()
    repo.close()


def hold(repo):
    return repo.checkout("main", write=True, name="mine", exclusive=True)


def test_a_named_exclusive_session_has_one_client(own):
    with hold(own) as co:
        assert own.exclusive_session().id == "mine"
        for arguments in ({"name": "mine"}, {"name": "mine", "exclusive": True}):
            with pytest.raises(Busy):
                own.checkout("main", write=True, **arguments)
        with pytest.raises(Busy):
            own.checkout(session="mine")
        co.add_ndarray_column("x", shape=6, dtype="u1")[1] = ROW
        co.commit("alone")
    assert own.exclusive_session() is None
    assert [info.id for info in own.sessions()] == []


def test_who_is_refused_learns_who_holds_the_lease_and_since_when(own):
    before_s = int(time.time())
    with hold(own) as co, own.checkout("main", write=True) as other:
        other.add_ndarray_column("y", shape=6, dtype="u1")
        for use in (lambda: hold(own), lambda: other.commit("not now")):
            with pytest.raises(Busy, match=f"pid {os.getpid()}, since 20") as caught:
                use()
            assert caught.value.code == "exclusive-session"
            details = caught.value.details
            assert (details["session"], details["pid"]) == (co.session, os.getpid())
            assert details["user"]
            assert before_s <= details["since_s"] <= time.time()
        other.abort()


def test_a_session_that_was_shared_becomes_exclusive(own):
    own.checkout("main", write=True, name="mine").close()
    co = own.checkout("main", write=True, name="mine")
    co.add_ndarray_column("x", shape=6, dtype="u1")
    with pytest.warns(hangard_client.UncommittedWarning):
        co.close()
    with hold(own) as co:
        assert list(co) == ["x"]
        with pytest.raises(Busy):
            hold(own)
        co.abort()


def test_closing_gives_the_lease_back_before_it_returns(own):
    for _ in range(20):
        hold(own).close()


def test_who_lost_the_lease_by_force_is_refused(own):
    old = hold(own)
    column = old.add_ndarray_column("x", shape=6, dtype="u1")
    column.update({1: ROW})
    column[2] = ROW
    assert own.release_exclusive().id == "mine"
    assert own.exclusive_session() is None
    for call in (
        lambda: column.update({3: ROW}),
        lambda: column[1],
        lambda: old.commit("too late"),
        lambda: old.merge("main", "too late"),
        lambda: old.diff(),
        lambda: old.add_ndarray_column("y", shape=6, dtype="u1"),
    ):
        with pytest.raises(Closed) as caught:
            call()
        assert caught.value.code == "lease-taken"
    with hold(own) as new:
        assert list(new["x"]) == [1]
        new.commit("what was sent")
        old.close()
        assert own.exclusive_session().id == "mine"
    assert own.release_exclusive() is None


CHILD = """
import sys, time, hangard_client
repo = hangard_client.open(sys.argv[1], user_name="B", user_email="b@example.org")
co = repo.checkout("main", write=True, name="mine", exclusive=True)
column = co.add_ndarray_column("x", shape=6, dtype="u1")
print("held", flush=True)
sys.stdin.readline()
try:
    co.commit("too late", allow_empty=True)
except PermissionError as error:
    print(error.code)
"""


def child(repo):
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", CHILD, str(repo.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    return process


def test_a_lease_is_taken_from_another_process_even_if_that_is_stopped(own):
    process = child(own)
    with pytest.raises(Busy):
        hold(own)
    os.kill(process.pid, signal.SIGSTOP)
    assert own.release_exclusive().pid == process.pid
    with hold(own) as co:
        os.kill(process.pid, signal.SIGCONT)
        output, _ = process.communicate("go on\n", timeout=60)
        assert output.strip() == "lease-taken"
        assert own.exclusive_session().pid == os.getpid()
        co.abort()
    assert own.log("main") == []


def test_the_session_of_a_killed_client_can_be_held_at_once(own):
    process = child(own)
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 20
    while own.exclusive_session() is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    with hold(own) as co:
        assert list(co) == ["x"]
        co.abort()
    assert own.sessions() == []


def test_a_lease_is_held_again_after_a_restart_of_the_daemon(own):
    with hold(own) as co:
        column = co.add_ndarray_column("x", shape=6, dtype="u1")
        column.update({1: ROW})
        co.flush()
        os.kill(read_endpoint(own.path).pid, signal.SIGKILL)
        column.update({2: ROW})
        assert own.exclusive_session().id == "mine"
        co.commit("two lives")


def test_a_lease_that_another_took_after_a_restart_is_lost(own):
    old = hold(own)
    column = old.add_ndarray_column("x", shape=6, dtype="u1")
    column.update({1: ROW})
    own.stop()
    with hold(own) as new:
        column[2] = ROW
        with pytest.raises(Closed) as caught:
            old.flush()
        assert caught.value.code == "lease-taken"
        assert list(new["x"]) == [1]
        new.commit("mine now")
    old.close()
    assert own.sessions() == []


FORKING = """
import os, sys, time, hangard_client
repo = hangard_client.open(sys.argv[1], user_name="B", user_email="b@example.org")
co = repo.checkout("main", write=True, name="mine", exclusive=True)
child = os.fork()
if not child:
    time.sleep(60)
print(child, flush=True)
os.kill(os.getpid(), 9)
"""


def test_a_forked_child_does_not_hold_the_lease_of_its_dead_parent(own):
    with subprocess.Popen(
        [sys.executable, "-c", FORKING, str(own.path)], stdout=subprocess.PIPE, text=True
    ) as process:
        child = int(process.stdout.readline())
        process.wait()
        try:
            deadline = time.monotonic() + 20
            while own.exclusive_session() is not None and time.monotonic() < deadline:
                time.sleep(0.01)
            assert own.exclusive_session() is None
        finally:
            os.kill(child, signal.SIGKILL)
