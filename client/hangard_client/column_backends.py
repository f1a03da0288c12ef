"""How a column's samples are stored: what is in force, and changing it.

Samples stay where they are when a column's backend changes: a column may lie in several backends
(``column.locations()``), until ``hangard repack`` brings them into its current one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hangard.errors import InvalidRequest, UnknownColumn
from hangard.model.schema import Schema
from hangard_client.schemas import changed_backend

if TYPE_CHECKING:
    from hangard_client.buffers import ColumnBuffer
    from hangard_client.staging import Staging

BackendSpec = str | Mapping[str, Any] | None


class BackendFacts:
    """What a column tells about its backend."""

    _schema: Schema

    @property
    def schema(self) -> Schema:
        return self._schema

    @property
    def backend(self) -> str:
        """The two-character format code of the backend that new samples go to."""
        return self.schema.backend

    @property
    def backend_options(self) -> dict[str, Any]:
        """All its options, as the user spelt those that were given; can be passed back in."""
        return self.schema.options

    @property
    def backend_opts(self) -> dict[str, Any]:
        """Backend and options in one dict, as ``backend=`` of an equal column takes it."""
        return {"backend": self.backend, **self.backend_options}


class StagedBackendFacts(BackendFacts):
    """The same of a column that is being written: as it was last changed."""

    _staging: Staging
    _buffer: ColumnBuffer

    @property
    def schema(self) -> Schema:
        try:
            return self._staging.schema(self._buffer.column)
        except UnknownColumn:
            return self._schema


class AsyncBackendChange(StagedBackendFacts):
    """``change_backend`` of a column that is being written."""

    async def change_backend(
        self,
        backend: BackendSpec = None,
        backend_options: Mapping[str, Any] | None = None,
        *,
        backend_opts: BackendSpec = None,
        **spec: Any,
    ) -> None:
        """Store later samples another way; those written before stay where they are.

        ``change_backend("hdf5")``, ``change_backend("00", {"complevel": 9})``,
        ``change_backend({"name": "hdf5", "complevel": 9})``, which ``backend_opts=`` takes as well,
        or its parts by name: ``change_backend(name="hdf5", complevel=9)``. A code or a name alone
        means that backend's defaults. On an error the old setting stays.
        Errors: InvalidRequest, InvalidType, naming the option and its legal values.
        """
        given = one_spec(backend, backend_opts, spec)
        schema = changed_backend(
            self.schema, given, backend_options, self._staging.column_defaults()
        )
        await self._staging.change_column("change", self._buffer.column, schema)


def one_spec(backend: BackendSpec, backend_opts: BackendSpec, spec: dict[str, Any]) -> BackendSpec:
    """The one specification among the ways to give it. Errors: InvalidRequest."""
    ways = [way for way in (backend, backend_opts) if way is not None]
    if spec:
        # change_backend(backend="00", complevel=9) is a dict by name too.
        first = ways.pop(0) if ways and isinstance(backend, str) else None
        ways.append({"backend": first, **spec} if first is not None else spec)
    if not ways:
        raise InvalidRequest(
            "name the backend to change to: a code or a name, or a dict with options",
            code="unknown-backend",
        )
    if len(ways) > 1:
        raise InvalidRequest(
            "give the backend once: as backend, as backend_opts, or its parts by name",
            code="invalid-backend-option",
        )
    return ways[0]
