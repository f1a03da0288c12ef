"""The data path of a write checkout: plain synchronous code that both clients share.

A caller's thread validates and copies into a buffer; full buffers are posted by the connection's
event loop. The caller waits only when ``POSTS_MAX`` posts are under way, and how it waits is its
own business: a synchronous client blocks, an asynchronous one awaits.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, KeysView, Mapping
from dataclasses import replace
from typing import Any, Literal, Protocol

import numpy.typing as npt

from hangard.errors import Closed, UnknownColumn
from hangard.model.keys import PackedKeys
from hangard.model.ragged import RaggedRows
from hangard.model.schema import Schema
from hangard.reading.checkout import unknown_column
from hangard.wire import requests
from hangard.wire.messages import (
    ColumnRequest,
    CommitRequest,
    CommitResult,
    SchemaMessage,
    StagedColumn,
)
from hangard_client.buffers import NO_KEYS, Batch, ColumnBuffer
from hangard_client.ragged_buffers import new_buffer
from hangard_client.sender import Sender

POSTS_MAX = 2  # batches under way: one is being sent while the next is filled


class Post(Protocol):
    """A future of either kind."""

    def done(self) -> bool: ...

    def result(self) -> None: ...


ColumnDefaults = Callable[[], dict[str, Any]]
ColumnChange = Literal["add", "change", "remove"]
Start = Callable[[Coroutine[Any, Any, None]], Post]


class Staging:
    """One client's side of a session. Thread-safe.

    ``start`` runs a coroutine on the connection's loop and gives its future.
    ``column_defaults``: what is configured of columns, read when one is made or changed.
    ``shared``: others may stage in this session, so it is always asked what is staged.
    """

    def __init__(
        self,
        sender: Sender,
        start: Start,
        *,
        shared: bool = False,
        column_defaults: ColumnDefaults = dict,
    ) -> None:
        self.sender = sender
        self.lock = threading.RLock()
        self.posts: deque[Post] = deque()
        self._start = start
        self.column_defaults = column_defaults
        self._shared = shared
        self._refusal: Closed | None = None
        self._columns: dict[str, StagedColumn] = dict(sender.state.columns)
        self._buffers: dict[str, ColumnBuffer] = {}
        # Columns that may have something staged, with the number of commits before it was.
        self._staged = {name: 0 for name, column in self._columns.items() if column.changed}
        self._generation = 0
        self._pid = os.getpid()
        _living.add(self)

    # Columns

    @property
    def names(self) -> KeysView[str]:
        """The names of the columns that the session has."""
        return self._columns.keys()

    def schema(self, column: str) -> Schema:
        """Errors: UnknownColumn."""
        try:
            return self._columns[column].schema.schema()
        except KeyError:
            raise unknown_column(column, self._columns) from None

    def take_column(self, name: str, column: StagedColumn | None) -> None:
        """A column was added or changed; None: it is gone, and its buffer with it."""
        with self.lock:
            columns = dict(self._columns)
            if column is None:
                self._drop_buffer(name)
                columns.pop(name, None)
            else:
                columns[name] = column
            self._columns = columns

    def described(self) -> dict[str, StagedColumn]:
        """The columns as the daemon described them."""
        return dict(self._columns)

    def take_columns(self, columns: Mapping[str, StagedColumn]) -> list[str]:
        """The session goes on from another commit: the columns that it has now. Those that are
        gone, or hold other data, lose their buffers; their names."""
        with self.lock:
            lost = [
                name
                for name, column in self._columns.items()
                if name not in columns
                or not column.schema.schema().same_data_as(columns[name].schema.schema())
            ]
            for name in lost:
                self._drop_buffer(name)
            self._columns = dict(columns)
            return lost

    async def change_column(self, kind: ColumnChange, name: str, schema: Schema | None) -> None:
        """Add, change or (schema None) remove a column, behind all that is buffered; runs on the
        connection's loop. Errors: what the daemon refuses; as ``check``."""
        self.enqueue_all()
        sender = self.sender
        message = ColumnRequest(
            kind=kind,
            session=sender.session,
            column=name,
            schema=SchemaMessage.of(schema) if schema is not None else None,
        )
        request = requests.change_column(message)
        answer = await sender.ask(lambda: sender.connection.send(request))
        self.take_column(name, answer.column)

    def discard(self) -> None:
        """Forget what is buffered. Errors: Closed."""
        with self.lock:
            if self._refusal is not None:
                raise self._refusal.again()
            for buffer in self._buffers.values():
                if len(buffer):
                    buffer.take()

    def is_reset(self, column: str) -> bool:
        """Whether the base commit's samples of this name do not belong to the column."""
        found = self._columns.get(column)
        return found is None or found.reset

    def may_be_staged(self, column: str) -> bool:
        """Whether the daemon may know staged changes of a column."""
        return self._shared or column in self._staged

    def buffer(self, column: str) -> ColumnBuffer:
        """The buffer of a column; the same one until the column is removed."""
        with self.lock:
            buffer = self._buffers.get(column)
            if buffer is None:
                buffer = self._buffers[column] = new_buffer(column, self.schema(column))
            return buffer

    # Changes

    def check_open(self) -> None:
        """Errors: Closed."""
        if self._refusal is not None:
            raise self._refusal.again()

    def check(self) -> None:
        """Errors: Closed; what failed since the last call."""
        if self._refusal is not None:
            raise self._refusal.again()
        if self.sender.failures:
            self.sender.raise_failure()

    def check_column(self, buffer: ColumnBuffer) -> None:
        """Errors: as ``check``; UnknownColumn for a column that was removed meanwhile."""
        self.check()
        if buffer.is_removed:
            raise UnknownColumn(
                f"column {buffer.column!r} was removed from this session", column=buffer.column
            )

    def put(self, buffer: ColumnBuffer, key: object, value: object) -> bool:
        """Stage a sample; True if the caller should wait for room. Errors: as ``check``,
        ``ColumnBuffer.put``."""
        with self.lock:
            self.check_column(buffer)
            if not buffer.put(key, value):
                return False
            self._ship(buffer)
            return len(self.posts) >= POSTS_MAX

    def delete(self, buffer: ColumnBuffer, encoded: bytes) -> bool:
        """Stage a deletion; as ``put``."""
        with self.lock:
            self.check_column(buffer)
            if not buffer.delete(encoded):
                return False
            self._ship(buffer)
            return len(self.posts) >= POSTS_MAX

    def put_many(
        self, buffer: ColumnBuffer, keys: PackedKeys, rows: npt.NDArray[Any] | RaggedRows
    ) -> Post | None:
        """Post many samples at once, behind what is buffered of the column.

        ``rows`` must not change until the post is done. None if there is nothing to post.
        """
        with self.lock:
            self.check_column(buffer)
            self._ship(buffer)
            if len(keys[1]):
                batch = Batch(buffer.column, buffer.schema, keys, rows, NO_KEYS, is_borrowed=True)
                self._post(batch)
            return self.posts[-1] if self.posts else None

    def put_together(
        self, batches: Iterable[tuple[Any, PackedKeys, npt.NDArray[Any] | RaggedRows]]
    ) -> None:
        """Let samples of several columns wait to be sent, behind what is buffered of them: all of
        them will be staged or none. The rows must not change until they are sent."""
        with self.lock:
            waiting = [(buffer, keys, rows) for buffer, keys, rows in batches if len(keys[1])]
            for buffer, _, _ in waiting:
                self.check_column(buffer)
            for buffer, _, _ in waiting:
                if len(buffer):
                    self._enqueue(buffer.take())
            for i, (buffer, keys, rows) in enumerate(waiting, 1):
                batch = Batch(buffer.column, buffer.schema, keys, rows, NO_KEYS, is_borrowed=True)
                self._enqueue(replace(batch, is_part=True, more=i < len(waiting)))

    def oldest_post(self) -> Post | None:
        """The post to wait for when there are too many."""
        with self.lock:
            self._forget_finished()
            return self.posts[0] if len(self.posts) >= POSTS_MAX else None

    def enqueue_all(self) -> int:
        """Let all that is buffered wait to be sent; the ticket of the last that waits."""
        with self.lock:
            self.check()
            for buffer in self._buffers.values():
                if len(buffer):
                    self._enqueue(buffer.take())
            return self.sender.last_ticket

    async def commit(self, request: CommitRequest) -> CommitResult:
        """Send what is buffered, and commit; runs on the connection's loop."""
        with self.lock:
            ticket = self.enqueue_all()
            self._generation += 1
            generation = self._generation
        result = await self.sender.commit(request, ticket)
        with self.lock:
            # What was staged while the commit was under way may not be in it.
            self._staged = {
                name: since for name, since in self._staged.items() if since >= generation
            }
            self._columns = {
                name: StagedColumn(column.schema, False) for name, column in self._columns.items()
            }
        return result

    @property
    def is_taken(self) -> bool:
        """Whether somebody took the exclusive session from this client by force."""
        return self._refusal is not None and self._refusal.code == "lease-taken"

    def refuse(self, error: Closed) -> None:
        """Raise this at every call from now on; what is buffered is not sent any more."""
        with self.lock:
            self._refusal = self._refusal or error
            self.sender.refusal = self._refusal
            self._buffers.clear()

    def close(self) -> None:
        """Refuse everything from now on."""
        with self.lock:
            self._refusal = self._refusal or Closed("the checkout is closed")
            self._buffers.clear()

    def _drop_buffer(self, column: str) -> None:
        buffer = self._buffers.pop(column, None)
        if buffer is not None:
            buffer.is_removed = True  # for who holds the column still
        self._staged.pop(column, None)

    def _ship(self, buffer: ColumnBuffer) -> None:
        if len(buffer):
            self._post(buffer.take())

    def _post(self, batch: Batch) -> None:
        self._enqueue(batch)
        self._forget_finished()
        self.posts.append(self._start(self.sender.post_all()))

    def _enqueue(self, batch: Batch) -> None:
        self._staged[batch.column] = self._generation
        self.sender.enqueue(batch)

    def _forget_finished(self) -> None:
        while self.posts and self.posts[0].done():
            self.posts.popleft()

    def _after_fork(self) -> None:
        self.lock = threading.RLock()
        self.posts = deque()
        self._buffers = {}
        self._refusal = Closed(
            "this write checkout was opened before a fork; open another in this process",
            code="forked",
        )


_living: weakref.WeakSet[Staging] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for staging in list(_living):
        staging._after_fork()


os.register_at_fork(after_in_child=_after_fork_in_child)
