"""Whether a sample fits its column, by Hangar's rules."""

from __future__ import annotations

from typing import Any

import numpy as np

from hangard.errors import InvalidRequest, InvalidType
from hangard.model.schema import Schema


def checked_value(native: Any, value: Any) -> Any:
    """The sample itself.

    Hangar takes an ndarray of the column's dtype, C-contiguous, of its shape (or within its bound
    if the shape is variable); a str or bytes for the columns of those.
    Errors: InvalidType, InvalidRequest (``wrong-dtype``, ``not-contiguous``, ``wrong-shape``): all
    are ValueErrors.
    """
    schema: Schema = native.schema
    if schema.kind != "ndarray":
        kind = str if schema.kind == "str" else bytes
        if not isinstance(value, kind):
            raise _wrong_type(native.name, kind.__name__, value)
        return value
    if not isinstance(value, np.ndarray):
        raise _wrong_type(native.name, "numpy.ndarray", value)
    if value.dtype.newbyteorder("<") != schema.numpy_dtype:
        raise InvalidRequest(
            f"column {native.name!r} holds {schema.numpy_dtype}, not {value.dtype}",
            code="wrong-dtype",
        )
    if not value.flags.c_contiguous:
        raise InvalidRequest(
            f"column {native.name!r} takes C-contiguous arrays; use numpy.ascontiguousarray",
            code="not-contiguous",
        )
    if not _fits(schema, value.shape):
        bound = "at most " if schema.variable_shape else ""
        raise InvalidRequest(
            f"column {native.name!r} holds samples of shape {bound}{schema.shape},"
            f" not {value.shape}",
            code="wrong-shape",
        )
    return value


def _fits(schema: Schema, shape: tuple[int, ...]) -> bool:
    if not schema.variable_shape:
        return shape == schema.shape
    return len(shape) == len(schema.shape) and all(
        size <= most for size, most in zip(shape, schema.shape, strict=True)
    )


def _wrong_type(column: str, wanted: str, value: object) -> InvalidType:
    return InvalidType(
        f"column {column!r} takes {wanted}, not {type(value).__name__}", code="wrong-sample-type"
    )
