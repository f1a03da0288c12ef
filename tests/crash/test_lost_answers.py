"""The daemon dies after it carried a request out and before its answer is there: the client asks
again, and it counts once."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hangard_client
import numpy as np
import pytest
from hangard_client.transport import Transport

from hangard.errors import Unavailable
from hangard.wire import protocol
from hangard.wire.requests import Request


class LossyTransport:
    """Loses the first answer to a path, and kills the daemon that gave it."""

    def __init__(self, inner: Transport, path: str, pid: int) -> None:
        self._inner = inner
        self._path = path
        self._pid = pid

    async def send(self, request: Request[Any]) -> Any:
        answer = await self._inner.send(request)
        if request.path == self._path:
            os.kill(self._pid, signal.SIGKILL)
            raise Unavailable("the answer was lost", code="connection-lost")
        return answer

    async def close(self) -> None:
        await self._inner.close()


@pytest.fixture
def repo(tmp_path: Path) -> Iterator[hangard_client.Repository]:
    with hangard_client.Repository(
        tmp_path / "r", create=True, user_name="Ada", user_email="ada@example.org", idle_s=60
    ) as opened:
        yield opened
        opened.stop()


def lose_answer(repo: hangard_client.Repository, path: str) -> int:
    """Let the next answer to ``path`` be lost with its daemon, whose pid this is."""
    pid = repo.status()["pid"]
    connection = repo._inner._connection
    connection._transport = LossyTransport(connection._transport, path, pid)
    return pid


def rows(n: int) -> np.ndarray:
    return np.random.default_rng(n).integers(0, 256, (n, 16), np.uint8)


@pytest.mark.parametrize("n", [3, 30_000])
def test_a_commit_whose_answer_was_lost_is_made_once(
    repo: hangard_client.Repository, n: int
) -> None:
    with repo.checkout("main", write=True) as co:
        column = co.add_ndarray_column("a", shape=(16,), dtype="uint8")
        for key, row in enumerate(rows(n)):
            column[key] = row
        killed = lose_answer(repo, protocol.COMMIT)
        digest = co.commit("once")
        assert repo.status()["pid"] != killed
        assert [entry.digest for entry in repo.log("main")] == [digest]
        # What rode on the request is committed, not staged again.
        assert [session.staged for session in repo.sessions()] == [0]
        column[n] = rows(1)[0]
        second = co.commit("more")
    assert [entry.digest for entry in repo.log("main")] == [second, digest]
    assert repo.sessions() == []
    with repo.checkout("main") as co:
        assert np.array_equal(co["a"].get_many(range(n)), rows(n))


def test_a_checkout_goes_on_from_a_commit_whose_answer_never_came(
    repo: hangard_client.Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    with repo.checkout("main", write=True) as co:
        column = co.add_ndarray_column("a", shape=(16,), dtype="uint8")
        column.put_many(range(5), rows(5))
        co.flush()
        with monkeypatch.context() as once:
            once.setattr("hangard_client.connection.ATTEMPTS_MAX", 1)
            lose_answer(repo, protocol.COMMIT)
            with pytest.raises(Unavailable):
                co.commit("nobody knows")
        co.flush()
        (made,) = repo.log("main")
        assert co.commit_digest == made.digest
        assert sorted(column) == list(range(5))
        assert np.array_equal(column[4], rows(5)[4])
        column[5] = rows(1)[0]
        second = co.commit("more")
    assert [entry.digest for entry in repo.log("main")] == [second, made.digest]


def test_changes_whose_answer_was_lost_are_staged_once_or_told(
    repo: hangard_client.Repository,
) -> None:
    with repo.checkout("main", write=True) as co:
        column = co.add_ndarray_column("a", shape=(16,), dtype="uint8")
        co.commit("column")
        lose_answer(repo, protocol.CHANGES)
        column.put_many(range(30_000), rows(30_000))
        del column[7]
        column[8] = rows(1)[0]
        co.commit("samples")
    with repo.checkout("main") as co:
        assert len(co["a"]) == 29_999
        assert np.array_equal(co["a"][8], rows(1)[0])


def test_a_flush_whose_answer_was_lost_is_asked_for_again(repo: hangard_client.Repository) -> None:
    with repo.checkout("main", write=True) as co:
        column = co.add_ndarray_column("a", shape=(16,), dtype="uint8")
        column[1] = rows(1)[0]
        lose_answer(repo, protocol.FLUSH)
        co.flush()
        co.commit("flushed")
    with repo.checkout("main") as co:
        assert list(co["a"]) == [1]


def test_windows_of_a_daemon_that_ended_are_not_taken_for_those_of_the_next(
    repo: hangard_client.Repository,
) -> None:
    first, second = rows(30_000), rows(30_001)
    with (
        hangard_client.Repository(repo.path, user_name="Bob", user_email="b@example.org") as other,
        repo.checkout("main", write=True) as co,
    ):
        column = co.add_ndarray_column("a", shape=(16,), dtype="uint8")
        column.put_many(range(30_000), first)
        co.commit("first")
        os.kill(repo.status()["pid"], signal.SIGKILL)
        # Another client starts the next daemon, and fills its windows.
        with other.checkout("main", write=True) as others:
            others["a"].put_many(range(100_000, 160_000), np.zeros((60_000, 16), np.uint8))
            column.put_many(range(30_001), second)
            co.commit("second")
            others.commit("zeros")
    with repo.checkout("main") as co:
        assert np.array_equal(co["a"].get_many(range(30_001)), second)
        assert not co["a"].get_many(range(100_000, 160_000)).any()
