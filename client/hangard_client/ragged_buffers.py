"""What a client collects of columns whose samples differ in shape: arrays, text, bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hangard.errors import InvalidRequest, InvalidType
from hangard.model.keys import encode_key
from hangard.model.ragged import RaggedRows, fits, pack_rows, wrong_shape
from hangard.model.schema import Schema
from hangard_client.buffers import (
    BATCH_BYTES,
    BATCH_ROWS_MAX,
    NO_KEYS,
    Batch,
    ColumnBuffer,
    check_count,
    check_dtype,
    checked_rows,
    pack,
    sequence_of,
)


class RaggedBuffer(ColumnBuffer):
    """The samples and deletions of one column that were not sent yet. Not thread-safe."""

    __slots__ = ("_values", "_values_bytes")

    def __init__(self, column: str, schema: Schema) -> None:
        self._values: dict[bytes, Any] = {}
        self._values_bytes = 0
        super().__init__(column, schema)

    def __len__(self) -> int:
        return len(self._values) + len(self._deleted)

    @property
    def rows_bytes(self) -> int:
        return self._values_bytes

    def put(self, key: object, value: object) -> bool:
        """Take a sample; True when the buffer is full and must be taken.

        Errors: InvalidType, InvalidRequest (``wrong-dtype``, ``wrong-shape``, ``invalid-text``,
        ``sample-too-large``, ``invalid-key``).
        """
        encoded = encode_key(key, self._nested)
        taken = checked_sample(self.column, self.schema, value)
        # A subclass (a memmap) or an equal dtype of another name gives a view of the same memory.
        if isinstance(taken, np.ndarray) and np.may_share_memory(taken, value):
            taken = taken.copy()
        self._forget(encoded)
        self._values[encoded] = taken
        self._values_bytes += bytes_of(taken)
        self._deleted.discard(encoded)
        return self._values_bytes >= BATCH_BYTES or len(self._values) >= BATCH_ROWS_MAX

    def delete(self, encoded: bytes) -> bool:
        """Take a deletion of an encoded key; True when the buffer is full."""
        self._forget(encoded)
        self._deleted.add(encoded)
        return len(self._deleted) >= BATCH_ROWS_MAX

    def find(self, encoded: bytes) -> Any:
        """A buffered sample. None if the key is not here: see ``is_deleted``."""
        value = self._values.get(encoded)
        if value is None or self.schema.kind == "bytes":
            return value
        return value.decode() if self.schema.kind == "str" else value.copy()

    def changes(self) -> dict[bytes, bool]:
        """Buffered keys: True for a row, False for a deletion."""
        return {**dict.fromkeys(self._deleted, False), **dict.fromkeys(self._values, True)}

    def take(self) -> Batch:
        """All that is buffered; the buffer is empty afterwards."""
        rows = packed_samples(self.schema, list(self._values.values()))
        deleted = pack(sorted(self._deleted)) if self._deleted else NO_KEYS
        batch = Batch(self.column, self.schema, pack(list(self._values)), rows, deleted)
        self.clear()
        return batch

    def clear(self) -> None:
        self._values = {}
        self._values_bytes = 0
        self._deleted = set()

    def _forget(self, encoded: bytes) -> None:
        value = self._values.pop(encoded, None)
        if value is not None:
            self._values_bytes -= bytes_of(value)


def new_buffer(column: str, schema: Schema) -> ColumnBuffer:
    """An empty buffer for samples of a column."""
    return RaggedBuffer(column, schema) if schema.variable_shape else ColumnBuffer(column, schema)


def checked_batch(
    column: str, schema: Schema, values: object, count: int
) -> npt.NDArray[Any] | RaggedRows:
    """Many samples as a batch has them. Errors: as ``ColumnBuffer.put``."""
    if schema.variable_shape:
        return checked_samples(column, schema, values, count)
    return checked_rows(column, schema, values, count)


def checked_samples(column: str, schema: Schema, values: object, count: int) -> RaggedRows:
    """Many samples, packed; the caller's memory is copied. Errors: as ``RaggedBuffer.put``."""
    samples = [checked_sample(column, schema, value) for value in sequence_of(column, values)]
    check_count(column, len(samples), count)
    return packed_samples(schema, samples)


def checked_sample(column: str, schema: Schema, value: object) -> Any:
    """One sample as the column stores it: an array in C order, or the bytes of a text.

    Errors: InvalidType (``not-an-array``, ``not-a-str``, ``not-bytes``), InvalidRequest
    (``wrong-dtype``, ``wrong-shape``, ``invalid-text``, ``sample-too-large``).
    """
    if schema.kind == "str":
        taken: Any = _checked_text(column, value)
    elif schema.kind == "bytes":
        taken = _checked_bytes(column, value)
    else:
        return _checked_array(column, schema, value)
    if len(taken) > schema.bound[0]:
        raise wrong_shape(column, schema, (len(taken),))
    return taken


def packed_samples(schema: Schema, samples: Sequence[Any]) -> RaggedRows:
    """Checked samples one behind the other, with their shapes."""
    if schema.kind == "ndarray":
        return pack_rows(schema, samples, [sample.shape for sample in samples])
    return pack_rows(schema, samples, [(len(sample),) for sample in samples])


def bytes_of(sample: Any) -> int:
    """Bytes of a checked sample."""
    return sample.nbytes if isinstance(sample, np.ndarray) else len(sample)


def _checked_array(column: str, schema: Schema, value: object) -> Any:
    if not isinstance(value, np.ndarray | np.generic):
        raise InvalidType(
            f"column {column!r} takes numpy arrays, not {type(value).__name__}",
            code="not-an-array",
            column=column,
        )
    array = np.asarray(value)
    check_dtype(column, schema, array.dtype)
    if not fits(schema, array.shape):
        raise wrong_shape(column, schema, array.shape)
    return np.asarray(array, schema.numpy_dtype, order="C")


def _checked_text(column: str, value: object) -> bytes:
    if not isinstance(value, str):
        raise InvalidType(
            f"column {column!r} takes str, not {type(value).__name__}",
            code="not-a-str",
            column=column,
        )
    try:
        return value.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequest(
            f"text for column {column!r} has a lone surrogate at character {error.start}, which no"
            " UTF-8 has; replace it, or store the bytes in a bytes column",
            code="invalid-text",
            column=column,
        ) from None


def _checked_bytes(column: str, value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    if not isinstance(value, bytearray | memoryview):
        raise InvalidType(
            f"column {column!r} takes bytes, bytearray or memoryview, not {type(value).__name__}",
            code="not-bytes",
            column=column,
        )
    return bytes(value)
