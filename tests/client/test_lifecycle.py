"""Daemons that are started, end, are killed and replaced while clients go on."""

import os
import resource
import select
import signal
import subprocess
import sys
import time

import hangard_client
import numpy as np
import pytest
from hangard_client import starting

from hangard.errors import Closed, InvalidRequest, NoRepository, Unavailable
from hangard.wire.endpoint import read_endpoint

ROW = np.arange(12, dtype="i4")


@pytest.fixture
def own(tmp_path):
    """A repository of the test's own, since its daemon is going to suffer."""
    repo = hangard_client.Repository(
        tmp_path / "repo", create=True, idle_s=60, user_name="Ada", user_email="a@example.org"
    )
    yield repo
    repo.stop()
    repo.close()


def kill_daemon(repo, number=signal.SIGKILL):
    pid = read_endpoint(repo.path).pid
    process = os.pidfd_open(pid)
    os.kill(pid, number)
    assert select.select([process], [], [], 30)[0]
    os.close(process)
    return pid


def test_opening_and_reading_start_no_daemon(own):
    with own.checkout("main", write=True) as co:
        co.add_ndarray_column("x", shape=12, dtype="i4")[1] = ROW
        co.commit("first")
    assert own.stop()
    assert not own.stop()
    with hangard_client.open(own.path) as repo:
        with repo.checkout("main") as co:
            assert (co["x", 1] == ROW).all()
        assert repo.log()[0].message == "first"
    assert read_endpoint(own.path) is None


def test_no_repository_is_a_clear_error(tmp_path):
    with pytest.raises(NoRepository):
        hangard_client.open(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


def test_the_first_branch_can_be_named(tmp_path):
    with hangard_client.open(tmp_path / "r", create=True, branch="trunk") as repo:
        assert repo.branches() == {"trunk": None}
        repo.stop()
    with pytest.raises(InvalidRequest):
        hangard_client.open(tmp_path / "r2", create=True, branch="a b")


def test_four_clients_at_once_start_one_daemon(own):
    own.stop()
    code = "import hangard_client, sys; print(hangard_client.open(sys.argv[1]).status()['pid'])"
    clients = [
        subprocess.Popen([sys.executable, "-c", code, str(own.path)], stdout=subprocess.PIPE)
        for _ in range(4)
    ]
    pids = {client.communicate(timeout=60)[0] for client in clients}
    assert len(pids) == 1
    assert int(pids.pop()) == own.status()["pid"]


def test_a_daemon_hears_no_signal_of_its_clients_group(own):
    pid = own.status()["pid"]
    assert os.getsid(pid) != os.getsid(0)


def test_a_killed_daemon_is_replaced_and_what_was_flushed_is_there(own):
    with own.checkout("main", write=True) as co:
        column = co.add_ndarray_column("x", shape=12, dtype="i4")
        column.update({1: ROW, 2: ROW + 1})
        co.flush()
        old = kill_daemon(own)
        column[3] = ROW + 2
        assert (column[1] == ROW).all()
        co.commit("after a kill")
        assert own.status()["pid"] != old
    with own.checkout("main") as co:
        assert [int(co["x", i][0]) for i in (1, 2, 3)] == [0, 1, 2]


def test_changes_that_a_killed_daemon_lost_are_not_forgotten_silently(own, monkeypatch):
    with own.checkout("main", write=True) as co:
        column = co.add_ndarray_column("x", shape=12, dtype="i4")
        column.update({1: ROW})
        co.flush()
        # As if more had been accepted, but the daemon was killed before it stored them.
        co._inner._sender._next += 5
        kill_daemon(own)
        column[2] = ROW
        with pytest.raises(Closed) as caught:
            co.commit("must not succeed")
        assert caught.value.code == "staged-changes-lost"
        with pytest.raises(Closed):
            co.commit("nor now")
        co._inner._closed = True
    assert own.log() == []


def test_an_idle_daemon_ends_and_the_next_change_finds_another(tmp_path):
    repo = hangard_client.Repository(
        tmp_path / "repo", create=True, idle_s=0.3, user_name="A", user_email="a@example.org"
    )
    with repo, repo.checkout("main", write=True) as co:
        column = co.add_ndarray_column("x", shape=12, dtype="i4")
        column.update({1: ROW})
        old = repo.status()["pid"]
        process = os.pidfd_open(old)
        assert select.select([process], [], [], 30)[0]
        os.close(process)
        assert read_endpoint(repo.path) is None
        column[2] = ROW
        co.commit("two lives")
        assert len(column) == 2
        repo.stop()


def test_sigterm_drains_before_the_end(own):
    with own.checkout("main", write=True) as co:
        column = co.add_ndarray_column("x", shape=12, dtype="i4")
        column.put_many(range(5000), np.tile(ROW, (5000, 1)))
        kill_daemon(own, signal.SIGTERM)
        assert read_endpoint(own.path) is None
        assert len(column) == 5000
        co.commit("nothing was lost")


def test_a_stale_endpoint_is_recognised(own):
    endpoint = own.path / ".hangard" / "daemon.json"
    own.status()
    content = endpoint.read_bytes()
    own.stop()
    endpoint.write_bytes(content)
    assert starting.find_endpoint(own.path) is None
    assert own.status()["pid"]


def test_a_daemon_that_cannot_start_says_why(own):
    own.stop()
    (own.path / ".hangard" / "format").write_bytes(b"damaged")
    with pytest.raises((Unavailable, OSError)) as caught:
        own.status()
    assert "format" in str(caught.value)
    (own.path / ".hangard" / "format").unlink()


def test_the_second_daemon_of_a_repository_is_refused(own):
    own.status()
    second = subprocess.run(
        [sys.executable, "-m", "hangard.daemon", str(own.path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert second.returncode == 1
    assert "in use by process" in second.stderr
    assert own.status()["pid"]


def test_a_commit_whose_answer_was_lost_is_not_done_twice(own, monkeypatch):
    with own.checkout("main", write=True) as co:
        column = co.add_ndarray_column("x", shape=12, dtype="i4")
        column[1] = ROW
        transport = own._portal.run(co._inner._sender.connection.connect())
        send = transport.send
        lost = []

        async def lose_first(request):
            answer = await send(request)
            if request.path == "/commit" and not lost:
                lost.append(answer)
                raise Unavailable("the answer was lost", code="connection-lost")
            return answer

        monkeypatch.setattr(transport, "send", lose_first)
        digest = co.commit("once")
        assert digest == lost[0].digest
    assert len(own.log()) == 1


def test_a_lease_ends_with_its_client(own):
    code = """
import hangard_client, sys, time
co = hangard_client.open(sys.argv[1]).checkout("main", write=True, exclusive=True)
print(co.session, flush=True)
time.sleep(60)
"""
    client = subprocess.Popen(
        [sys.executable, "-c", code, str(own.path)], stdout=subprocess.PIPE, text=True
    )
    session = client.stdout.readline().strip()
    assert session in own.status()["leases"]
    client.kill()
    client.communicate()
    deadline = time.monotonic() + 20
    while own.status()["leases"] and time.monotonic() < deadline:
        time.sleep(0.02)
    with own.checkout("main", write=True, exclusive=True):
        pass


def test_the_end_of_a_process_is_seen_by_who_has_many_files_open():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    try:
        with subprocess.Popen(["/bin/true"]) as process:
            found = starting.open_process(process.pid)
            high = os.dup2(found, 2000, inheritable=False)
            os.close(found)
            starting.wait_for_end(high, wait_s=30)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
