"""What every column tells of itself, in Hangar's words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from hangard.model.schema import Schema
from hangard_client.hangar.scopes import Scope, WriteScope


class ColumnFacts:
    """Properties of a column; none can be assigned."""

    _scope: Scope
    _native: Any

    @property
    def _schema(self) -> Schema:
        self._scope.check()
        schema: Schema = self._native.schema
        return schema

    @property
    def column(self) -> str:
        """The column's name."""
        self._scope.check()
        return str(self._native.name)

    @property
    def column_type(self) -> str:
        """``ndarray``, ``str`` or ``bytes``."""
        return self._schema.kind

    @property
    def column_layout(self) -> str:
        """``flat`` or ``nested``."""
        return self._schema.layout

    @property
    def schema_type(self) -> str:
        """``fixed_shape`` or ``variable_shape``."""
        return "variable_shape" if self._schema.variable_shape else "fixed_shape"

    @property
    def dtype(self) -> Any:
        """The numpy dtype of arrays; the type ``str`` or ``bytes`` of the others."""
        kinds: dict[str, type] = {"str": str, "bytes": bytes}
        schema = self._schema
        return kinds.get(schema.kind) or np.dtype(schema.dtype)

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Of every sample, or its bound if the shape is variable; None of str and bytes."""
        schema = self._schema
        return schema.shape if schema.kind == "ndarray" else None

    @property
    def backend(self) -> str:
        """The two-character code of how new samples are stored."""
        return self._schema.backend

    @property
    def backend_options(self) -> dict[str, Any]:
        """What can be passed back in to create an equal column."""
        return self._schema.options

    @property
    def backend_opts(self) -> dict[str, Any]:
        """The older name of ``backend_options``."""
        return self.backend_options

    @property
    def contains_subsamples(self) -> bool:
        return self._schema.layout == "nested"

    def __repr__(self) -> str:
        schema = self._native.schema
        access = "write" if getattr(self, "_is_writer", False) else "read"
        return (
            f"{type(self).__name__}(column={self._native.name!r}, layout={schema.layout!r},"
            f" type={schema.kind!r}, dtype={schema.dtype!r}, shape={schema.shape},"
            f" backend={schema.backend!r}, access={access!r})"
        )


class ChangingBackend:
    """Of columns that can be written."""

    _native: Any
    if TYPE_CHECKING:
        # Declared so for the checker only: the other bases say what it is for reading.
        _scope: Any

    def change_backend(
        self, backend: Any, backend_options: Mapping[str, Any] | None = None
    ) -> None:
        """Store later samples another way; those that are there stay readable where they are.

        Errors: InvalidRequest (a ValueError), InvalidType (a TypeError): nothing has changed then;
        a RuntimeError within a ``with`` block.
        """
        scope: WriteScope = self._scope
        scope.refuse_in_block("changing the backend", RuntimeError)
        self._native.change_backend(backend, backend_options)

    def change_default_backend(self, backend_opts: Any = None, **options: Any) -> None:
        """The older spelling: a code, a name, or a dict with ``backend`` and options; or those as
        keywords. Errors: as ``change_backend``."""
        self.change_backend(backend_opts if backend_opts is not None else options)
