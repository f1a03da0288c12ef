"""Creating columns in a write checkout."""

from __future__ import annotations

from typing import Any

from hangard_client.async_new_columns import Backend, Options
from hangard_client.columns import Run


class NewColumns:
    """The verbs of a write checkout that create a column."""

    _inner: Any  # its asynchronous twin
    _run: Run

    def add_ndarray_column(
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
        self._run(
            self._inner.add_ndarray_column(
                name,
                shape,
                dtype,
                prototype,
                variable_shape,
                contains_subsamples,
                backend=backend,
                backend_options=backend_options,
            )
        )
        return self._column(name)

    def add_str_column(
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
        self._run(
            self._inner.add_str_column(
                name, contains_subsamples, backend=backend, backend_options=backend_options
            )
        )
        return self._column(name)

    def add_bytes_column(
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
        self._run(
            self._inner.add_bytes_column(
                name, contains_subsamples, backend=backend, backend_options=backend_options
            )
        )
        return self._column(name)

    def _column(self, name: str) -> Any:
        raise AssertionError("a write checkout has it")
