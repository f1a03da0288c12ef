"""Checkouts: the columns of a commit, and the staging area.

``with checkout:`` batches writes; it neither closes nor gives the writer's lock back. After
``close()`` everything that the checkout handed out raises a PermissionError.
"""

from __future__ import annotations

import atexit
import contextlib
import weakref
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

import hangard_client
from hangard.errors import HangardError, InvalidRequest, InvalidType, NothingStaged
from hangard_client.hangar.access import find, look_up
from hangard_client.hangar.columns import Columns
from hangard_client.hangar.diff import ReaderDiff, WriterDiff
from hangard_client.hangar.errors import raising, refusal
from hangard_client.hangar.log import digest_text, log_data, print_log, start_of
from hangard_client.hangar.merging import merge
from hangard_client.hangar.names import checked_name
from hangard_client.hangar.samples import not_picklable
from hangard_client.hangar.scopes import Scope, WriteScope

__all__ = ["ReaderCheckout", "WriterCheckout"]


class _ColumnMapping:
    """What all checkouts do with their columns. Errors: UnknownColumn, UnknownKey (KeyErrors);
    Closed (a PermissionError)."""

    _scope: Scope
    _columns: Columns

    @property
    def columns(self) -> Columns:
        """All columns by name."""
        self._scope.check()
        return self._columns

    @property
    def arraysets(self) -> Columns:
        """The older name of ``columns``."""
        return self.columns

    def __getitem__(self, keys: Any) -> Any:
        """A column, a sample or many samples: see hangard_client.hangar.access."""
        self._scope.check()
        return look_up(self._columns, keys)

    def get(self, keys: Any, default: Any = None, except_missing: bool = False) -> Any:
        """As ``checkout[keys]``, with ``default`` in the place of each sample that is missing,
        unless ``except_missing``. Errors: UnknownColumn for the bare name of a column."""
        self._scope.check()
        return self[keys] if except_missing else find(self._columns, keys, default)

    def __contains__(self, name: object) -> bool:
        return name in self._columns

    def __len__(self) -> int:
        return len(self._columns)

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def keys(self) -> Iterator[str]:
        """Names of the columns."""
        return iter(self._columns)

    def values(self) -> Iterator[Any]:
        """The columns."""
        return self._columns.values()

    def items(self) -> Iterator[tuple[str, Any]]:
        """Names and columns."""
        return self._columns.items()

    def __reduce__(self) -> tuple[Any, ...]:
        raise refusal(
            TypeError, "checkouts are not pickled; their columns are", "checkout-not-picklable"
        )

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))

    def _ipython_key_completions_(self) -> list[str]:
        return self._columns.keys()


class ReaderCheckout(_ColumnMapping):
    """The columns of one commit; it never changes, whatever others commit."""

    def __init__(self, repo: hangard_client.Repository, commit: bytes) -> None:
        self._repo = repo
        self._commit = commit
        self._native = repo.checkout(commit=commit)
        self._scope = Scope()
        self._columns = Columns(self._native, self._scope)

    @property
    def commit_hash(self) -> str:
        """The digest of the commit."""
        self._scope.check()
        return digest_text(self._commit)

    @property
    def diff(self) -> ReaderDiff:
        """This commit against others."""
        self._scope.check()
        return ReaderDiff(self._repo, self._scope, lambda: self._commit)

    def log(
        self,
        branch: str | None = None,
        commit: str | None = None,
        *,
        return_contents: bool = False,
        show_time: bool = False,
        show_user: bool = False,
    ) -> dict[str, Any] | None:
        """As ``repo.log``, by default from this commit on."""
        self._scope.check()
        start = start_of(self._repo, branch, commit) if branch or commit else self._commit
        return _log(self._repo, start, return_contents, show_time, show_user)

    def close(self) -> None:
        """Errors: Closed, at the second call."""
        self._scope.check()
        self._scope.end()
        self._native.close()

    def __enter__(self) -> ReaderCheckout:
        self._scope.check()
        return self

    def __exit__(self, *_: object) -> None:
        self._scope.check()

    def __repr__(self) -> str:
        return f"ReaderCheckout(commit_hash={digest_text(self._commit)!r}, columns={list(self)!r})"


