"""Schemas of new columns, from what a caller gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from hangard.errors import InvalidRequest, InvalidType
from hangard.model.names import check_column_name
from hangard.model.options import resolve_backend
from hangard.model.schema import TEXT_DTYPE, Kind, Schema, make_schema, normal_shape


def new_schema(
    name: str,
    shape: Any,
    dtype: Any,
    prototype: Any,
    backend: str | Mapping[str, Any] | None,
    backend_options: Mapping[str, Any] | None,
    *,
    kind: Kind = "ndarray",
    variable_shape: bool = False,
    contains_subsamples: bool = False,
    defaults: Mapping[str, Any] | None = None,
) -> Schema:
    """The schema of a new column.

    Shape and dtype of an ndarray column are given, or taken from ``prototype``, one sample; with
    ``variable_shape`` the shape is the bound of each dimension.
    Errors: InvalidRequest, InvalidType.
    """
    check_column_name(name)
    for option, value in (
        ("variable_shape", variable_shape),
        ("contains_subsamples", contains_subsamples),
    ):
        if not isinstance(value, bool):
            raise InvalidType(f"{option} is True or False, not {value!r}", code="not-a-bool")
    if kind != "ndarray":
        shape, dtype = (), TEXT_DTYPE
    elif prototype is not None:
        if shape is not None or dtype is not None:
            raise InvalidRequest("give either a prototype or shape and dtype", code="two-schemas")
        array = np.asarray(prototype)
        shape, dtype = array.shape, array.dtype
    if shape is None or dtype is None:
        raise InvalidRequest(
            f"column {name!r} needs shape= and dtype=, or prototype=", code="no-schema"
        )
    normal = normal_shape(shape)
    code, options = resolve_backend(
        backend,
        backend_options,
        shape=normal,
        kind=kind,
        variable_shape=variable_shape,
        defaults=defaults,
    )
    return make_schema(
        dtype=dtype,
        shape=normal,
        backend=code,
        backend_options=options,
        kind=kind,
        layout="nested" if contains_subsamples else "flat",
        variable_shape=variable_shape,
    )


def changed_backend(
    schema: Schema,
    backend: str | Mapping[str, Any] | None,
    backend_options: Mapping[str, Any] | None,
    defaults: Mapping[str, Any] | None = None,
) -> Schema:
    """The same column stored another way. Errors: InvalidRequest, InvalidType."""
    code, options = resolve_backend(
        backend,
        backend_options,
        shape=schema.shape,
        kind=schema.kind,
        variable_shape=schema.variable_shape,
        defaults=defaults,
    )
    return replace(schema, backend=code, backend_options=tuple(sorted(options.items())))
