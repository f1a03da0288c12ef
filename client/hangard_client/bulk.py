"""Bulk import: a user's generator runs in worker processes, each a client of one session.

::

    def rows(path):
        for number, line in enumerate(open(path)):
            yield "numbers", f"{path}-{number}", np.fromstring(line, sep=" ")

    hangard_client.bulk_import(repo, "main", rows, [{"path": "a.txt"}, {"path": "b.txt"}])

All or nothing: one commit at the end; an error anywhere ends the workers and drops what they
staged. The generator is called once for each set of arguments, in no order. Workers get it by
value (cloudpickle), so it may stand in a notebook; where two sets give the same key, either wins.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from hangard.errors import InvalidRequest, InvalidType, UnknownColumn
from hangard_client.history import CommitDigest

if TYPE_CHECKING:
    from hangard_client.checkouts import WriteCheckout
    from hangard_client.repository import Repository

WORKERS_MAX = 64
SAMPLED_MAX = 16  # samples that are made twice, to see whether they are the same

Source: TypeAlias = Callable[..., Iterator[Any]]
CheckItem: TypeAlias = Callable[[Any], "BulkSample"]


class BulkSample(NamedTuple):
    """What the generator yields; a plain tuple of three will do."""

    column: str
    key: Any
    data: Any


@dataclass(frozen=True, slots=True)
class BulkProgress:
    """How far a bulk import is: sets of arguments that are done, of how many, and samples."""

    done: int
    total: int
    samples: int


def bulk_import(
    repository: Repository,
    branch: str,
    source: Source,
    arguments: Sequence[Mapping[str, Any]],
    *,
    columns: Sequence[str] | None = None,
    workers: int = 0,
    message: str = "bulk import",
    metadata: Mapping[str, str] | None = None,
    report: Callable[[BulkProgress], None] | None = None,
) -> CommitDigest:
    """Import what a generator function yields for each set of arguments; the commit's digest.

    ``source``     yields (column, key, sample); it must give the same when it is called again
    ``columns``    those it may write to, which exist on the branch (default: all of them)
    ``workers``    processes, at most one a set of arguments; 0: half as many as there are CPUs
    ``report``     called with a BulkProgress after each set of arguments; without it a bar stands
                   on standard error, if that is a terminal

    Errors: InvalidType (``not-a-generator``, ``wrong-arguments``, ``not-a-sample``);
    InvalidRequest (``not-picklable``, ``undeclared-column``, ``not-deterministic``,
    ``worker-ended``); UnknownColumn; what the generator raises; those of put and commit. After
    each nothing is staged and nothing committed.
    """
    check_source(source, arguments)
    with repository.checkout(branch, write=True) as checkout:
        try:
            stage_in_processes(
                checkout,
                source,
                arguments,
                path=str(repository.path),
                columns=columns,
                workers=workers,
                check=as_sample,
                report=report,
            )
            commit: CommitDigest = checkout.commit(message, metadata=metadata)
        except BaseException:
            checkout.abort()
            raise
    return commit


def check_source(source: Any, arguments: Any) -> None:
    """Errors: InvalidType (``not-a-generator``, ``wrong-arguments``)."""
    if not inspect.isgeneratorfunction(source):
        raise InvalidType(
            f"{source!r} is no generator function: one that yields samples", code="not-a-generator"
        )
    signature = inspect.signature(source)
    for number, given in enumerate(arguments):
        try:
            signature.bind(**given)
        except TypeError as error:
            raise InvalidType(
                f"arguments {number} do not fit {source.__name__}{signature}: {error}",
                code="wrong-arguments",
            ) from error


def as_sample(item: Any) -> BulkSample:
    """Errors: InvalidType (``not-a-sample``)."""
    if not isinstance(item, tuple) or len(item) != 3 or not isinstance(item[0], str):
        raise InvalidType(
            f"the generator yields (column, key, sample), not {type(item).__name__}",
            code="not-a-sample",
        )
    return BulkSample(*item)


def check_deterministic(source: Source, given: Mapping[str, Any], check: CheckItem) -> None:
    """Errors: InvalidRequest (``not-deterministic``) if two calls with the same arguments differ
    in their first samples; those of ``check``; what the generator raises."""
    first, second = (islice(source(**given), SAMPLED_MAX) for _ in range(2))
    for one, other in zip_longest(first, second):
        if one is not None:
            check(one)
        if one is None or other is None or not _equal(check(one), check(other)):
            raise InvalidRequest(
                f"two calls of {source.__name__} with the same arguments yielded different samples",
                code="not-deterministic",
            )


def stage_in_processes(
    checkout: WriteCheckout,
    source: Source,
    arguments: Sequence[Mapping[str, Any]],
    *,
    path: str,
    columns: Sequence[str] | None,
    workers: int,
    check: CheckItem,
    report: Callable[[BulkProgress], None] | None,
) -> int:
    """Let workers stage in a checkout's session; how many samples. Errors: as ``bulk_import``;
    the caller drops what is staged."""
    from hangard_client.bulk_bar import bar_unless
    from hangard_client.bulk_pool import WorkerPool, pickled

    declared = list(checkout if columns is None else columns)
    for name in declared:
        if name not in checkout:
            raise UnknownColumn(f"there is no column {name!r}", column=name)
    if not arguments:
        return 0
    job = pickled(
        {
            "path": path,
            "session": checkout.session,
            "source": source,
            "check": check,
            "columns": declared,
        }
    )
    tasks = [pickled(dict(given)) for given in arguments]
    check_deterministic(source, arguments[0], check)
    samples = 0
    with (
        bar_unless(report, len(tasks)) as tell,
        WorkerPool(job, worker_count(workers, len(tasks))) as pool,
    ):
        for done, count in enumerate(pool.run(tasks), 1):
            samples += count
            tell(BulkProgress(done, len(tasks), samples))
    return samples


def worker_count(wanted: int, tasks: int) -> int:
    """Processes for so many tasks; ``wanted`` 0 or less: half as many as there are CPUs."""
    count = wanted if wanted > 0 else max(1, (os.cpu_count() or 1) // 2)
    return min(count, tasks, WORKERS_MAX)


def _equal(one: BulkSample, other: BulkSample) -> bool:
    if (one.column, one.key) != (other.column, other.key):
        return False
    if isinstance(one.data, np.ndarray) or isinstance(other.data, np.ndarray):
        first, second = np.asarray(one.data), np.asarray(other.data)
        return first.dtype == second.dtype and first.tobytes() == second.tobytes()
    return bool(one.data == other.data)
