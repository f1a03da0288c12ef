"""One session's changes on their way: accepted, prepared (several at once), applied (in order).

A change is answered as soon as its bytes are here; from then on it does not depend on its client.
What fails afterwards is kept and raised at the next call of the session, with the keys it loses;
the changes behind it are applied all the same.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

from hangard_ext.treekey import decode_key

from hangard.daemon.applying import STREAM_SHIFT, Applier, ChangeTarget, Entry, Future, Lost
from hangard.daemon.memory import Reservation
from hangard.daemon.threads import Threads
from hangard.errors import Busy, Closed, HangardError, InvalidRequest
from hangard.limits import CONFLICT_KEYS_MAX
from hangard.model.keys import PackedKeys
from hangard.repository.changes import Change

QUEUE_CHANGES_MAX = 64  # accepted and not yet applied, of one session
QUEUE_S_MAX = 10.0  # how long a request waits for room in the queue
FAILURES_MAX = 64
KEYS_NAMED_MAX = 5  # in a message; details list more

T = TypeVar("T")


@dataclass(slots=True)
class Work:
    """One change: ``prepare`` runs in a thread and gives what is to be applied."""

    column: str
    keys: PackedKeys
    prepare: Callable[[], Change]
    held: Reservation | None = None  # memory of its own, given back when it is prepared
    more: bool = False  # it is staged together with the next of its client


class Pipeline:
    """Used on the event loop only."""

    def __init__(self, session: str, target: ChangeTarget, threads: Threads) -> None:
        self.session = session
        self.target = target
        self.attached = 0  # clients that attached and did not leave
        self.column_lock = asyncio.Lock()
        self.column_sequence = 0  # next number in the daemon's own stream, for column changes
        self._threads = threads
        self._changes = Applier(target)
        self._accepted: dict[int, int] = {}
        self._queue: deque[Entry] = deque()
        self._applier: asyncio.Task[None] | None = None
        self._progress = asyncio.Event()
        self._failures: list[Lost] = []
        # By stream: the last request that was told of failures, and which, in case it is repeated.
        self._told: dict[int, tuple[int | bytes, list[Lost]]] = {}
        self._entered = 0
        self._left = 0

    @property
    def queued(self) -> int:
        """Changes accepted and not yet applied."""
        return self._entered - self._left

    def attach(self, first: int, last_sequence: int = 0) -> None:
        """A client's stream begins; its first change has the number ``first``.

        ``last_sequence`` is of the stream that the same client had before, which ends.
        """
        if self._accepted.pop(last_sequence >> STREAM_SHIFT, None) is None:
            self.attached += 1
        self._changes.forget(last_sequence >> STREAM_SHIFT)
        told, lost = self._told.pop(last_sequence >> STREAM_SHIFT, (0, []))
        if isinstance(told, int) and told > last_sequence:
            self._failures[:0] = lost  # in an answer that the client never got
        self._accepted[first >> STREAM_SHIFT] = first - 1

    def detach(self, last_sequence: int) -> None:
        """A client left: one of this daemon's life, or of none that is known (0)."""
        stream = last_sequence >> STREAM_SHIFT
        if not stream or self._accepted.pop(stream, None) is not None:
            self.attached -= 1
        self._told.pop(stream, None)

    def check_next(self, sequence: int, count: int) -> bool:
        """Whether changes from ``sequence`` on are new; False if all of them were accepted before.

        Errors: Closed (``unknown-stream``), InvalidRequest (``sequence-gap``).
        """
        accepted = self._accepted.get(sequence >> STREAM_SHIFT)
        if accepted is None:
            raise Closed(
                f"this client is not attached to session {self.session}; resume it",
                code="unknown-stream",
            )
        if sequence + count - 1 <= accepted:
            return False
        if sequence != accepted + 1:
            raise InvalidRequest(
                f"the change after number {accepted} is expected, not {sequence}",
                code="sequence-gap",
                expected=accepted + 1,
            )
        return True

    async def wait_for_room(self) -> None:
        """Errors: Busy (``queue-full``)."""
        if self.queued < QUEUE_CHANGES_MAX:
            return
        try:
            async with asyncio.timeout(QUEUE_S_MAX):
                while self.queued >= QUEUE_CHANGES_MAX:
                    await self._next_progress()
        except TimeoutError:
            raise Busy(
                f"{self.queued} changes of session {self.session} wait to be stored",
                code="queue-full",
            ) from None

    def accept(self, sequence: int, works: Sequence[Work], reservation: Reservation) -> bool:
        """Take changes over, numbered from ``sequence`` on. False if they were accepted before.

        ``reservation`` is released when all of them are prepared, or when none is new.
        Errors: as ``check_next``; nothing is accepted then, and the reservation stays.
        """
        if not works or not self.check_next(sequence, len(works)):
            reservation.release()
            return False
        self._accepted[sequence >> STREAM_SHIFT] = sequence + len(works) - 1
        futures = [self._threads.prepare(work.prepare) for work in works]
        release_when_done(futures, reservation)
        for work, future in zip(works, futures, strict=True):
            if work.held is not None:
                release_when_done([future], work.held)
        for number, (work, future) in enumerate(zip(works, futures, strict=True), sequence):
            self._queue.append(Entry(number, work.column, work.keys, future, work.more))
        self._entered += len(works)
        if self._applier is None:
            self._applier = asyncio.create_task(self._apply_all())
        return True

    async def commit(
        self,
        sequence: int,
        works: Sequence[Work],
        commit: Callable[[], T],
        reservation: Reservation,
        *,
        command: bytes = b"",
        find_done: Callable[[], T | None] = lambda: None,
    ) -> T:
        """Accept changes that ride on a commit, apply all that was accepted, run ``commit``.

        ``find_done`` gives the result of a command that is repeated because a restart of the daemon
        took its answer: what rides on it is in that commit, and is not staged again.
        All of it is one visit to a thread if nothing else is queued: a visit costs 50 to 100 us.
        Errors: what changes that were accepted failed with; those of ``commit``.
        """
        try:
            await self.drain()
            # It may have come twice, and the other was first.
            if works and not self.check_next(sequence, len(works)):
                release_held(works)
                works = ()
        except BaseException:
            release_held(works)
            raise
        with reservation:
            lost = self._told_to(sequence, command) or self._take_failures()
            if works:
                self._accepted[sequence >> STREAM_SHIFT] = sequence + len(works) - 1
            self._entered += len(works)
            wanted = None if lost else commit

            def carry_out() -> tuple[list[Lost], T | None]:
                return self._apply_and_commit(sequence, works, wanted, find_done)

            try:
                failed, result = await self._threads.control(carry_out)
            finally:
                self._left += len(works)
                self._note_progress()
                release_held(works)
        lost += failed
        self._told[sequence >> STREAM_SHIFT] = command, lost
        if lost:
            raise describe_failures(lost)
        assert result is not None
        return result

    def accepted(self, sequence: int) -> int:
        """The last number that was accepted of the stream that a number belongs to."""
        return self._accepted.get(sequence >> STREAM_SHIFT, 0)

    def tell(self, sequence: int) -> HangardError | None:
        """What failed since the last call, for the answer to a change request; the same once more
        if that answer was lost and the request is repeated."""
        lost = self._told_to(sequence, sequence) or self._take_failures()
        self._told[sequence >> STREAM_SHIFT] = sequence, lost
        return describe_failures(lost) if lost else None

    def _told_to(self, sequence: int, request: int | bytes) -> list[Lost]:
        told, lost = self._told.get(sequence >> STREAM_SHIFT, (0, []))
        return list(lost) if told == request else []

    def _take_failures(self) -> list[Lost]:
        failures, self._failures = self._failures, []
        return failures

    async def drain(self) -> None:
        """Wait until everything accepted so far is applied or has failed."""
        goal = self._entered
        while self._left < goal:
            await self._next_progress()

    def pop_failure(self) -> HangardError | None:
        """The error for all changes that failed since the last call; None if none did."""
        failures = self._take_failures()
        return describe_failures(failures) if failures else None

    def raise_failure(self) -> None:
        """Errors: whatever the changes that failed raised."""
        if failure := self.pop_failure():
            raise failure

    async def close(self) -> None:
        """Wait until everything accepted is applied."""
        await self.drain()
        if self._applier is not None:
            await self._applier

    async def _apply_all(self) -> None:
        while self._queue:
            # What is ready is applied in one visit to a thread: small changes come in crowds.
            await wait_quietly(self._queue[0].prepared)
            ready = []
            while self._queue and self._queue[0].prepared.done():
                ready.append(self._queue.popleft())
            failed = await self._threads.control(self._changes.apply, ready)
            self._failures += failed[: FAILURES_MAX - len(self._failures)]
            self._left += len(ready)
            self._note_progress()
        self._applier = None

    def _apply_and_commit(
        self,
        sequence: int,
        works: Sequence[Work],
        commit: Callable[[], T] | None,
        find_done: Callable[[], T | None],
    ) -> tuple[list[Lost], T | None]:
        """Prepare and apply changes, in a thread; commit if none failed."""
        if works and (done := find_done()) is not None:
            for number in range(sequence, sequence + len(works)):
                self.target.skip(number)
            return [], done
        entries = []
        for number, work in enumerate(works, sequence):
            prepared: concurrent.futures.Future[Change] = concurrent.futures.Future()
            try:
                prepared.set_result(work.prepare())
            except Exception as error:
                prepared.set_exception(error)
            entries.append(Entry(number, work.column, work.keys, prepared, work.more))
        failed = self._changes.apply(entries)
        return failed, None if failed or commit is None else commit()

    def _note_progress(self) -> None:
        self._progress.set()
        self._progress = asyncio.Event()

    async def _next_progress(self) -> None:
        await self._progress.wait()


