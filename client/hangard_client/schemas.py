"""Schemas of new columns, from what a caller gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hangard.errors import InvalidRequest
from hangard.model.names import check_column_name
from hangard.model.options import resolve_backend
from hangard.model.schema import Schema, make_schema, normal_shape


def new_schema(
    name: str,
    shape: Any,
    dtype: Any,
    prototype: Any,
    backend: str | None,
    backend_options: Mapping[str, Any] | None,
) -> Schema:
    """The schema of a new fixed-shape column.

    Shape and dtype are given, or taken from ``prototype``, one sample.
    Errors: InvalidRequest, InvalidType.
    """
    check_column_name(name)
    if prototype is not None:
        if shape is not None or dtype is not None:
            raise InvalidRequest("give either a prototype or shape and dtype", code="two-schemas")
        array = np.asarray(prototype)
        shape, dtype = array.shape, array.dtype
    if shape is None or dtype is None:
        raise InvalidRequest(
            f"column {name!r} needs shape= and dtype=, or prototype=", code="no-schema"
        )
    normal = normal_shape(shape)
    code, options = resolve_backend(backend, backend_options, normal)
    return make_schema(dtype=dtype, shape=normal, backend=code, backend_options=options)


def changed_backend(
    schema: Schema, backend: str | None, backend_options: Mapping[str, Any] | None
) -> Schema:
    """The same column stored another way. Errors: InvalidRequest, InvalidType."""
    code, options = resolve_backend(backend, backend_options, schema.shape)
    return make_schema(
        dtype=schema.dtype, shape=schema.shape, backend=code, backend_options=options
    )
