"""One worker of a bulk import: ``python -m hangard_client.bulk_worker FD``.

On the socket it gets a job, then tasks (arguments of the generator), and answers each. It ends
when its parent closes the socket.
"""

from __future__ import annotations

import pickle
import sys
import traceback
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any

from hangard.errors import InvalidRequest
from hangard_client.bulk_pool import Answer
from hangard_client.checkouts import WriteCheckout
from hangard_client.repository import Repository


def main(number: int) -> None:
    """Do what comes from the socket of this number."""
    connection: Any = Connection(number)
    with connection:
        try:
            work(connection)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            return


def work(connection: Any) -> None:
    """Until the parent closes its end. Errors: EOFError, then."""
    try:
        job = pickle.loads(connection.recv_bytes())
        repository = Repository(job["path"])
    except EOFError:
        raise
    except Exception as error:
        connection.send_bytes(pickled_answer(failure(error)))
        return
    with repository:
        checkout = repository.join(job["session"])
        try:
            while True:
                given = connection.recv_bytes()
                connection.send_bytes(pickled_answer(answer(checkout, job, given)))
        finally:
            checkout.close()


def answer(checkout: WriteCheckout, job: Mapping[str, Any], given: bytes) -> Answer:
    """Run the generator with these arguments; everything it yielded survives afterwards."""
    try:
        return "done", stage(checkout, job, pickle.loads(given)), ""
    except Exception as error:
        return failure(error)


def stage(checkout: WriteCheckout, job: Mapping[str, Any], given: Mapping[str, Any]) -> int:
    """How many samples. Errors: InvalidRequest (``undeclared-column``); those of the job's check,
    of the generator, and of put."""
    columns = frozenset(job["columns"])
    check = job["check"]
    staging = checkout._inner._staging
    count = 0
    for item in job["source"](**given):
        column, key, data = check(item)
        if column not in columns:
            raise InvalidRequest(
                f"column {column!r} is none of those that were declared: "
                + ", ".join(sorted(columns)),
                code="undeclared-column",
                column=column,
            )
        if staging.put(staging.buffer(column), key, data):
            while (post := staging.oldest_post()) is not None:
                post.result()
        count += 1
    checkout.flush()
    return count


def failure(error: Exception) -> Answer:
    """An answer that the parent raises."""
    where = "in a worker of the bulk import:\n" + "".join(traceback.format_exception(error))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        error = RuntimeError(f"{type(error).__name__}: {error}")
    return "failed", error, where


def pickled_answer(value: Answer) -> bytes:
    return pickle.dumps(value)


if __name__ == "__main__":
    main(int(sys.argv[1]))
