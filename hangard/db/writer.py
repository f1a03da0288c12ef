"""The one thread that writes LMDB, and groups: one transaction and one fsync for all that waits.

While a group is being synced the next one gathers, so a busy writer commits few large transactions
and an idle one answers at once.

Small operations go first. Bulk ones (``submit(operation, bulk=True)``) join a group when no small
one waits or the oldest has waited BULK_WAIT_S_MAX, and BULK_GROUP_MAX of them at once: writers that
end together share one sync, and for one that is known to be on its way (``expecting``) a bulk group
waits BULK_GATHER_S_MAX. Who submits bulk operations bounds their size.

Errors  what an operation's ``check`` raises goes to its own future, and the others go on.
        Closed (``writer-closed``), Busy (``writer-queue-full``) from ``submit``.
        NoSpace (``disk-full``, ``map-full``) to the whole group, and the writer lives on: LMDB
        reports a full disk as EIO, so the free space is asked for.
        Corrupt (``commit-failed``) to the whole group when the disk refuses otherwise: whether
        that commit is there must be looked up, not assumed.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

import lmdb

from hangard.db.environment import WritableEnvironment
from hangard.db.filesystem import free_bytes
from hangard.db.full_disk import as_no_space
from hangard.db.tables import WriteTables
from hangard.errors import Busy, Closed, Corrupt, HangardError
from hangard.limits import LMDB_GROUP_OPERATIONS_MAX

WRITER_QUEUE_MAX = 4096
BULK_WAIT_S_MAX = 0.2
BULK_GROUP_MAX = 8  # a small operation that comes a moment later waits for so many
# How long a bulk operation waits for others that are about to come: four writers of 15,000 samples
# that end together do 0.90 of what one does with 60,000 without it, 0.98 with (bench_ingest.py).
BULK_GATHER_S_MAX = 0.02
READER_CHECK_S = 30.0

_log = logging.getLogger(__name__)


class Operation(Protocol):
    """What goes into a group. Both methods run on the writer's thread, and may run again in a new
    transaction when another operation of the group spoilt the first, so they must keep no state
    that only holds if the transaction commits."""

    def check(self, tables: WriteTables) -> None:
        """Raise to leave the group; nothing may have been written. Sees what operations before it
        in the group wrote."""

    def apply(self, tables: WriteTables) -> Any:
        """Write. The result becomes that of the future, once the transaction is durable."""


class _Waiting(NamedTuple):
    operation: Operation
    future: Future[Any]
    since_s: float


class Writer:
    """Commits operations to ``env``, in groups, on a thread of its own.

    ``before_group`` is called on that thread with the operations of a group, before the
    transaction begins (append what they need, fsync all files once); what it raises goes to all.
    ``after_group`` follows it always, with the operations and whether each became durable, before
    any future is answered: who waits for one finds the state that comes after it. It should not
    raise; what it raises is logged.
    ``space`` tells the free bytes of the disk; ``clock`` the seconds of a monotonic clock.
    """

    def __init__(
        self,
        env: WritableEnvironment,
        *,
        before_group: Callable[[list[Operation]], None] | None = None,
        after_group: Callable[[list[Operation], list[bool]], None] | None = None,
        group_max: int = LMDB_GROUP_OPERATIONS_MAX,
        space: Callable[[], int] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._env = env
        self._before_group = before_group
        self._after_group = after_group
        self._group_max = group_max
        self._space = space or (lambda: free_bytes(env.directory))
        self._clock = clock
        self._small: deque[_Waiting] = deque()
        self._bulk: deque[_Waiting] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self._expected = 0
        self._readers_checked_s = clock()
        self._env.check_readers()
        self._thread = threading.Thread(target=self._run, name="hangard-writer", daemon=True)
        self._thread.start()

    def submit(self, operation: Operation, *, bulk: bool = False) -> Future[Any]:
        """Queues an operation; its future is answered after the fsync of its group."""
        future: Future[Any] = Future()
        with self._wake:
            if self._closing:
                raise Closed("the writer has been closed", code="writer-closed")
            if self.waiting >= WRITER_QUEUE_MAX:
                raise Busy(f"{WRITER_QUEUE_MAX} commits wait already", code="writer-queue-full")
            queue = self._bulk if bulk else self._small
            queue.append(_Waiting(operation, future, self._clock()))
            self._wake.notify()
        return future

    def run(self, operation: Operation, *, bulk: bool = False) -> Any:
        """Submits it and waits for its result."""
        return self.submit(operation, bulk=bulk).result()

    @contextmanager
    def expecting(self) -> Iterator[None]:
        """While the block runs an operation is on its way, or being carried out: a bulk one that
        waits may share its group."""
        with self._wake:
            self._expected += 1
        try:
            yield
        finally:
            with self._wake:
                self._expected -= 1
                self._wake.notify()

    @property
    def waiting(self) -> int:
        """Operations in the queue."""
        return len(self._small) + len(self._bulk)

    def close(self) -> None:
        """Commits what waits, then ends the thread. May be called twice."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            group = self._next_group()
            if group is None:
                return
            if group:
                self._answer(group)
            if self._clock() - self._readers_checked_s >= READER_CHECK_S:
                self._check_readers()

    def _next_group(self) -> list[_Waiting] | None:
        """What goes next: empty after READER_CHECK_S without work, None when closed and done."""
        with self._wake:
            if not self._small and not self._bulk:
                if self._closing:
                    return None
                self._wake.wait(READER_CHECK_S)
            if self._bulk and not self._small:
                self._gather()
            group = [self._small.popleft() for _ in range(min(len(self._small), self._group_max))]
            if self._bulk and (
                not group or self._clock() - self._bulk[0].since_s >= BULK_WAIT_S_MAX
            ):
                count = min(len(self._bulk), BULK_GROUP_MAX)
                group += [self._bulk.popleft() for _ in range(count)]
        return [item for item in group if item.future.set_running_or_notify_cancel()]

    def _gather(self) -> None:
        """Wait a moment for operations that are about to come; call with the lock."""
        last_s = self._bulk[0].since_s + BULK_GATHER_S_MAX
        while not self._small and not self._closing and self.waiting < self._expected:
            left_s = last_s - self._clock()
            if left_s <= 0 or not self._wake.wait(left_s):
                return

    def _answer(self, group: list[_Waiting]) -> None:
        operations = [item.operation for item in group]
        answers: list[Any]
        try:
            if self._before_group is not None:
                self._before_group(operations)
            answers = self._commit(group)
        except Exception as error:
            answers = [_Refused(self._failure(error))] * len(group)
        if self._after_group is not None:
            durable = [not isinstance(answer, _Refused) for answer in answers]
            try:
                self._after_group(operations, durable)
            except Exception:
                _log.exception("what follows a commit failed")
        for item, answer in zip(group, answers, strict=True):
            if isinstance(answer, _Refused):
                item.future.set_exception(answer.error)
            else:
                item.future.set_result(answer)

    def _commit(self, group: list[_Waiting]) -> list[Any]:
        """One answer for each operation. Runs again without an operation whose ``apply`` raised,
        as that may have written half of what it wanted."""
        spoilt: dict[int, _Refused] = {}
        while True:
            try:
                return self._transaction(group, spoilt)
            except _SpoiltTransaction as spoiler:
                spoilt[spoiler.position] = _Refused(spoiler.error)
            except lmdb.MapFullError:
                raise
            except lmdb.Error:
                # Once the meta page could not be written, LMDB refuses all until it is reopened.
                self._env.reopen()
                raise

    def _transaction(self, group: Sequence[_Waiting], spoilt: dict[int, _Refused]) -> list[Any]:
        answers: list[Any] = []
        with self._env.write() as tables:
            for position, (operation, _, _) in enumerate(group):
                if position in spoilt:
                    answers.append(spoilt[position])
                    continue
                try:
                    operation.check(tables)
                except Exception as error:
                    if _concerns_all(error):
                        raise
                    answers.append(_Refused(error))
                    continue
                try:
                    answers.append(operation.apply(tables))
                except Exception as error:
                    if _concerns_all(error):
                        raise
                    raise _SpoiltTransaction(position, error) from error
            if all(isinstance(answer, _Refused) for answer in answers):
                tables.txn.abort()
        return answers

    def _failure(self, error: Exception) -> Exception:
        if isinstance(error, HangardError):
            return error
        full = as_no_space(error, self._space)
        if full is not None:
            return full
        if isinstance(error, (lmdb.Error, OSError)):
            _log.error("commit failed: %s", error)
            return Corrupt(
                f"the commit failed and may or may not be stored: {error}", code="commit-failed"
            )
        _log.exception("commit failed", exc_info=error)
        return error

    def _check_readers(self) -> None:
        self._readers_checked_s = self._clock()
        try:
            self._env.check_readers()
        except (HangardError, lmdb.Error) as error:
            _log.warning("dead readers could not be cleared: %s", error)


def _concerns_all(error: Exception) -> bool:
    """Whether the database failed, and not one operation (an illegal key is its own fault)."""
    return isinstance(error, lmdb.Error) and not isinstance(error, lmdb.BadValsizeError)


class _Refused(NamedTuple):
    """The answer to an operation that left its group."""

    error: Exception


class _SpoiltTransaction(Exception):
    """An ``apply`` raised: the transaction aborts, the others run again."""

    def __init__(self, position: int, error: Exception) -> None:
        super().__init__(position)
        self.position = position
        self.error = error
