"""Creating columns in a write checkout, for asyncio."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hangard.model.schema import Schema
from hangard_client.schemas import new_schema
from hangard_client.staging import Staging

Backend = str | Mapping[str, Any] | None
Options = Mapping[str, Any] | None


class AsyncNewColumns:
    """The verbs of a write checkout that create a column."""

    _staging: Staging

    async def add_ndarray_column(
        self,
        name: str,
        shape: Any = None,
        dtype: Any = None,
        prototype: Any = None,
        variable_shape: bool = False,
        contains_subsamples: bool = False,
        *,
        backend: Backend = None,
        backend_options: Options = None,
    ) -> Any:
        """Create a column for arrays of one dtype, and of one shape: the column.

        ``variable_shape``: samples have as many dimensions as ``shape``, none larger than there.
        ``contains_subsamples``: each key holds samples under keys of their own.
        ``backend``: "hdf5" or "hdf5-fixed" (compressed), "numpy" (uncompressed, viewable), a
        format code, a dict of one of these under ``backend`` or ``name`` with its options, or
        None to choose by the shape (hangard.model.options).
        Errors: InvalidRequest, InvalidType, AlreadyExists.
        """
        schema = new_schema(
            name,
            shape,
            dtype,
            prototype,
            backend,
            backend_options,
            variable_shape=variable_shape,
            contains_subsamples=contains_subsamples,
            defaults=self._staging.column_defaults(),
        )
        return await self._add_column(name, schema)

    async def add_str_column(
        self,
        name: str,
        contains_subsamples: bool = False,
        *,
        backend: Backend = None,
        backend_options: Options = None,
    ) -> Any:
        """Create a column for text, each of up to 1 GiB of UTF-8: the column.

        Errors: as ``add_ndarray_column``.
        """
        schema = new_schema(
            name,
            None,
            None,
            None,
            backend,
            backend_options,
            kind="str",
            contains_subsamples=contains_subsamples,
            defaults=self._staging.column_defaults(),
        )
        return await self._add_column(name, schema)

    async def add_bytes_column(
        self,
        name: str,
        contains_subsamples: bool = False,
        *,
        backend: Backend = None,
        backend_options: Options = None,
    ) -> Any:
        """Create a column for byte strings, each of up to 1 GiB: the column.

        Errors: as ``add_ndarray_column``.
        """
        schema = new_schema(
            name,
            None,
            None,
            None,
            backend,
            backend_options,
            kind="bytes",
            contains_subsamples=contains_subsamples,
            defaults=self._staging.column_defaults(),
        )
        return await self._add_column(name, schema)

    async def _add_column(self, name: str, schema: Schema) -> Any:
        raise AssertionError("a write checkout adds it")
