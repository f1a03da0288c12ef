"""What a client collects before it sends: rows of one column, packed as the daemon stores them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from hangard.errors import InvalidRequest, InvalidType
from hangard.limits import KIB
from hangard.model.chunking import chunk_rows
from hangard.model.keys import PackedKeys, encode_key
from hangard.model.ragged import RaggedRows
from hangard.model.schema import Schema

BATCH_BYTES = 1024 * KIB  # about as much is sent at once: whole chunks, at least one
BATCH_ROWS_MAX = 8192
FIRST_ROWS = 16  # a buffer grows from here: many columns with few rows cost little


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows to put and keys to delete in one column; no key is in both.

    Shapes  rows (n, *shape) of the column's dtype, C order, one a key of ``keys``; RaggedRows of
            a column whose samples differ in shape.
    """

    column: str
    schema: Schema
    keys: PackedKeys
    rows: npt.NDArray[Any] | RaggedRows
    deleted: PackedKeys
    is_borrowed: bool = False  # the rows are the caller's own memory
    is_part: bool = False  # of what is staged together
    more: bool = False  # it is not the last of that

    def owned(self) -> Batch:
        """The same with rows that nobody else can change."""
        if not self.is_borrowed:
            return self
        return replace(self, rows=self.rows.copy(), is_borrowed=False)

    @property
    def rows_bytes(self) -> int:
        return self.rows.nbytes

    def part(self, start: int, stop: int) -> npt.NDArray[Any] | RaggedRows:
        """The rows ``start`` to ``stop``."""
        rows = self.rows
        return rows.part(start, stop) if isinstance(rows, RaggedRows) else rows[start:stop]

    def __len__(self) -> int:
        return len(self.keys[1]) + len(self.deleted[1])


def pack(keys: list[bytes]) -> PackedKeys:
    """Encoded keys as a packed block."""
    lengths = np.fromiter(map(len, keys), np.uint32, len(keys))
    return b"".join(keys), np.cumsum(lengths, dtype=np.uint32)


NO_KEYS: PackedKeys = (b"", np.empty(0, np.uint32))