class WriterCheckout(_ColumnMapping):
    """The staging area of the repository, held by this checkout until ``close()``.

    Each write survives this process once it returned, or at the end of the ``with`` block. Errors
    besides the reader's: those of Hangar's table, each also of the class that hangard.errors has
    for it.
    """

    def __init__(
        self, repo: hangard_client.Repository, native: hangard_client.WriteCheckout
    ) -> None:
        self._repo = repo
        self._native = native
        self._begin()
        _living.add(self)

    @property
    def branch_name(self) -> str:
        """The branch that ``commit`` goes to."""
        self._scope.check()
        return self._native.branch

    @property
    def commit_hash(self) -> str:
        """The digest of the commit that the staging area goes on from; empty before the first."""
        self._scope.check()
        return digest_text(self._native.commit_digest)

    @property
    def diff(self) -> WriterDiff:
        """What is staged, and the commit it goes on from against others."""
        self._scope.check()
        return WriterDiff(self._repo, self._scope, self._native)

    def add_ndarray_column(
        self,
        name: str,
        shape: Any = None,
        dtype: Any = None,
        prototype: Any = None,
        variable_shape: bool = False,
        contains_subsamples: bool = False,
        *,
        backend: Any = None,
        backend_options: Mapping[str, Any] | None = None,
    ) -> Any:
        """Create a column of arrays; the column.

        ``shape`` (an int means one dimension) and ``dtype``, or ``prototype``, one sample. With
        ``variable_shape`` the shape is the most that each dimension may have.
        Errors: InvalidRequest (a ValueError); InvalidType (a TypeError, too); AlreadyExists (a
        LookupError); a PermissionError within a ``with`` block.
        """
        self._check_new(name)
        if prototype is not None and not isinstance(prototype, np.ndarray):
            raise InvalidType("prototype= is a numpy array", code="wrong-sample-type")
        if 0 in (np.shape(prototype) if prototype is not None else _dimensions(shape)):
            raise InvalidRequest(
                "a dimension of size 0; give 1 or more for each", code="invalid-shape"
            )
        return self._added(
            name,
            self._native.add_ndarray_column(
                name,
                shape,
                dtype,
                prototype,
                variable_shape=variable_shape,
                contains_subsamples=contains_subsamples,
                backend=backend,
                backend_options=backend_options,
            ),
        )

    def add_str_column(
        self,
        name: str,
        contains_subsamples: bool = False,
        *,
        backend: Any = None,
        backend_options: Mapping[str, Any] | None = None,
    ) -> Any:
        """Create a column of texts. Errors: as ``add_ndarray_column``."""
        self._check_new(name)
        native = self._native.add_str_column(
            name,
            contains_subsamples=contains_subsamples,
            backend=backend,
            backend_options=backend_options,
        )
        return self._added(name, native)

    def add_bytes_column(
        self,
        name: str,
        contains_subsamples: bool = False,
        *,
        backend: Any = None,
        backend_options: Mapping[str, Any] | None = None,
    ) -> Any:
        """Create a column of bytes. Errors: as ``add_ndarray_column``."""
        self._check_new(name)
        native = self._native.add_bytes_column(
            name,
            contains_subsamples=contains_subsamples,
            backend=backend,
            backend_options=backend_options,
        )
        return self._added(name, native)

    def commit(self, commit_message: str) -> str:
        """Commit what is staged; the commit's digest. Works within a ``with`` block, too.

        Errors: NothingStaged (a RuntimeError); a RuntimeError without an author.
        """
        self._scope.check()
        with raising(RuntimeError, InvalidRequest):
            return self._native.commit(commit_message, allow_empty_message=True).hex()

    def merge(self, message: str, dev_branch: str) -> str:
        """Merge a branch into this checkout's, and go on from the result; its digest.

        Errors: as ``repo.merge``.
        """
        self._scope.refuse_in_block("a merge", RuntimeError)
        return merge(self._repo, self._native, message, dev_branch)

    def reset_staging_area(self, *, force: bool = False) -> str:
        """Drop what is staged; the digest of the commit it goes on from.

        Columns that were taken from the checkout before refuse everything: take them again.
        Errors: NothingStaged (a RuntimeError) if nothing is, unless ``force``.
        """
        self._scope.refuse_in_block("a reset", PermissionError)
        if not force and not self._native.diff():
            raise NothingStaged("nothing is staged that could be reset")
        self._native.reset()
        self._scope.end("the staging area was reset; take the column from the checkout again")
        self._begin()
        return self.commit_hash

    def log(
        self,
        branch: str | None = None,
        commit: str | None = None,
        *,
        return_contents: bool = False,
        show_time: bool = False,
        show_user: bool = False,
    ) -> dict[str, Any] | None:
        """As ``repo.log``, by default of this checkout's branch."""
        self._scope.check()
        name = branch or (None if commit else self._native.branch)
        start = start_of(self._repo, name, commit)
        return _log(self._repo, start, return_contents, show_time, show_user)

    def close(self) -> None:
        """Give the writer's lock back; what is staged stays. Errors: Closed, at the second call."""
        self._scope.check()
        self._scope.end()
        _living.discard(self)
        try:
            self._native.flush()
        finally:
            self._native.leave()

    def __enter__(self) -> WriterCheckout:
        self._scope.enter()
        return self

    def __exit__(self, *_: object) -> None:
        self._scope.leave()

    def __reduce__(self) -> tuple[Any, ...]:
        raise not_picklable()

    def __repr__(self) -> str:
        return f"WriterCheckout(branch_name={self._native.branch!r}, columns={list(self)!r})"

    def _begin(self) -> None:
        self._scope: WriteScope = WriteScope(self._native.flush)
        self._columns = Columns(self._native, self._scope, self.add_ndarray_column)

    def _check_new(self, name: str) -> None:
        self._scope.refuse_in_block("adding a column")
        checked_name("column", name)

    def _added(self, name: str, native: Any) -> Any:
        return self._columns[name]


def _log(
    repo: hangard_client.Repository,
    start: bytes | None,
    return_contents: bool,
    show_time: bool,
    show_user: bool,
) -> dict[str, Any] | None:
    if return_contents:
        return log_data(repo, start)
    print_log(repo, start, show_time=show_time, show_user=show_user)
    return None


def _dimensions(shape: Any) -> tuple[Any, ...]:
    return tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)


def close_writers(repo: hangard_client.Repository | None = None) -> None:
    """Of one repository, or at the end of the interpreter all that were forgotten: what is staged
    stays, and the lock is given back."""
    for checkout in list(_living):
        if repo is None or checkout._repo is repo:
            with contextlib.suppress(HangardError):
                checkout.close()


atexit.register(close_writers)

_living: weakref.WeakSet[WriterCheckout] = weakref.WeakSet()
