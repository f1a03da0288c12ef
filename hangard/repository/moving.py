"""Rows of a file written again into the files that are open now, so that the old file can go.

Only one piece of maintenance runs at a time (gc, purge, repair, repack: ``Maintenance``), and
batches write only digests that are absent. So nobody else changes where a digest that is stored
lies, and the entry that a move adds replaces just the one it was made from. The old place stays
readable until its file is dropped (hangard.repository.dropping).
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from hangard_ext.codec import read_many
from hangard_ext.digest import crc32c
from hangard_ext.logrecord import KIND_NODE, LOG_RECORD_BYTES
from hangard_ext.recordspec import unpack_many, unpack_one

from hangard.backends.log import Records
from hangard.errors import Corrupt
from hangard.limits import MIB
from hangard.model.directory import data_path
from hangard.model.files import FileRecord
from hangard.model.schema import Schema
from hangard.repository.storage import Storage

Bytes = npt.NDArray[np.uint8]

MOVED_BYTES_MAX = 8 * MIB  # rows in memory at a time
KIND_OFFSET = 4  # of the kind in a log record, hangard_ext.logrecord


class Mover:
    """Moves rows out of the files below ``directory``."""

    def __init__(self, directory: Path, storage: Storage) -> None:
        self._directory = directory
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
        return self._move_rows(mapped, path, record, digests, specs)

    def _move_rows(
        self, mapped: mmap.mmap, path: str, record: FileRecord, digests: Bytes, specs: Bytes
    ) -> Bytes:
        """Samples of a segment, all of one shape."""
        backend = Path(path).parent.name
        schema = Schema(record.dtype, record.shape, backend, record.options)
        fields = unpack_many(specs)
        order = np.lexsort((fields["row"], fields["offset"]))
        digests, specs = digests[order], np.ascontiguousarray(specs[order])
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