def release_held(works: Sequence[Work]) -> None:
    """Give back what changes hold of their own."""
    for work in works:
        if work.held is not None:
            work.held.release()


async def wait_quietly(future: Future) -> None:
    """Wait until a future is done, whatever comes out."""
    if not future.done():
        await asyncio.wait([asyncio.wrap_future(future)])


def release_when_done(futures: Sequence[asyncio.Future[Change]], reservation: Reservation) -> None:
    """Release a reservation when the last of some futures is done."""
    left = len(futures)

    def one_done(_: object) -> None:
        nonlocal left
        left -= 1
        if not left:
            reservation.release()

    for future in futures:
        future.add_done_callback(one_done)


def describe_failures(failures: Sequence[Lost]) -> HangardError:
    """One error for changes that were accepted and then failed; it names the keys.

    Class and code are those of the first; ``details["keys"]`` lists [column, key] pairs.
    """
    first = failures[0].error
    total = sum(len(lost.keys[1]) for lost in failures)
    pairs: list[list[object]] = []
    for lost in failures:
        keys = first_keys(lost.keys, CONFLICT_KEYS_MAX - len(pairs))
        pairs += [[lost.column, _decoded(key)] for key in keys]
    names = ", ".join(f"{column}[{key!r}]" for column, key in pairs[:KEYS_NAMED_MAX])
    more = f" and {total - KEYS_NAMED_MAX} more" if total > KEYS_NAMED_MAX else ""
    details = {**first.details, "keys": pairs, "total": total}
    return type(first)(
        f"{total} samples sent earlier were not stored ({names}{more}): {first.message}",
        code=first.code,
        **details,
    )


def first_keys(keys: PackedKeys, count: int) -> list[bytes]:
    """The first ``count`` of packed keys, one by one."""
    blob, ends = keys
    stops = [int(end) for end in ends[:count]]
    return [bytes(blob[start:stop]) for start, stop in pairwise([0, *stops])]


def _decoded(key: bytes) -> object:
    try:
        return decode_key(key)
    except ValueError:
        return key
