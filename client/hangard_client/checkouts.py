"""Checkouts: the columns of a commit, and sessions that write."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any

from hangard.errors import Closed
from hangard_client.async_checkouts import AsyncCheckout, AsyncWriteCheckout, warn_of
from hangard_client.columns import Column, Run, WriteColumn
from hangard_client.commit_arguments import Strategy
from hangard_client.history import CommitDigest
from hangard_client.session_merging import SessionMerging


class Checkout:
    """The columns of one commit, by name; it never changes. Many threads may use it."""

    def __init__(self, inner: AsyncCheckout) -> None:
        self._tree = inner._tree
        self._columns: dict[str, Column] = {}
        self.commit_digest = inner.commit_digest

    @property
    def columns(self) -> dict[str, Column]:
        """All columns by name."""
        return {name: self._column(name) for name in self}

    def __getitem__(self, item: Any) -> Any:
        """``checkout["column"]``, or ``checkout["column", key]``, also with ``, 10:20``.

        Errors: UnknownColumn, UnknownKey.
        """
        if isinstance(item, tuple):
            return self._column(item[0])[item[1] if len(item) == 2 else item[1:]]
        return self._column(item)

    def __contains__(self, name: object) -> bool:
        return name in self._open()

    def __iter__(self) -> Iterator[str]:
        return iter(self._open())

    def __len__(self) -> int:
        return len(self._open())

    def __repr__(self) -> str:
        state = "closed" if self._tree is None else ", ".join(self) or "no columns"
        commit = self.commit_digest.hex()[:12] if self.commit_digest else "no commit yet"
        return f"<{type(self).__name__} of {commit}: {state}>"

    def close(self) -> None:
        """May be called twice; arrays that were read stay valid."""
        if self._tree is not None:
            self._tree.close()
            self._tree = None

    def __enter__(self) -> Checkout:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _column(self, name: str) -> Column:
        column = self._columns.get(name) if self._tree is not None else None
        if column is None:
            column = self._columns[name] = Column(self._open()[name])
        return column

    def _ipython_key_completions_(self) -> list[str]:
        return list(self)

    def _open(self) -> Any:
        if self._tree is None:
            raise Closed("the checkout is closed")
        return self._tree


class WriteCheckout(SessionMerging):
    """One client's part of a session: columns to write, and its commits. Threads may share it."""

    def __init__(self, inner: AsyncWriteCheckout, run: Run) -> None:
        self._inner = inner
        self._run = run
        self._columns: dict[str, WriteColumn] = {}
        self.branch = inner.branch
        self.session = inner.session

    @property
    def commit_digest(self) -> CommitDigest | None:
        """The commit this session goes on from; None before the branch's first."""
        return self._inner.commit_digest

    @property
    def columns(self) -> dict[str, WriteColumn]:
        """All columns by name."""
        return {name: self._column(name) for name in self}

    def __getitem__(self, item: Any) -> Any:
        """``checkout["column"]``, or ``checkout["column", key]``, also with ``, 10:20``.

        Errors: UnknownColumn, UnknownKey.
        """
        if isinstance(item, tuple):
            return self._column(item[0])[item[1] if len(item) == 2 else item[1:]]
        return self._column(item)

    def __contains__(self, name: object) -> bool:
        return name in self._inner

    def __iter__(self) -> Iterator[str]:
        return iter(self._inner)

    def __len__(self) -> int:
        return len(self._inner)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} on {self.branch!r}, session {self.session}>"

    def add_ndarray_column(
        self,
        name: str,
        shape: Any = None,
        dtype: Any = None,
        prototype: Any = None,
        *,
        backend: str | Mapping[str, Any] | None = None,
        backend_options: Mapping[str, Any] | None = None,
    ) -> WriteColumn:
        """Create a column for samples of one shape and dtype.

        ``backend``: "hdf5" or "hdf5-fixed" (compressed), "numpy" (uncompressed, viewable), a
        format code, a dict of one of these under ``backend`` or ``name`` with its options, or
        None to choose by the shape (hangard.model.options).
        Errors: InvalidRequest, InvalidType, AlreadyExists.
        """
        self._run(
            self._inner.add_ndarray_column(
                name, shape, dtype, prototype, backend=backend, backend_options=backend_options
            )
        )
        return self._column(name)

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
    ) -> CommitDigest:
        """Commit everything staged in the session; its digest. It survives a power cut.

        ``strategy`` settles conflicts with commits that others made meanwhile: "ours" (this
        session's side), "theirs", ``{column: side}``, ``{column: {key: side}}``, or a function that
        is given a Clash.
        Errors: NothingStaged; Conflict, which names the keys and changes nothing; Busy; NoSpace.
        """
        return self._run(  # type: ignore[no-any-return]
            self._inner.commit(
                message, metadata=metadata, strategy=strategy, allow_empty=allow_empty
            )
        )

    def abort(self) -> None:
        """Drop everything staged in the session, and close."""
        self._run(self._inner.abort())

    def close(self) -> None:
        """Leave the session. What is staged and not committed stays in it, with a warning.

        May be called twice. Errors: what failed of samples sent earlier.
        """
        warn_of(self.session, self._run(self._inner.leave()))

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
            column = self._columns[name] = WriteColumn(inner, self._run)
        return column

    def _ipython_key_completions_(self) -> list[str]:
        return list(self)
