"""The columns of a checkout by name, and what a column is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from hangard.errors import UnknownColumn
from hangard_client.hangar.errors import refusal
from hangard_client.hangar.facts import ChangingBackend, ColumnFacts
from hangard_client.hangar.flat import FlatSampleReader, FlatSampleWriter
from hangard_client.hangar.nested import NestedSampleReader, NestedSampleWriter
from hangard_client.hangar.scopes import Scope, WriteScope

__all__ = ["Columns", "is_column", "is_writer_column"]


def is_column(value: object) -> bool:
    """Whether it is a column of a checkout, flat or nested, to read or to write."""
    return isinstance(value, ColumnFacts)


def is_writer_column(value: object) -> bool:
    """Whether it is a column that can be written."""
    return isinstance(value, ChangingBackend)


def wrapped(native: Any, scope: Scope) -> Any:
    """A native column as Hangar's."""
    nested = native.schema.layout == "nested"
    if isinstance(scope, WriteScope):
        return (NestedSampleWriter if nested else FlatSampleWriter)(native, scope)
    return (NestedSampleReader if nested else FlatSampleReader)(native, scope)


class Columns:
    """``checkout.columns``. Errors: UnknownColumn (a KeyError); Closed (a PermissionError)."""

    def __init__(self, native: Any, scope: Scope, create: Callable[..., Any] | None = None) -> None:
        self._native = native
        self._scope = scope
        self._create = create

    def __getitem__(self, name: str) -> Any:
        self._scope.check()
        if not isinstance(name, str):
            raise UnknownColumn(f"there is no column {name!r}", column=repr(name))
        return wrapped(self._native[name], self._scope)

    def get(self, name: str) -> Any:
        """A column. Errors: UnknownColumn."""
        return self[name]

    def __contains__(self, name: object) -> bool:
        self._scope.check()
        return name in self._native

    def __len__(self) -> int:
        self._scope.check()
        return len(self._native)

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def keys(self) -> list[str]:
        """All names."""
        self._scope.check()
        return list(self._native)

    def values(self) -> Iterator[Any]:
        """All columns."""
        return (self[name] for name in self.keys())

    def items(self) -> Iterator[tuple[str, Any]]:
        """Names and columns."""
        return ((name, self[name]) for name in self.keys())

    @property
    def iswriteable(self) -> bool:
        self._scope.check()
        return isinstance(self._scope, WriteScope)

    @property
    def contains_remote_references(self) -> dict[str, bool]:
        """By column, whether samples lie on a server only."""
        return {name: column.contains_remote_references for name, column in self.items()}

    @property
    def remote_sample_keys(self) -> dict[str, tuple[Any, ...]]:
        """By column, the samples that lie on a server only."""
        return {name: column.remote_reference_keys for name, column in self.items()}

    def delete(self, name: str) -> str:
        """Remove a column with all its samples; its name.

        Errors: UnknownColumn; a PermissionError in a read checkout and within a ``with`` block.
        """
        scope = self._writing("removing a column")
        scope.refuse_in_block("removing a column")
        self._native.remove_column(self[name]._native.name)
        return name

    def __delitem__(self, name: str) -> None:
        self.delete(name)

    def init_arrayset(
        self,
        name: str,
        shape: Any = None,
        dtype: Any = None,
        prototype: Any = None,
        named_samples: bool = True,
        variable_shape: bool = False,
        contains_subsamples: bool = False,
        *,
        backend_opts: Any = None,
    ) -> Any:
        """The older spelling of ``checkout.add_ndarray_column``.

        ``backend_opts`` is a code, a name, or a dict with ``backend`` in it; samples always have
        names. Errors: as ``add_ndarray_column``.
        """
        self._writing("adding a column")
        assert self._create is not None
        return self._create(
            name,
            shape,
            dtype,
            prototype,
            variable_shape,
            contains_subsamples,
            backend=backend_opts,
        )

    def __repr__(self) -> str:
        access = "write" if isinstance(self._scope, WriteScope) else "read"
        return f"Columns({', '.join(map(repr, self._native))}; access={access!r})"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))

    def _ipython_key_completions_(self) -> list[str]:
        return self.keys()

    def _writing(self, what: str) -> WriteScope:
        self._scope.check()
        if not isinstance(self._scope, WriteScope):
            raise refusal(
                PermissionError, f"{what} needs repo.checkout(write=True)", "read-checkout"
            )
        return self._scope
