"""Rows of any shapes: what a batch of a column with variable shape, of text or of bytes is.

Shapes   data (bytes,) uint8; ends (n,) uint64, row i is data[ends[i - 1]:ends[i]]; shapes (n, d)
         uint64, d sizes for each row, in items; of text and bytes one, the length in bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
from hangard_ext.recordspec import SHAPE_IS_LENGTH

from hangard.errors import InvalidRequest
from hangard.model.schema import Schema

Ends = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class RaggedRows:
    """Some rows, one after the other, C order, little-endian."""

    data: npt.NDArray[np.uint8]
    ends: Ends
    shapes: Ends

    @property
    def nbytes(self) -> int:
        """Bytes of all rows together."""
        return self.data.nbytes

    def __len__(self) -> int:
        return len(self.ends)

    def part(self, start: int, stop: int) -> RaggedRows:
        """The rows ``start`` to ``stop``; their bytes are shared."""
        first = int(self.ends[start - 1]) if start else 0
        last = int(self.ends[stop - 1]) if stop > start else first
        return RaggedRows(
            self.data[first:last], self.ends[start:stop] - np.uint64(first), self.shapes[start:stop]
        )

    def copy(self) -> RaggedRows:
        return RaggedRows(self.data.copy(), self.ends, self.shapes)


def pack_rows(
    schema: Schema, parts: Sequence[Any], shapes: Sequence[tuple[int, ...]]
) -> RaggedRows:
    """Rows of buffers, each with its shape."""
    dimensions = len(schema.bound)
    sizes = np.array(shapes, np.uint64).reshape(len(shapes), dimensions)
    data = np.frombuffer(b"".join(parts), np.uint8) if parts else np.empty(0, np.uint8)
    return RaggedRows(data, ends_of(schema, sizes), sizes)


def ends_of(schema: Schema, shapes: Ends) -> Ends:
    """Where rows of these shapes (n, d), within the schema's bound, end."""
    items = shapes.prod(axis=1, dtype=np.uint64)
    return np.cumsum(items * np.uint64(schema.numpy_dtype.itemsize), dtype=np.uint64)


def check_shapes(column: str, schema: Schema, shapes: Ends) -> None:
    """Errors: InvalidRequest (``wrong-shape``) unless all shapes (n, d) keep within the bound."""
    bound = np.array(schema.bound, np.uint64)
    if shapes.shape[1:] != bound.shape:
        raise InvalidRequest(
            f"column {column!r} holds samples of {len(bound)} dimensions, not {shapes.shape[1]}",
            code="wrong-shape",
            column=column,
        )
    beyond = (shapes > bound).any(axis=1)
    if beyond.any():
        raise wrong_shape(column, schema, tuple(shapes[int(np.argmax(beyond))].tolist()))


def check_text(column: str, rows: RaggedRows) -> None:
    """Errors: InvalidRequest (``invalid-text``) unless each row is text in UTF-8."""
    try:
        rows.data.tobytes().decode()
        is_text = True
    except UnicodeDecodeError:
        is_text = False
    # No row may begin within a character of the one before it.
    begins = rows.ends[:-1][rows.ends[:-1] < rows.nbytes]
    if not is_text or ((rows.data[begins] & 0xC0) == 0x80).any():
        raise InvalidRequest(
            f"column {column!r} holds text in UTF-8, and some of these bytes are none",
            code="invalid-text",
            column=column,
        )


def fits(schema: Schema, shape: tuple[int, ...]) -> bool:
    """Whether a sample of this shape may be put into a column of variable shape."""
    bound = schema.bound
    return len(shape) == len(bound) and all(
        size <= most for size, most in zip(shape, bound, strict=True)
    )


def wrong_shape(column: str, schema: Schema, shape: tuple[int, ...]) -> InvalidRequest:
    """The error for a sample that is too large, or has another number of dimensions."""
    if schema.kind != "ndarray":
        return InvalidRequest(
            f"column {column!r} holds {schema.kind} of up to {schema.bound[0]} bytes,"
            f" not {prod(shape)}",
            code="sample-too-large",
            column=column,
        )
    return InvalidRequest(
        f"column {column!r} holds samples of {len(schema.shape)} dimensions up to {schema.shape},"
        f" not {shape}",
        code="wrong-shape",
        column=column,
    )


def shape_of_id(number: int, find_shape: Callable[[int], tuple[int, ...]]) -> tuple[int, ...]:
    """The shape that a spec's shape id stands for; 0 for samples without dimensions.

    ``find_shape`` gives an interned shape by its number.
    """
    if number & SHAPE_IS_LENGTH:
        return (number ^ SHAPE_IS_LENGTH,)
    return find_shape(number) if number else ()
