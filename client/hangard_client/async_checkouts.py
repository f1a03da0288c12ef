"""Checkouts for asyncio: the columns of a commit, and sessions that write."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import warnings
from collections.abc import Awaitable, Callable, Generator, Iterator, Mapping
from functools import partial
from types import TracebackType
from typing import Any, Generic, TypeVar

from hangard.errors import (
    AlreadyExists,
    Busy,
    Closed,
    HangardError,
    NothingStaged,
    UnknownColumn,
)
from hangard.model.commit import Digest
from hangard.model.names import check_column_name
from hangard.model.schema import Schema
from hangard.reading.checkout import TreeReader
from hangard.reading.columns import ColumnReader
from hangard.reading.snapshot import RepositoryReader
from hangard.tree.store import EMPTY_ROOT
from hangard.wire import requests
from hangard.wire.messages import (
    Choice,
    CommitRequest,
    CommitResult,
    SessionLeft,
)
from hangard.wire.refs import ResetSession, reset_session
from hangard_client.async_columns import AsyncColumn, AsyncWriteColumn
from hangard_client.async_nested_columns import AsyncNestedColumn, AsyncNestedWriteColumn
from hangard_client.async_new_columns import AsyncNewColumns
from hangard_client.async_refs import revision_text, system_user
from hangard_client.async_session_merging import AsyncSessionMerging
from hangard_client.async_write_access import AsyncWriteAccess
from hangard_client.commit_arguments import (
    Strategy,
    checked_flag,
    checked_message,
    checked_metadata,
    checked_strategy,
)
from hangard_client.history import CommitDigest, Revision, plain_revision
from hangard_client.lease import Lease
from hangard_client.overlay import Overlay
from hangard_client.read_checkouts import ReadCheckout
from hangard_client.schemas import changed_backend
from hangard_client.sender import Sender
from hangard_client.staging import ColumnDefaults, Staging, Start

T = TypeVar("T", bound="AsyncCheckout | AsyncWriteCheckout")

FindAuthor = Callable[[], tuple[str, str]]


class UncommittedWarning(UserWarning):
    """A write checkout was closed with staged changes that no commit holds. They stay in their
    session, which can be resumed."""


class AsyncCheckout(ReadCheckout):
    """The columns of one commit, by name; it never changes. It can be pickled.

    What reads local files needs no ``await``: ``checkout["column", key]`` reads at once.
    """

    _flat = AsyncColumn
    _nested = AsyncNestedColumn

    async def get(self, item: Any, default: Any = None, except_missing: bool = False) -> Any:
        """As ``checkout[item]``, but ``default`` where a column, sample or subsample is not there
        (of a list: in its place), unless ``except_missing``."""
        return await asyncio.to_thread(super().get, item, default, except_missing)

    async def close(self) -> None:
        """May be called twice; arrays that were read stay valid."""
        self._close()

    async def __aenter__(self) -> AsyncCheckout:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class AsyncWriteCheckout(AsyncNewColumns, AsyncSessionMerging, AsyncWriteAccess):
    """One client's part of a session: columns to write, and its commits."""

    def __init__(
        self,
        reader: RepositoryReader,
        sender: Sender,
        start: Start,
        find_author: FindAuthor,
        *,
        resumed: bool,
        autocommit: str | None,
        lease: Lease | None = None,
        column_defaults: ColumnDefaults = dict,
    ) -> None:
        self._branch = sender.state.info.branch
        self._reader = reader
        self._sender = sender
        self._staging = Staging(sender, start, shared=resumed, column_defaults=column_defaults)
        self._find_author = find_author
        self._autocommit = autocommit
        self._lease = lease
        sender.on_resume = self._resumed
        if lease is not None:
            lease.on_taken = self._taken
        self._columns: dict[str, AsyncWriteColumn] = {}
        self._overlays: dict[str, Overlay] = {}
        self._closed = False
        self._base = sender.state.info.base
        self._tree: TreeReader | None = None

    @property
    def branch(self) -> str:
        """The branch that commits go to."""
        return self._branch

    @property
    def session(self) -> str:
        """The session's id: checkout(session=id) resumes it."""
        return self._sender.session

    @property
    def commit_digest(self) -> CommitDigest | None:
        """The commit this session goes on from; None before the branch's first."""
        return CommitDigest.or_none(self._base)

    @property
    def columns(self) -> dict[str, AsyncWriteColumn]:
        """All columns by name."""
        return {name: self[name] for name in self}

    def __getitem__(self, name: str) -> AsyncWriteColumn:
        """Errors: UnknownColumn, Closed."""
        return self._column(name)

    def __contains__(self, name: object) -> bool:
        return name in self._names()

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._names()))

    def __len__(self) -> int:
        return len(self._names())

    def __repr__(self) -> str:
        return f"<{type(self).__name__} on {self.branch!r}, session {self.session}>"

    async def _add_column(self, name: str, schema: Schema) -> Any:
        if name in self:
            raise AlreadyExists(f"column {name!r} exists", code="column-exists", column=name)
        await self._change_column("add", name, schema)
        return self[name]

    async def remove_column(self, name: str) -> None:
        """Remove a column with all its samples. Errors: UnknownColumn."""
        if check_column_name(name) not in self:
            raise UnknownColumn(f"there is no column {name!r}", column=name)
        await self._change_column("remove", name, None)
        self._columns.pop(name, None)
        self._overlays.pop(name, None)

    async def change_backend(
        self,
        name: str,
        backend: str | Mapping[str, Any] | None = None,
        backend_options: Mapping[str, Any] | None = None,
    ) -> None:
        """Store later samples of a column another way. Errors: UnknownColumn, InvalidRequest."""
        schema = changed_backend(
            self._staging.schema(name),
            backend,
            backend_options,
            self._staging.column_defaults(),
        )
        await self._change_column("change", name, schema)

    async def flush(self) -> None:
        """Wait until everything staged in the session survives a crash of the daemon."""
        self._staging.enqueue_all()
        await self._sender.flush()

    async def commit(
        self,
        message: str,
        *,
        metadata: Mapping[str, str] | None = None,
        strategy: Strategy = None,
        allow_empty: bool = False,
        allow_empty_message: bool = False,
    ) -> CommitDigest:
        """Commit everything staged in the session; its digest. It survives a power cut.

        ``strategy`` settles conflicts with commits that others made meanwhile: "ours" (this
        session's side), "theirs", ``{column: side}``, ``{column: {key: side}}``, or a function that
        is given a Clash.
        ``allow_empty``: also without a change; ``allow_empty_message``: the message may be "".
        Errors: NothingStaged; Conflict, which names the keys and changes nothing; Busy; NoSpace.
        """
        result = await self._commit(message, metadata, strategy, allow_empty, allow_empty_message)
        return CommitDigest(result.digest)

    async def reset(self, revision: Revision | None = None) -> CommitDigest | None:
        """Drop everything staged in the session, which stays open: the commit it goes on from.

        With ``revision`` the branch moves there, too, and the session goes on from it.
        Errors: UnknownRevision; Busy if another session writes the branch exclusively; Closed.
        """
        commit = None
        if revision is not None:
            commit = bytes(self._reader.resolve(plain_revision(revision)))
        message = ResetSession(
            session=self.session,
            commit=commit,
            revision="" if revision is None else revision_text(revision),
            user=system_user(),
        )
        self._staging.discard()
        request = reset_session(message)
        state = await self._sender.ask_anew(lambda: self._sender.connection.send(request))
        for name in self._staging.take_columns(state.columns):
            self._columns.pop(name, None)
            self._overlays.pop(name, None)
        self._set_base(state.info.base)
        return self.commit_digest

    async def abort(self) -> None:
        """Drop everything staged in the session, and close."""
        await self.leave(abort=True)

    async def close(self) -> None:
        """Leave the session. What is staged and not committed stays in it, with a warning.

        May be called twice. Errors: what failed of samples sent earlier.
        """
        warn_of(self.session, await self.leave())

    async def __aenter__(self) -> AsyncWriteCheckout:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        staged, refused = await self.end(failed=error is not None)
        warn_of(self.session, staged)
        if refused is not None:
            raise refused

    async def end(self, *, failed: bool) -> tuple[int, HangardError | None]:
        """The end of a ``with`` block: commits with ``autocommit=`` if the block did not fail;
        then as ``leave``. Also gives what the commit was refused with, to be raised."""
        refused = None
        if self._autocommit is not None and not failed and not self._closed:
            try:
                with contextlib.suppress(NothingStaged):
                    await self.commit(self._autocommit)
            except HangardError as error:
                refused = error
            except BaseException:
                await self.leave()
                raise
        return await self.leave(), refused

    async def leave(self, *, abort: bool = False) -> int:
        """Close; how many staged changes stay in the session, for the caller to warn of."""
        if self._closed:
            return 0
        self._closed = True
        staged = 0
        try:
            if self._staging.is_taken:
                return 0  # nothing of it is this client's any more
            if not abort:
                self._staging.enqueue_all()

            async def leave() -> SessionLeft:
                request = requests.close_session(
                    self.session,
                    abort=abort,
                    release=self._lease is not None,
                    last_sequence=self._sender.last_sequence,
                )
                return await self._sender.connection.send(request)

            staged = (await self._sender.ask(leave)).staged
        finally:
            self._staging.close()
            self._close_tree()
            if self._lease is not None:
                await self._lease.release()
        return staged

    async def _resumed(self) -> None:
        """The client attached again. A commit whose answer never came may have been made: the
        session goes on from where it is in the daemon. Errors: Closed."""
        state = self._sender.state
        for name in self._staging.take_columns(state.columns):
            self._forget_column(name)
        self._branch = state.info.branch
        if state.info.base != self._base:
            self._set_base(state.info.base)
        if self._lease is not None:
            await self._hold_again(self._lease)

    async def _hold_again(self, lease: Lease) -> None:
        """The daemon was restarted, and with it the lease ended. Errors: Closed."""
        try:
            await lease.hold()
        except Busy as error:
            raise self._taken() from error

    def _taken(self) -> Closed:
        error = Closed(
            f"session {self.session} was taken from this checkout; open a new one",
            code="lease-taken",
            session=self.session,
        )
        self._staging.refuse(error)
        return error

    async def _commit(
        self,
        message: str,
        metadata: Mapping[str, str] | None,
        strategy: Strategy,
        allow_empty: bool,
        allow_empty_message: bool,
    ) -> CommitResult:
        checked_flag(allow_empty_message, "allow_empty_message")
        checked_message(message, may_be_empty=allow_empty_message)
        pairs = checked_metadata(metadata)
        sides = None if callable(strategy) else checked_strategy(strategy)
        checked_flag(allow_empty, "allow_empty")
        name, email = self._find_author()

        async def commit(choices: tuple[Choice, ...] | None, head: Digest | None) -> CommitResult:
            request = CommitRequest(
                session=self.session,
                command_id=secrets.token_bytes(16),
                message=message,
                author_name=name,
                author_email=email,
                metadata=pairs,
                strategy=sides if choices is None else choices,
                strategy_head=head,
                allow_empty=allow_empty,
                allow_empty_message=allow_empty_message,
            )
            return await self._staging.commit(request)

        if callable(strategy):
            result = await self._commit_deciding(strategy, commit)
        else:
            result = await commit(None, None)
        self._branch = result.branch  # it may have been renamed
        if result.rebased:
            self._follow(result.digest)
        self._set_base(result.digest)
        return result

    async def _change_column(self, kind: Any, name: str, schema: Schema | None) -> None:
        await self._staging.change_column(kind, name, schema)
        if kind != "change":
            self._columns.pop(name, None)

    def _forget_column(self, name: str) -> None:
        self._columns.pop(name, None)
        self._overlays.pop(name, None)

    def _names(self) -> Any:
        self._staging.check_open()
        return self._staging.names

    def _column(self, name: str) -> AsyncWriteColumn:
        self._staging.check()
        column = self._columns.get(name)
        if column is None:
            buffer = self._staging.buffer(name)
            open_base = partial(self._base_column, name, buffer.schema)
            overlay = Overlay(self._staging, buffer, open_base, self._reader.nodes)
            self._overlays[name] = overlay
            kind = AsyncNestedWriteColumn if buffer.schema.layout == "nested" else AsyncWriteColumn
            column = self._columns[name] = kind(self._staging, buffer, overlay)
        return column

    def _set_base(self, base: Digest | None) -> None:
        """Go on from another commit. It is opened at the first read: who only writes and commits
        does not wait for it."""
        tree, self._tree = self._tree, None
        if tree is not None:
            tree.release()  # not closed: another thread may read of it just now
        self._base = base
        for overlay in self._overlays.values():
            overlay.forget_base()

    def _close_tree(self) -> None:
        tree, self._tree = self._tree, None
        if tree is not None:
            tree.close()

    def _base_column(self, name: str, schema: Schema) -> ColumnReader:
        """What the base commit has of a column; nothing if the session began it."""
        if self._tree is None:
            self._tree = self._reader.checkout_commit(self._base)
        if name in self._tree and not self._staging.is_reset(name):
            return self._tree[name]
        return ColumnReader(self._reader, schema, EMPTY_ROOT, name)


def warn_of(session: str, staged: int) -> None:
    """Warn of staged changes that stay in a session; called where the user closed it."""
    if staged:
        warnings.warn(
            f"{staged} staged {'change was' if staged == 1 else 'changes were'} not committed, and"
            f" kept in session {session}: checkout(session={session!r}) resumes it",
            UncommittedWarning,
            stacklevel=3,
        )


class Opening(Generic[T]):
    """A checkout on its way: ``await`` it, or enter it with ``async with``."""

    def __init__(self, open_it: Callable[[], Awaitable[T]]) -> None:
        self._open_it = open_it
        self._opened: T | None = None

    def __await__(self) -> Generator[Any, None, T]:
        return self._open_it().__await__()

    async def __aenter__(self) -> T:
        self._opened = await self._open_it()
        return self._opened

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._opened is not None:
            await self._opened.__aexit__(kind, error, traceback)
