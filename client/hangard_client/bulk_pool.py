"""The worker processes of a bulk import, as their parent has them."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from multiprocessing.connection import wait
from typing import Any

from hangard.errors import InvalidRequest
from hangard_client.child import Child

WORKER = "hangard_client.bulk_worker"

Answer = tuple[str, Any, str]  # "done", samples, "" | "failed", error, where


class WorkerPool:
    """Workers that each do one task at a time. Errors of all: what a worker raised;
    InvalidRequest (``worker-ended``) if one died."""

    def __init__(self, job: bytes, count: int) -> None:
        self._workers: dict[Any, Child] = {}
        try:
            for _ in range(count):
                child = Child(WORKER)
                self._workers[child.connection] = child
                self._send(child.connection, job)
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
                    value.add_note(where)
                    raise value
                if waiting:
                    self._send(connection, waiting.pop())
                else:
                    busy.remove(connection)
                yield value

    def close(self, *, at_once: bool) -> None:
        """End the workers; ``at_once``: whatever they are doing."""
        for child in self._workers.values():
            child.end(at_once=at_once)
        self._workers.clear()

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.close(at_once=kind is not None)

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
        how = self._workers[connection].end()
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
