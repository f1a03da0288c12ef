"""The worker processes of a bulk import, as their parent has them."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

from hangard.errors import InvalidRequest

END_S_MAX = 10.0  # how long a worker that is done may take to leave

Answer = tuple[str, Any, str]  # "done", samples, "" | "failed", error, where


class WorkerPool:
    """Workers that each do one task at a time. Errors of all: what a worker raised;
    InvalidRequest (``worker-ended``) if one died."""

    def __init__(self, job: bytes, count: int) -> None:
        self._workers: dict[Any, subprocess.Popen[bytes]] = {}
        try:
            for _ in range(count):
                self._start(job)
        except BaseException:
            self.close(at_once=True)
            raise

    def run(self, tasks: Sequence[bytes]) -> Iterator[int]:
        """Do all tasks; yields how many samples each gave, as they are done."""
        waiting = list(reversed(tasks))
        busy = []
        for connection in self._workers:
            if waiting:
                self._send(connection, waiting.pop())
                busy.append(connection)
        while busy:
            for connection in wait(busy):
                kind, value, where = self._answer(connection)
                if kind == "failed":
                    if where:
                        value.add_note(where)
                    raise value
                if waiting:
                    self._send(connection, waiting.pop())
                else:
                    busy.remove(connection)
                yield value

    def close(self, *, at_once: bool) -> None:
        """End the workers; ``at_once``: whatever they are doing."""
        for connection, process in self._workers.items():
            connection.close()  # a worker that waits for a task ends
            if at_once:
                process.kill()
            try:
                process.wait(END_S_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._workers.clear()

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.close(at_once=kind is not None)

    def _start(self, job: bytes) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            number = theirs.fileno()
            # A program of its own, not a fork of one that has threads, nor another run of the
            # user's script.
            process = subprocess.Popen(
                [sys.executable, "-m", "hangard_client.bulk_worker", str(number)],
                pass_fds=(number,),
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        connection = Connection(ours.detach())
        self._workers[connection] = process
        self._send(connection, job)

    def _send(self, connection: Any, message: bytes) -> None:
        try:
            connection.send_bytes(message)
        except OSError as error:
            raise self._ended(connection) from error

    def _answer(self, connection: Any) -> Answer:
        try:
            answer: Answer = pickle.loads(connection.recv_bytes())
        except (EOFError, OSError) as error:
            raise self._ended(connection) from error
        return answer

    def _ended(self, connection: Any) -> InvalidRequest:
        code = self._workers[connection].wait()
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        return InvalidRequest(
            f"a worker of the bulk import was ended {how}; nothing was imported",
            code="worker-ended",
        )


def pickled(value: Any) -> bytes:
    """By value, also what is defined in a script or a notebook.

    Errors: InvalidRequest (``not-picklable``).
    """
    import cloudpickle

    try:
        result: bytes = cloudpickle.dumps(value)
    except Exception as error:
        raise InvalidRequest(
            f"the generator and its arguments must be such that cloudpickle takes them: {error}",
            code="not-picklable",
        ) from error
    return result
