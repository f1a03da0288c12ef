"""A column's schema: what its samples look like and how new ones are stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any, Literal, get_args

import numpy as np

from hangard.errors import InvalidRequest, InvalidType
from hangard.limits import SAMPLE_BYTES_MAX, SHAPE_DIMENSIONS_MAX
from hangard.model.options import resolve_backend

Kind = Literal["ndarray", "str", "bytes"]
Layout = Literal["flat", "nested"]

LEGAL_DTYPE_KINDS = "biufc"  # bool, integers, floats, complex
TEXT_DTYPE = "|u1"  # of columns of kind str and bytes


@dataclass(frozen=True, slots=True)
class Schema:
    """dtype, shape, layout, backend and backend options of one column; versioned with the data.

    ``dtype`` is a little-endian ``numpy.dtype.str`` (``"<f4"``, ``"|u1"``), ``shape`` the shape of
    every sample (or the bound of each dimension when ``variable_shape``), ``backend`` a
    two-character format code. ``backend_options`` keeps the user's spelling; options are sorted
    pairs, so that equal schemas are equal records.

    A column of kind str or bytes has TEXT_DTYPE (the items are bytes, of text in UTF-8), no shape
    and ``variable_shape``.
    """

    dtype: str
    shape: tuple[int, ...]
    backend: str
    backend_options: tuple[tuple[str, Any], ...] = field(default=())
    kind: Kind = "ndarray"
    layout: Layout = "flat"
    variable_shape: bool = False

    @property
    def numpy_dtype(self) -> np.dtype[Any]:
        return np.dtype(self.dtype)

    @property
    def bound(self) -> tuple[int, ...]:
        """What no dimension of a sample exceeds; of str and bytes the length in bytes."""
        return self.shape if self.kind == "ndarray" else (SAMPLE_BYTES_MAX,)

    @property
    def sample_items(self) -> int:
        """Items of one fixed-shape sample; the most that a sample of variable shape can have."""
        return prod(self.bound)

    @property
    def sample_bytes(self) -> int:
        """Bytes of one fixed-shape sample; the most that a sample of variable shape can have."""
        return self.sample_items * self.numpy_dtype.itemsize

    @property
    def options(self) -> dict[str, Any]:
        """``backend_options`` as a dict that can be passed back in."""
        return dict(self.backend_options)

    def same_data_as(self, other: Schema) -> bool:
        """Whether samples of both are interchangeable: everything but backend and options is
        equal."""
        return replace(self, backend="", backend_options=()) == replace(
            other, backend="", backend_options=()
        )


def normal_dtype(dtype: Any) -> str:
    """The little-endian ``dtype.str`` of a dtype-like value.

    Errors: InvalidType (``unsupported-dtype``) for object, structured, text, time and void dtypes.
    """
    try:
        result = np.dtype(dtype)
    except TypeError as error:
        raise InvalidType(f"{dtype!r} is not a numpy dtype", code="unsupported-dtype") from error
    if result.kind not in LEGAL_DTYPE_KINDS or result.names is not None:
        raise InvalidType(
            f"dtype {result} cannot be stored; use a bool, integer, float or complex dtype",
            code="unsupported-dtype",
        )
    return str(result.newbyteorder("<").str)


def normal_shape(shape: Any) -> tuple[int, ...]:
    """A shape as a tuple of Python ints; an int n means (n,).

    Errors: InvalidRequest (``invalid-shape``) for negative or too many dimensions, InvalidType for
    non-integers.
    """
    if isinstance(shape, (int, np.integer)) and not isinstance(shape, bool):
        shape = (shape,)
    try:
        result = tuple(shape)
    except TypeError as error:
        raise InvalidType(
            f"shape must be an int or a tuple of ints, not {shape!r}", code="invalid-shape"
        ) from error
    for size in result:
        if not isinstance(size, (int, np.integer)) or isinstance(size, bool):
            raise InvalidType(f"shape {shape!r} has a size that is no int", code="invalid-shape")
        if size < 0:
            raise InvalidRequest(f"shape {shape!r} has a negative size", code="invalid-shape")
    if len(result) > SHAPE_DIMENSIONS_MAX:
        raise InvalidRequest(
            f"{len(result)} dimensions; at most {SHAPE_DIMENSIONS_MAX} are possible",
            code="invalid-shape",
        )
    return tuple(int(size) for size in result)


def make_schema(
    *,
    dtype: Any = TEXT_DTYPE,
    shape: Any = (),
    backend: str,
    backend_options: Mapping[str, Any] | None = None,
    kind: Kind = "ndarray",
    layout: Layout = "flat",
    variable_shape: bool = False,
) -> Schema:
    """A checked schema. ``backend`` and its options must have been resolved (model.options).

    With ``variable_shape`` the shape is the bound of each dimension. Columns of kind str and bytes
    have neither dtype nor shape to choose.
    Errors: InvalidType, InvalidRequest (``invalid-shape``, ``sample-too-large``,
    ``unsupported-schema``).
    """
    schema = Schema(
        dtype=normal_dtype(dtype),
        shape=normal_shape(shape),
        backend=backend,
        backend_options=tuple(sorted((backend_options or {}).items())),
        kind=_legal("kind", kind, Kind),
        layout=_legal("layout", layout, Layout),
        variable_shape=bool(variable_shape) or kind != "ndarray",
    )
    if schema.kind != "ndarray" and (schema.dtype, schema.shape) != (TEXT_DTYPE, ()):
        raise InvalidRequest(
            f"a column of {schema.kind} has neither dtype nor shape", code="unsupported-schema"
        )
    if schema.sample_bytes > SAMPLE_BYTES_MAX:
        raise InvalidRequest(
            f"a sample of {schema.shape} {schema.dtype} has {schema.sample_bytes} bytes;"
            f" at most {SAMPLE_BYTES_MAX} are possible",
            code="sample-too-large",
        )
    return schema


def check_schema(schema: Schema) -> Schema:
    """The schema itself, if it is one that a client of ours could have made.

    What a commit holds once, every reader has to live with.
    Errors: as ``make_schema`` and ``resolve_backend``; InvalidRequest (``unsupported-schema``).
    """
    backend, _ = resolve_backend(
        schema.backend,
        schema.options,
        kind=schema.kind,
        shape=schema.shape,
        variable_shape=schema.variable_shape,
    )
    normal = make_schema(
        dtype=schema.dtype,
        shape=schema.shape,
        backend=backend,
        backend_options=schema.options,
        kind=schema.kind,
        layout=schema.layout,
        variable_shape=schema.variable_shape,
    )
    if normal != schema:
        raise InvalidRequest(
            f"{schema} is not possible; {normal} would be", code="unsupported-schema"
        )
    return schema


def _legal(name: str, value: Any, values: Any) -> Any:
    if value not in get_args(values):
        raise InvalidRequest(
            f"{name} {value!r}; it may be " + ", ".join(map(repr, get_args(values))),
            code="unsupported-schema",
        )
    return value
