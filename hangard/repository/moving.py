"""Rows of a file written again into the files that are open now, so that the old file can go.

Only one piece of maintenance runs at a time (gc, purge, repair, repack: ``Maintenance``), and
batches write only digests that are absent. So nobody else changes where a digest that is stored
lies, and the entry that a move adds replaces just the one it was made from. The old place stays
readable until its file is dropped (hangard.repository.dropping).
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass, field
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from hangard_ext.codec import read_many, read_ragged
from hangard_ext.digest import crc32c
from hangard_ext.logrecord import KIND_NODE, LOG_RECORD_BYTES
from hangard_ext.ragged import take_ragged
from hangard_ext.recordspec import FLAG_RAGGED, unpack_many, unpack_one

from hangard.backends.log import Records
from hangard.db.environment import WritableEnvironment
from hangard.errors import Corrupt
from hangard.limits import MIB
from hangard.model.directory import FORMAT_BYTES, FORMAT_LOG, FORMAT_STR, data_path, format_code_of
from hangard.model.files import FileRecord
from hangard.model.ragged import RaggedRows, shape_of_id
from hangard.model.schema import TEXT_DTYPE, Kind, Schema
from hangard.reading.mapping import MappedFiles
from hangard.reading.samples import cut
from hangard.repository.storage import Storage

Bytes = npt.NDArray[np.uint8]

MOVED_BYTES_MAX = 8 * MIB  # rows in memory at a time
KIND_OFFSET = 4  # of the kind in a log record, hangard_ext.logrecord


class Mover:
    """Moves rows out of the files of a repository."""

    def __init__(self, env: WritableEnvironment, storage: Storage) -> None:
        self._env = env
        self._directory = env.directory
        self._storage = storage

    def move(self, path: str, record: FileRecord, digests: Bytes, specs: Bytes) -> Bytes:
        """Write the rows that ``specs`` (n, 32) name in the file at ``path`` into other files.

        Returns the digests (m, 32) of rows that could not be read; their entries stay.
        Errors: NoSpace, and what was moved until then stays moved; Corrupt (``missing-file``).
        """
        if not len(digests):
            return digests
        file = self._directory / path
        try:
            with file.open("rb") as opened:
                mapped = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
        except (FileNotFoundError, ValueError) as error:
            raise Corrupt(f"{file} cannot be read: {error}", code="missing-file") from error
        if record.kind == "log":
            return self._move_records(mapped, digests, specs)
        fields = unpack_many(specs)
        order = np.lexsort((fields["row"], fields["offset"]))
        digests, specs = digests[order], np.ascontiguousarray(specs[order])
        ragged = (fields["flags"] & FLAG_RAGGED).any() or fields["shape_id"].any()
        if record.kind == "packed" or ragged:
            return self._move_ragged(mapped, path, record, digests, specs)
        return self._move_rows(mapped, path, record, digests, specs)

    def _move_rows(
        self, mapped: mmap.mmap, path: str, record: FileRecord, digests: Bytes, specs: Bytes
    ) -> Bytes:
        """Samples of a segment, all of one shape."""
        backend = f"{format_code_of(path):02d}"
        schema = Schema(record.dtype, record.shape, backend, record.options)
        row_bytes = schema.sample_bytes
        step = max(1, MOVED_BYTES_MAX // max(1, row_bytes))
        lost = []
        for begin in range(0, len(digests), step):
            names, places = digests[begin : begin + step], specs[begin : begin + step]
            rows = np.empty((len(names), row_bytes), np.uint8)
            good = np.ones(len(names), np.bool_)
            left = np.arange(len(names))
            while (bad := read_many(mapped, places, row_bytes, rows, left)) >= 0:
                good[bad] = False
                left = left[left > bad]
            lost.append(names[~good])
            if good.any():
                self._storage.write_rows(
                    schema, np.ascontiguousarray(names[good]), np.ascontiguousarray(rows[good])
                )
        return np.concatenate(lost)

    def _move_ragged(
        self, mapped: mmap.mmap, path: str, record: FileRecord, digests: Bytes, specs: Bytes
    ) -> Bytes:
        """Samples of a segment of any shapes, of text or of bytes."""
        schema = ragged_schema(path, record)
        shape_ids = np.ascontiguousarray(unpack_many(specs)["shape_id"])
        sizes = np.array(
            [
                prod(shape_of_id(int(number), partial(find_shape, self._env)))
                for number in shape_ids
            ],
            np.uint64,
        )
        sizes *= np.uint64(schema.numpy_dtype.itemsize)
        lost = []
        for begin, end in cut(np.cumsum(sizes, dtype=np.uint64), MOVED_BYTES_MAX):
            names, places = digests[begin:end], np.ascontiguousarray(specs[begin:end])
            ends = np.cumsum(sizes[begin:end], dtype=np.uint64)
            data = np.empty(int(ends[-1]), np.uint8)
            good = np.ones(len(names), np.bool_)
            left = np.arange(len(names))
            while (bad := read_ragged(mapped, places, ends, data, left)) >= 0:
                good[bad] = False
                left = left[left > bad]
            lost.append(names[~good])
            kept = np.flatnonzero(good)
            if len(kept):
                if len(kept) < len(names):
                    data, ends = take_ragged(data, ends, kept)
                rows = RaggedRows(data, ends, np.empty((len(kept), 0), np.uint64))
                self._storage.write_ragged(
                    schema, np.ascontiguousarray(names[kept]), rows, shape_ids[begin:end][kept]
                )
        return np.concatenate(lost)

    def _move_records(self, mapped: mmap.mmap, digests: Bytes, specs: Bytes) -> Bytes:
        """Samples and nodes of a log, as they are."""
        fields = unpack_many(specs)
        order = np.argsort(fields["offset"])
        lost: list[int] = []
        batch = _Batch()
        for i in order.tolist():
            begin, length = int(fields["offset"][i]), int(fields["stored_length"][i])
            payload = mapped[begin : begin + length]
            if len(payload) != length or crc32c(payload) != fields["crc"][i]:
                lost.append(i)
                continue
            kind = mapped[begin - LOG_RECORD_BYTES + KIND_OFFSET]
            if batch.kind != kind or batch.n_bytes >= MOVED_BYTES_MAX:
                self._write(batch, digests, fields)
                batch = _Batch(kind)
            batch.add(i, payload)
        self._write(batch, digests, fields)
        return digests[lost]

    def _write(self, batch: _Batch, digests: Bytes, fields: Any) -> None:
        if batch.positions:
            records = Records(
                b"".join(batch.payloads),
                np.cumsum([len(payload) for payload in batch.payloads], dtype=np.uint64),
                np.ascontiguousarray(fields["crc"][batch.positions]),
                np.ascontiguousarray(fields["shape_id"][batch.positions]),
            )
            self._storage.write_records(
                batch.kind, np.ascontiguousarray(digests[batch.positions]), records
            )


def readable(env: WritableEnvironment, files: MappedFiles, record: FileRecord, spec: bytes) -> bool:
    """Whether the row at a place can be read, and matches its checksum."""
    code, flags, _, _, offset, length, _, crc, shape_id = unpack_one(spec)
    try:
        mapped = files.of(spec)
        if code == FORMAT_LOG:
            payload = mapped[offset : offset + length]
            return len(payload) == length and crc32c(payload) == crc
        place = np.frombuffer(spec, np.uint8).reshape(1, 32)
        items = prod(record.shape)
        if flags & FLAG_RAGGED or shape_id or record.kind == "packed":
            items = prod(shape_of_id(shape_id, partial(find_shape, env)))
        size = items * np.dtype(record.dtype or TEXT_DTYPE).itemsize
        ends, out = np.array([size], np.uint64), np.empty(size, np.uint8)
        if flags & FLAG_RAGGED:
            return read_ragged(mapped, place, ends, out) < 0
        return read_many(mapped, place, size, out.reshape(1, size)) < 0
    except (FileNotFoundError, Corrupt, ValueError):
        return False


def find_shape(env: WritableEnvironment, number: int) -> tuple[int, ...]:
    """An interned shape. Errors: Corrupt (``missing-shape``)."""
    with env.read() as tables:
        shape = tables.find_shape(number)
    if shape is None:
        raise Corrupt(f"shape {number} is not in the repository", code="missing-shape")
    return shape


def ragged_schema(path: str, record: FileRecord) -> Schema:
    """A schema whose samples of any shapes go into files like this one."""
    code = format_code_of(path)
    kinds: dict[int, Kind] = {FORMAT_STR: "str", FORMAT_BYTES: "bytes"}
    return Schema(
        record.dtype or TEXT_DTYPE,
        (),
        f"{code:02d}",
        record.options,
        kind=kinds.get(code, "ndarray"),
        variable_shape=True,
    )


def is_node(directory: Path, spec: bytes) -> bool:
    """Whether a place in a log holds a tree node. Errors: FileNotFoundError."""
    code, _, _, number, offset, *_ = unpack_one(spec)
    with (directory / data_path(code, number)).open("rb") as file:
        file.seek(offset - LOG_RECORD_BYTES + KIND_OFFSET)
        return file.read(1) == bytes([KIND_NODE])


@dataclass(slots=True)
class _Batch:
    """Payloads of log records of one kind, and their positions among the digests."""

    kind: int = 0
    positions: list[int] = field(default_factory=list)
    payloads: list[bytes] = field(default_factory=list)
    n_bytes: int = 0

    def add(self, position: int, payload: bytes) -> None:
        self.positions.append(position)
        self.payloads.append(payload)
        self.n_bytes += len(payload)
