"""Checkouts: the columns of a commit, and sessions that write."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any

from hangard_client.access import Access
from hangard_client.async_checkouts import AsyncWriteCheckout, warn_of
from hangard_client.async_nested_columns import AsyncNestedWriteColumn
from hangard_client.columns import Column, Run, WriteColumn
from hangard_client.commit_arguments import Strategy
from hangard_client.history import CommitDigest, Revision
from hangard_client.nested_columns import NestedColumn, NestedWriteColumn
from hangard_client.new_columns import NewColumns
from hangard_client.read_checkouts import ReadCheckout
from hangard_client.reopening import refuse_pickling
from hangard_client.session_merging import SessionMerging


class Checkout(ReadCheckout):
    """The columns of one commit, by name; it never changes. Many threads may use it, and it can be
    pickled: another process, forked or spawned, opens it again at its first use."""

    _flat = Column
    _nested = NestedColumn

    def close(self) -> None:
        """Its columns refuse to be read from now on. May be called twice; arrays that were read
        stay valid."""
        self._close()

    def __enter__(self) -> Checkout:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class WriteCheckout(NewColumns, SessionMerging, Access):
    """One client's part of a session: columns to write, and its commits. Threads may share it."""

    _inner: AsyncWriteCheckout

    def __init__(self, inner: AsyncWriteCheckout, run: Run) -> None:
        self._inner = inner
        self._run = run
        self._columns: dict[str, WriteColumn] = {}

    @property
    def session(self) -> str:
        """The session's id: checkout(session=id) resumes it."""
        return self._inner.session

    @property
    def branch(self) -> str:
        """The branch it commits to, by the name it had when this was last heard."""
        return self._inner.branch

    @property
    def commit_digest(self) -> CommitDigest | None:
        """The commit this session goes on from; None before the branch's first."""
        return self._inner.commit_digest

    @property
    def columns(self) -> dict[str, WriteColumn]:
        """All columns by name."""
        return {name: self._column(name) for name in self}

    def __contains__(self, name: object) -> bool:
        return name in self._inner

    def __iter__(self) -> Iterator[str]:
        return iter(self._inner)

    def __len__(self) -> int:
        return len(self._inner)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} on {self.branch!r}, session {self.session}>"

    def remove_column(self, name: str) -> None:
        """Remove a column with all its samples. Errors: UnknownColumn."""
        self._run(self._inner.remove_column(name))

    def change_backend(
        self,
        name: str,
        backend: str | Mapping[str, Any] | None = None,
        backend_options: Mapping[str, Any] | None = None,
    ) -> None:
        """Store later samples of a column another way. Errors: UnknownColumn, InvalidRequest."""
        self._run(self._inner.change_backend(name, backend, backend_options))

    def put_many(self, samples: Mapping[str, Any]) -> None:
        """Stage samples of several columns, all of them or none: ``{name: (keys, batch)}`` as a
        column's ``put_many`` takes them, or ``{name: mapping}`` as its ``update`` does.

        Nothing is sent unless all is legal, and nothing staged unless all was stored. When this
        returns it survives a crash of the daemon.
        Errors: UnknownColumn; as ``put_many`` of a column.
        """
        self._run(self._inner.put_many(samples))

    def flush(self) -> None:
        """Wait until everything staged in the session survives a crash of the daemon."""
        self._run(self._inner.flush())

    def commit(
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
        return self._run(  # type: ignore[no-any-return]
            self._inner.commit(
                message,
                metadata=metadata,
                strategy=strategy,
                allow_empty=allow_empty,
                allow_empty_message=allow_empty_message,
            )
        )

    def reset(self, revision: Revision | None = None) -> CommitDigest | None:
        """Drop everything staged in the session, which stays open: the commit it goes on from.

        With ``revision`` the branch moves there, too, and the session goes on from it.
        Errors: UnknownRevision; Busy if another session writes the branch exclusively; Closed.
        """
        return self._run(self._inner.reset(revision))  # type: ignore[no-any-return]

    def abort(self) -> None:
        """Drop everything staged in the session, and close."""
        self._run(self._inner.abort())

    def close(self) -> None:
        """Leave the session. What is staged and not committed stays in it, with a warning.

        May be called twice. Errors: what failed of samples sent earlier.
        """
        warn_of(self.session, self._run(self._inner.leave()))

    def leave(self, *, abort: bool = False) -> int:
        """Close; how many staged changes stay in the session, without a warning of them."""
        return self._run(self._inner.leave(abort=abort))  # type: ignore[no-any-return]

    def __enter__(self) -> WriteCheckout:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        staged, refused = self._run(self._inner.end(failed=error is not None))
        warn_of(self.session, staged)
        if refused is not None:
            raise refused

    def _column(self, name: str) -> WriteColumn:
        inner = self._inner[name]
        column = self._columns.get(name)
        if column is None or column._inner is not inner:
            if isinstance(inner, AsyncNestedWriteColumn):
                column = NestedWriteColumn(inner, self._run)
            else:
                column = WriteColumn(inner, self._run)
            self._columns[name] = column
        return column

    def __reduce__(self) -> tuple[Any, ...]:
        return refuse_pickling(self)

    def _ipython_key_completions_(self) -> list[str]:
        return list(self)
