import contextlib
import gc
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from hangard_client.windows import Windows

from hangard.errors import Unavailable
from hangard.limits import WINDOW_BYTES, WINDOWS_PER_CLIENT_MAX
from hangard.wire import windows as wire
from hangard.wire.endpoint import read_endpoint


@pytest.fixture
def socket_path(repo):
    repo.status()
    return read_endpoint(repo.path).windows_socket


def wait_for(repo, name, value):
    deadline = time.monotonic() + 20
    while repo.status()[name] != value and time.monotonic() < deadline:
        time.sleep(0.01)
    assert repo.status()[name] == value


def test_batches_travel_through_windows_that_end_with_the_client(repo, branch):
    rows = np.random.default_rng(1).integers(0, 256, (5000, 28, 28), dtype=np.uint8)
    with repo.checkout(branch, write=True) as co:
        column = co.add_ndarray_column("x", shape=(28, 28), dtype="u1", backend="numpy")
        column.put_many(range(5000), rows)
        assert repo.status()["windows"] == WINDOWS_PER_CLIENT_MAX
        assert (column.get_many(range(5000)) == rows).all()
        rows[:] = 0
        co.commit("windows")
    repo._inner._connection.drop_windows()
    wait_for(repo, "windows", 0)
    wait_for(repo, "memory_bytes", 0)


def test_a_killed_clients_windows_are_taken_back(repo, socket_path):
    code = """
import sys, time
from hangard_client.windows import Windows
windows = Windows(sys.argv[1])
print("ready", flush=True)
time.sleep(60)
"""
    repo._inner._connection.drop_windows()
    client = subprocess.Popen([sys.executable, "-c", code, socket_path], stdout=subprocess.PIPE)
    client.stdout.readline()
    wait_for(repo, "windows", WINDOWS_PER_CLIENT_MAX)
    client.send_signal(signal.SIGKILL)
    client.communicate()
    wait_for(repo, "windows", 0)


def test_a_window_cannot_be_shrunk_or_grown(socket_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
        peer.connect(socket_path)
        peer.sendall(wire.encode_ask(1))
        raw, (descriptor,), _, _ = socket.recv_fds(peer, wire.ANSWER.size, 1)
        count, number, size_bytes = wire.decode_answer(raw)
        assert (count, size_bytes) == (1, WINDOW_BYTES)
        assert number > 0
        for size in (0, WINDOW_BYTES + 1):
            with pytest.raises(PermissionError):
                os.ftruncate(descriptor, size)
        os.close(descriptor)


def test_windows_are_used_in_turns(socket_path):
    windows = Windows(socket_path)
    assert len({windows.next().number for _ in range(6)}) == WINDOWS_PER_CLIENT_MAX
    windows.close()
    windows.close()


def test_without_memory_for_windows_rows_travel_in_bodies(repo, branch, socket_path):
    held = []

    def take_all():
        while True:
            held.append(Windows(socket_path))

    with pytest.raises(Unavailable):
        take_all()
    assert repo.status()["windows"] == len(held) * WINDOWS_PER_CLIENT_MAX
    with repo.checkout(branch, write=True) as co:
        column = co.add_ndarray_column("x", shape=100_000, dtype="u1")
        column.put_many(range(20), np.ones((20, 100_000), "u1"))
        column["large"] = np.ones(100_000, "u1")
        co.commit("bodies")
    for windows in held:
        windows.close()
    gc.collect()
    wait_for(repo, "windows", 0)


def test_windows_that_the_daemon_took_back_are_replaced(repo, branch):
    with repo.checkout(branch, write=True) as co:
        column = co.add_ndarray_column("x", shape=1000, dtype="u1")
        repo._inner._connection.drop_windows()
        column.put_many(range(100), np.ones((100, 1000), "u1"))
        windows = repo._inner._connection._windows
        windows.close()
        wait_for(repo, "windows", 0)
        column.put_many(range(100, 200), np.ones((100, 1000), "u1"))
        assert repo._inner._connection._windows is not windows
        assert len(column) == 200
        co.commit("new windows")


@pytest.mark.parametrize("ask", [b"", b"HGW", b"GET / HTTP/1.1\r\n\r\n", b"HGW\x09\x02\0\0\0"])
def test_strange_questions_end_the_connection(socket_path, ask):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
        peer.settimeout(20)
        peer.connect(socket_path)
        peer.sendall(ask)
        peer.shutdown(socket.SHUT_WR)
        # What was not read when the daemon closed makes the end a reset.
        with contextlib.suppress(ConnectionResetError):
            assert peer.recv(100) == b""
