"""A session's changes on their way to the daemon: in order, one request at a time.

Every request is numbered. An answer that was lost is asked for again under the same number; when
another daemon took the place of the one that accepted them, the session is resumed, which fails if
that daemon does not have all that was accepted.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
from hangard_ext.treekey import decode_key

from hangard.errors import Busy, Closed, HangardError, Unavailable, UnknownSession
from hangard.limits import (
    CONFLICT_KEYS_MAX,
    LOG_ROWS_BYTES_MAX,
    PIECE_BYTES_MAX,
    REQUEST_KEYS_MAX,
)
from hangard.model.chunking import chunk_rows
from hangard.model.ragged import RaggedRows
from hangard.wire import requests
from hangard.wire.messages import (
    Change,
    ChangeRequest,
    CommitBody,
    CommitRequest,
    CommitResult,
    PieceRequest,
    SessionState,
)
from hangard_client.buffers import NO_KEYS, Batch
from hangard_client.connection import Connection
from hangard_client.windows import ROWS_BYTES_MIN, Windows

T = TypeVar("T")

RIDING_BYTES_MAX = LOG_ROWS_BYTES_MAX // 4  # rows that ride on a commit request
REQUEST_BYTES = 4 * 1024 * 1024  # rows of one request; more are cut at rows
RESUMES_MAX = 3
FAILURES_MAX = 64
_RESUME_CODES = frozenset({"epoch-changed", "unknown-stream"})


class Sender:
    """Belongs to the connection's event loop; ``state`` is the session as last heard of.

    Batches wait in one queue, which any thread may add to, so that a later value of a key never
    overtakes an earlier one. What Unavailable or Busy kept from being sent stays in it.
    """

    def __init__(self, connection: Connection, state: SessionState) -> None:
        self.state = state
        self.connection = connection
        self.failures: list[HangardError] = []
        self.refusal: Closed | None = None
        self.on_resume: Callable[[], Awaitable[None]] | None = None
        self._lock = asyncio.Lock()
        self._next = state.next_sequence
        self._epoch = state.epoch
        self._is_attached = True
        self._queue: deque[tuple[int, Batch]] = deque()
        self.last_ticket = 0

    @property
    def session(self) -> str:
        return self.state.info.id

    def enqueue(self, batch: Batch) -> None:
        """Let a batch wait to be sent. The caller holds the staging's lock."""
        self.last_ticket += 1
        self._queue.append((self.last_ticket, batch))

    async def post_all(self) -> None:
        """Send what waits; afterwards the daemon has it, or ``failures`` says why not."""
        async with self._lock:
            try:
                await self._drain()
            except HangardError as error:
                self._fail(error)
            except Exception as error:
                self._queue.clear()
                self._fail(HangardError(f"internal error of the client: {error!r}"))

    async def commit(self, request: CommitRequest, last_ticket: int) -> CommitResult:
        """Commit what was enqueued up to a ticket; the last small batches ride on the request."""
        async with self._lock:
            self.raise_failure()
            riding = [batch for ticket, batch in list(self._queue) if ticket <= last_ticket]
            if sum(batch.rows_bytes for batch in riding) > RIDING_BYTES_MAX:
                await self._drain(last_ticket)
                riding = []
            self.raise_failure()
            changes, sections = changes_of(riding)

            async def attempt() -> CommitResult:
                last = self._next + len(changes) - 1
                numbered = msgspec.structs.replace(
                    request, session=self.session, last_sequence=last, epoch=self._epoch
                )
                body = CommitBody(commit=numbered, sequence=self._next, changes=changes)
                self._is_attached = not changes
                try:
                    result = await self.connection.send(requests.commit(body, sections))
                except HangardError as error:
                    if error.details.pop("accepted", 0) == last:
                        self._took(last, riding)
                    raise
                self._took(last, riding)
                return result

            return await self._with_resume(attempt)

    def _took(self, last: int, riding: list[Batch]) -> None:
        """The daemon has what rode on a commit request."""
        self._next, self._is_attached = last + 1, True
        while riding:
            riding.pop()
            self._queue.popleft()

    @property
    def last_sequence(self) -> int:
        """The number of the last change that was sent in this client's stream."""
        return self._next - 1

    async def flush(self) -> None:
        """Wait until everything that was sent survives a crash of the daemon."""

        async def attempt() -> None:
            await self.connection.send(requests.flush(self.session, self.last_sequence))

        await self.ask(attempt)

    async def ask(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Run ``attempt()``, which asks about this session, behind everything posted before.

        A session that the daemon does not know yet (it was restarted) is resumed first.
        """
        async with self._lock:
            await self._drain()
            self.raise_failure()
            return await self._with_resume(attempt)

    async def ask_anew(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """As ``ask``, but what waits to be sent, and what failed, is forgotten."""
        async with self._lock:
            self._queue.clear()
            self.failures.clear()
            return await self._with_resume(attempt)

    def raise_failure(self) -> None:
        """Errors: the first of what failed since the last call; once. Any thread may call."""
        if self.failures:
            raise self.failures.pop(0)

    def _fail(self, error: HangardError) -> None:
        if len(self.failures) < FAILURES_MAX:
            self.failures.append(error)

    async def _drain(self, last_ticket: int | None = None) -> None:
        """Send what waits, up to a ticket. What could not be sent is the queue's own afterwards:
        callers may change their arrays once they have heard that something failed."""
        try:
            await self._send_waiting(last_ticket)
        except BaseException:
            # In place: another thread may be adding to the queue.
            for i in range(len(self._queue)):
                ticket, batch = self._queue[i]
                self._queue[i] = (ticket, batch.owned())
            raise

    async def _send_waiting(self, last_ticket: int | None) -> None:
        while self._queue and (last_ticket is None or self._queue[0][0] <= last_ticket):
            ticket, batch = self._queue[0]
            windows = await self.connection.windows() if batch.rows_bytes else None
            parts = cut(batch, windows.size_bytes if windows else REQUEST_BYTES)
            if len(parts) > 1:
                self._queue.popleft()
                if batch.is_part:
                    parts[:-1] = [replace(part, more=True) for part in parts[:-1]]
                self._queue.extendleft((ticket, part) for part in reversed(parts))
                continue
            try:
                await self._post_part(batch)
            except (Unavailable, Busy):
                raise  # it stays in the queue
            except HangardError as error:
                self._queue.popleft()
                error.details.setdefault("keys", named_keys(batch))
                error.details.setdefault("total", len(batch))
                if batch.is_part:
                    await self._abandon(batch)
                raise
            self._queue.popleft()

    async def _abandon(self, batch: Batch) -> None:
        """Give up what was to be staged together with a batch that was refused."""
        while batch.more:
            _, batch = self._queue.popleft()
        given_up = Change(kind="abandon", column=batch.column, count=0, keys_bytes=0)
        header = ChangeRequest(
            session=self.session, epoch=self._epoch, sequence=self._next, changes=(given_up,)
        )
        # Without an answer another stream is begun: in this one, the next change would be taken
        # for the missing part.
        self._is_attached = False
        with contextlib.suppress(HangardError):
            await self.connection.send(requests.change(header, [b"", NO_KEYS[1], b""]))
            self._next += 1
            self._is_attached = True

    async def _post_part(self, batch: Batch) -> None:
        changes, sections = changes_of([batch])

        async def attempt() -> None:
            numbered, parts = await self._place_rows(batch, changes, sections)
            header = ChangeRequest(
                session=self.session, epoch=self._epoch, sequence=self._next, changes=numbered
            )
            # Until an answer comes it is unknown whether the numbers are used up.
            self._is_attached = False
            accepted = await self.connection.send(requests.change(header, parts))
            self._next += len(changes)
            self._is_attached = True
            if accepted.failure is not None:
                self._fail(accepted.failure.rebuild())

        await self._with_resume(attempt)

    async def _place_rows(
        self, batch: Batch, changes: tuple[Change, ...], sections: list[Any]
    ) -> tuple[tuple[Change, ...], list[Any]]:
        """Where the rows of the first change travel: a window, pieces, or the body itself."""
        if batch.rows_bytes < ROWS_BYTES_MIN:
            return changes, sections
        windows = await self.connection.windows()
        rows = sections[2]
        piece_bytes = windows.size_bytes if windows is not None else PIECE_BYTES_MAX
        if len(rows) > REQUEST_BYTES or (len(batch.rows) == 1 and len(rows) > piece_bytes):
            number = await self._upload(rows, windows, piece_bytes)
            place: dict[str, Any] = {"rows_in": "upload", "rows_id": number}
        elif windows is not None and len(rows) <= windows.size_bytes:
            window = windows.next()
            window.write(rows)
            place = {"rows_in": "window", "rows_id": window.number}
        else:
            return changes, sections
        first = msgspec.structs.replace(changes[0], rows_bytes=0, **place)
        return (first, *changes[1:]), [*sections[:2], b"", *sections[3:]]

    async def _upload(
        self, rows: npt.NDArray[np.uint8], windows: Windows | None, piece_bytes: int
    ) -> int:
        """Send bytes in pieces; the number of the upload."""
        number = self._next
        for offset in range(0, len(rows), piece_bytes):
            piece = rows[offset : offset + piece_bytes]
            header = PieceRequest(
                session=self.session,
                upload=number,
                total_bytes=len(rows),
                offset=offset,
                length=len(piece),
            )
            body: Any = piece
            if windows is not None:
                window, body = windows.next(), b""
                window.write(piece)
                header = msgspec.structs.replace(header, rows_in="window", rows_id=window.number)
            await self.connection.send(requests.piece(header, body))
        return number

    async def _with_resume(self, attempt: Callable[[], Awaitable[T]]) -> T:
        for _ in range(RESUMES_MAX):
            if self.refusal is not None:
                raise self.refusal.again()
            if not self._is_attached:
                await self._resume()
            try:
                return await attempt()
            except HangardError as error:
                if error.code == "unknown-window":
                    self.connection.drop_windows()
                elif error.code not in _RESUME_CODES:
                    raise
                self._is_attached = False
        raise Closed(
            f"session {self.session}: the daemon was restarted again and again",
            code="epoch-changed",
        )

    async def _resume(self) -> None:
        """Attach again; what was accepted before must still be there.

        Errors: Closed (``staged-changes-lost``, or ``session-ended`` if the session is gone).
        """
        last = self._next - 1
        try:
            self.state = await self.connection.send(requests.resume_session(self.session, last))
        except UnknownSession as error:
            raise Closed(
                f"session {self.session} has ended: aborted, expired or closed elsewhere",
                code="session-ended",
                session=self.session,
            ) from error
        if self.state.epoch != self._epoch:
            # They were another daemon's.
            self.connection.drop_windows()
        self._next, self._epoch = self.state.next_sequence, self.state.epoch
        self._is_attached = True
        if self.on_resume is not None:
            await self.on_resume()


def cut(batch: Batch, part_bytes: int) -> list[Batch]:
    """A batch as parts of about ``part_bytes``, in whole chunks; rows above it come alone."""
    keys, ends = batch.keys
    spans = _spans(batch, part_bytes)
    if len(spans) <= 1 and len(batch.deleted[1]) <= REQUEST_KEYS_MAX // 2:
        return [batch]
    parts = []
    for start, stop in spans:
        first = int(ends[start - 1]) if start else 0
        part_keys = keys[first : int(ends[stop - 1])], ends[start:stop] - first
        none = b"", ends[:0]
        parts.append(replace(batch, keys=part_keys, rows=batch.part(start, stop), deleted=none))
    blob, stops = batch.deleted
    step = REQUEST_KEYS_MAX // 2
    for start in range(0, len(stops), step):
        stop = min(start + step, len(stops))
        first = int(stops[start - 1]) if start else 0
        deleted = blob[first : int(stops[stop - 1])], stops[start:stop] - first
        no_rows = replace(batch, keys=(b"", ends[:0]), rows=batch.part(0, 0), deleted=deleted)
        parts.append(no_rows)
    return parts


def _spans(batch: Batch, part_bytes: int) -> list[tuple[int, int]]:
    """The rows (start, stop) of each part."""
    count, rows_max = len(batch.keys[1]), REQUEST_KEYS_MAX // 2
    if not isinstance(batch.rows, RaggedRows):
        row_bytes = max(1, batch.schema.sample_bytes)
        chunk = chunk_rows(row_bytes)
        rows = max(1, part_bytes // row_bytes)
        rows = min(rows_max, rows - rows % chunk if rows > chunk else rows)
        return [(start, min(start + rows, count)) for start in range(0, count, rows)]
    spans, ends, start, begin = [], batch.rows.ends, 0, 0
    while start < count:
        stop = int(np.searchsorted(ends, np.uint64(begin + part_bytes), side="right"))
        stop = min(max(stop, start + 1), start + rows_max)
        spans.append((start, stop))
        start, begin = stop, int(ends[stop - 1])
    return spans


def changes_of(batches: Sequence[Batch]) -> tuple[tuple[Change, ...], list[Any]]:
    """Headers and sections (keys, ends, rows of each, and shapes if they differ) of batches."""
    changes: list[Change] = []
    sections: list[Any] = []
    for batch in batches:
        if len(batch.keys[1]):
            ragged = batch.rows if isinstance(batch.rows, RaggedRows) else None
            changes.append(
                Change(
                    kind="put",
                    column=batch.column,
                    count=len(batch.keys[1]),
                    keys_bytes=len(batch.keys[0]),
                    dtype=batch.schema.dtype,
                    shape=() if ragged is not None else batch.schema.shape,
                    rows_bytes=batch.rows_bytes,
                    dimensions=None if ragged is None else ragged.shapes.shape[1],
                    more=batch.more,
                )
            )
            sections += [*batch.keys, row_buffer(batch)]
            if ragged is not None:
                sections.append(ragged.shapes.reshape(-1).view(np.uint8))
        if len(batch.deleted[1]):
            changes.append(
                Change(
                    kind="delete",
                    column=batch.column,
                    count=len(batch.deleted[1]),
                    keys_bytes=len(batch.deleted[0]),
                )
            )
            sections += [*batch.deleted, b""]
    return tuple(changes), sections


def row_buffer(batch: Batch) -> Any:
    """The rows' bytes without a copy; complex and float16 rows, too, are plain bytes."""
    if isinstance(batch.rows, RaggedRows):
        return batch.rows.data
    return batch.rows.reshape(-1).view("u1") if batch.rows.size else np.empty(0, "u1")


def named_keys(batch: Batch) -> list[list[Any]]:
    """[column, key] of the first keys of a batch, as ``details["keys"]`` lists them."""
    result: list[list[Any]] = []
    for blob, ends in (batch.keys, batch.deleted):
        start = 0
        for end in ends[: CONFLICT_KEYS_MAX - len(result)].tolist():
            result.append([batch.column, decode_key(blob[start:end])])
            start = end
    return result