def batch_rows(row_bytes: int) -> int:
    """Rows that are sent together: whole chunks of about BATCH_BYTES."""
    chunk = chunk_rows(row_bytes)
    return min(BATCH_ROWS_MAX, max(1, BATCH_BYTES // max(1, chunk * row_bytes)) * chunk)


class ColumnBuffer:
    """The rows and deletions of one column that were not sent yet. Not thread-safe.

    Speed: one ``put`` of a (28, 28) uint8 array costs about 1.5 us (bench/bench_ingest.py).
    """

    __slots__ = (
        "_capacity",
        "_deleted",
        "_dtype",
        "_nested",
        "_order",
        "_positions",
        "_rows",
        "_shape",
        "column",
        "is_removed",
        "schema",
    )

    def __init__(self, column: str, schema: Schema) -> None:
        self.column = column
        self.schema = schema
        self.is_removed = False  # from the session: nothing can be staged any more
        self._nested = schema.layout == "nested"
        self._dtype = schema.numpy_dtype
        self._shape = schema.shape
        self._capacity = batch_rows(schema.sample_bytes)
        self._rows = self._new_rows()
        self._positions: dict[bytes, int] = {}
        self._order: list[bytes] = []
        self._deleted: set[bytes] = set()

    def __len__(self) -> int:
        return len(self._order) + len(self._deleted)

    @property
    def rows_bytes(self) -> int:
        """Bytes of the rows that wait."""
        return len(self._order) * self.schema.sample_bytes

    def put(self, key: object, value: object) -> bool:
        """Take a sample; True when the buffer is full and must be taken.

        Errors: InvalidType, InvalidRequest (``wrong-dtype``, ``wrong-shape``, ``invalid-key``).
        """
        if (
            type(value) is not np.ndarray
            or value.dtype != self._dtype
            or value.shape != self._shape
        ):
            value = checked_row(self.column, self.schema, value)
        encoded = encode_key(key, self._nested)
        position = self._positions.get(encoded)
        if position is None:
            position = len(self._order)
            if position == len(self._rows):
                self._grow()
            self._rows[position] = value
            self._positions[encoded] = position
            self._order.append(encoded)
            if self._deleted:
                self._deleted.discard(encoded)
            return position + 1 >= self._capacity
        self._rows[position] = value
        return False

    def delete(self, encoded: bytes) -> bool:
        """Take a deletion of an encoded key; True when the buffer is full."""
        position = self._positions.pop(encoded, None)
        if position is not None:
            last = self._order.pop()
            if last != encoded:
                self._order[position] = last
                self._rows[position] = self._rows[len(self._order)]
                self._positions[last] = position
        self._deleted.add(encoded)
        return len(self._deleted) >= BATCH_ROWS_MAX

    def find(self, encoded: bytes) -> npt.NDArray[Any] | None:
        """A copy of a buffered row. None if the key is not here: see ``is_deleted``."""
        position = self._positions.get(encoded)
        return None if position is None else self._rows[position].copy()

    @property
    def has_deletions(self) -> bool:
        return bool(self._deleted)

    def is_deleted(self, encoded: bytes) -> bool:
        return encoded in self._deleted

    def changes(self) -> dict[bytes, bool]:
        """Buffered keys: True for a row, False for a deletion."""
        return {**dict.fromkeys(self._deleted, False), **dict.fromkeys(self._order, True)}

    def take(self) -> Batch:
        """All that is buffered; the buffer is empty afterwards, its rows belong to the batch."""
        rows = self._rows[: len(self._order)]
        deleted = pack(sorted(self._deleted)) if self._deleted else NO_KEYS
        batch = Batch(self.column, self.schema, pack(self._order), rows, deleted)
        self.clear()
        return batch

    def clear(self) -> None:
        self._rows = self._new_rows()
        self._positions = {}
        self._order = []
        self._deleted = set()

    def _new_rows(self) -> npt.NDArray[Any]:
        return np.empty((0, *self._shape), self._dtype)

    def _grow(self) -> None:
        filled = len(self._order)
        # Memory that nobody has touched costs nothing, so the second step is already the last.
        count = min(FIRST_ROWS, self._capacity) if filled < FIRST_ROWS else self._capacity
        rows = np.empty((count, *self._shape), self._dtype)
        rows[:filled] = self._rows[:filled]
        self._rows = rows


def checked_row(column: str, schema: Schema, value: object) -> npt.NDArray[Any]:
    """One sample as the column stores it: big-endian and strided arrays are converted.

    Errors: InvalidType (``not-an-array``), InvalidRequest (``wrong-dtype``, ``wrong-shape``).
    """
    if not isinstance(value, np.ndarray | np.generic):
        raise InvalidType(
            f"column {column!r} takes numpy arrays, not {type(value).__name__}",
            code="not-an-array",
        )
    array = np.asarray(value)
    check_dtype(column, schema, array.dtype)
    if array.shape != schema.shape:
        raise InvalidRequest(
            f"column {column!r} holds samples of shape {schema.shape}, not {array.shape}",
            code="wrong-shape",
            column=column,
        )
    return array


def checked_rows(column: str, schema: Schema, values: object, count: int) -> npt.NDArray[Any]:
    """Many samples as one little-endian C-ordered array of shape (count, *schema.shape).

    It is the caller's own memory where that is possible. Errors: as ``checked_row``.
    """
    if not isinstance(values, np.ndarray):
        rows = [checked_row(column, schema, value) for value in sequence_of(column, values)]
        if not rows:
            rows_array = np.empty((0, *schema.shape), schema.numpy_dtype)
        else:
            rows_array = np.stack(rows).astype(schema.numpy_dtype, copy=False)
        return _counted(column, rows_array, count)
    check_dtype(column, schema, values.dtype)
    _counted(column, values, count)
    if values.shape[1:] != schema.shape:
        raise InvalidRequest(
            f"column {column!r} holds samples of shape {schema.shape},"
            f" not {values.shape[1:]} (the batch has shape {values.shape})",
            code="wrong-shape",
            column=column,
        )
    return np.ascontiguousarray(values, schema.numpy_dtype)


def check_dtype(column: str, schema: Schema, dtype: np.dtype[Any]) -> None:
    """Errors: InvalidRequest (``wrong-dtype``), unless it is the column's in any byte order."""
    if dtype.hasobject or dtype.newbyteorder("<") != schema.numpy_dtype:
        raise InvalidRequest(
            f"column {column!r} holds {schema.numpy_dtype}, not {dtype};"
            " convert the array with astype",
            code="wrong-dtype",
            column=column,
        )


def sequence_of(column: str, values: object) -> Any:
    """Many samples, to be iterated over. Errors: InvalidType (``not-an-array``)."""
    if isinstance(values, str | bytes | dict) or not hasattr(values, "__iter__"):
        raise InvalidType(
            f"column {column!r} takes an array or a sequence of arrays,"
            f" not {type(values).__name__}",
            code="not-an-array",
        )
    return values


def _counted(column: str, rows: npt.NDArray[Any], count: int) -> npt.NDArray[Any]:
    check_count(column, len(rows) if rows.ndim else -1, count)
    return rows


def check_count(column: str, found: int, count: int) -> None:
    """Errors: InvalidRequest (``wrong-count``) unless there are as many samples as keys."""
    if found != count:
        raise InvalidRequest(
            f"{count} keys of column {column!r} need as many samples, not {max(0, found)}",
            code="wrong-count",
            column=column,
        )
