"""Format code 10, ``numpy``: uncompressed rows in a flat ``.npy`` file.

Shapes   the file's array is (rows, *shape); rows given to append are (n, bytes of a sample).
         Samples of variable shape lie ravelled in a 1-D array (items,).
Units    offsets and lengths in bytes.
Errors   NoSpace before anything is named.
Format   ``.npy`` version 1.0, its header padded to HEADER_BYTES so that the final number of rows
         always fits. It says 0 rows while the segment is open and is rewritten once at sealing: a
         header that promises rows which a crash took would mislead whoever reads the file.
         Spec: offset and stored length of the row in the file, codec raw.
Source   NEP 1, "A Simple File Format for NumPy Arrays".
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from hangard_ext.recordspec import CODEC_RAW, pack_many, unpack_many

from hangard.backends.direct import DirectFile
from hangard.backends.disk import Disk
from hangard.backends.ragged_chunks import row_begins
from hangard.backends.segment import (
    Bytes,
    Checksums,
    Reservation,
    RowsFile,
    ShapeIds,
    create_file,
)
from hangard.errors import Closed
from hangard.limits import SEGMENT_BYTES_MAX
from hangard.model.directory import FORMAT_NUMPY
from hangard.model.ragged import RaggedRows

HEADER_BYTES = 1024
MAGIC = b"\x93NUMPY\x01\x00"


def npy_header(dtype: str, shape: tuple[int, ...], rows: int) -> bytes:
    """HEADER_BYTES bytes of ``.npy`` header for an array (rows, *shape)."""
    text = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {(rows, *shape)}, }}"
    room = HEADER_BYTES - len(MAGIC) - 2
    return MAGIC + struct.pack("<H", room) + text.encode().ljust(room - 1) + b"\n"


class NumpySegment:
    """One ``.npy`` file of samples of one dtype and shape, with its ``.rows`` file.

    Appends take their place under a lock and write side by side. What a failed one leaves is a gap
    of rows that nothing names.
    """

    format_code = FORMAT_NUMPY
    is_lost = False

    def __init__(
        self, path: Path, number: int, dtype: str, shape: tuple[int, ...], disk: Disk
    ) -> None:
        """Create the files. Errors: FileExistsError, NoSpace."""
        self.path = path
        self.number = number
        self._dtype = dtype
        self._shape = shape
        self._disk = disk
        self._lock = threading.Lock()
        self._written = threading.Condition(self._lock)
        self._closing = threading.Lock()  # taken before _lock; keeps the files open during a sync
        self._row_bytes = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        self._rows = 0  # up to the last that is named
        self._taken = 0  # up to the last that has a place
        self._appending = 0
        self._synced_bytes = 0  # of the .rows file: it grows last
        self._fd = create_file(disk, path, npy_header(dtype, shape, 0))
        self._file = DirectFile(disk, path, self._fd)
        self._reservation = Reservation(disk, self._fd, HEADER_BYTES)
        try:
            self._rows_file = RowsFile(disk, path, number)
        except BaseException:
            disk.close(self._fd)
            disk.unlink(path)
            raise

    @property
    def length_bytes(self) -> int:
        return HEADER_BYTES + self._rows * self._row_bytes

    @property
    def rows_bytes(self) -> int:
        return self._rows_file.length_bytes

    @property
    def is_full(self) -> bool:
        return HEADER_BYTES + self._taken * self._row_bytes >= SEGMENT_BYTES_MAX

    def append(self, rows: Bytes, digests: Bytes, crcs: Checksums) -> Bytes:
        n = len(digests)
        with self._placed(n) as first:
            start = HEADER_BYTES + first * self._row_bytes
            self._file.append(np.ascontiguousarray(rows).reshape(-1).data, start)
            offsets = start + np.arange(n, dtype=np.uint64) * np.uint64(self._row_bytes)
            specs = pack_many(
                FORMAT_NUMPY,
                0,
                CODEC_RAW,
                self.number,
                offsets,
                self._row_bytes,
                0,  # each row is a chunk of its own
                crcs,
            )
            with self._lock:
                self._rows_file.append(digests, specs)
                self._rows = max(self._rows, first + n)
            return specs

    def append_ragged(
        self, rows: RaggedRows, digests: Bytes, crcs: Checksums, shape_ids: ShapeIds
    ) -> Bytes:
        """Store samples of any shapes in a segment whose rows are single items; their specs."""
        items = rows.nbytes // self._row_bytes
        with self._placed(items) as first:
            start = HEADER_BYTES + first * self._row_bytes
            if items:
                self._file.append(np.ascontiguousarray(rows.data).data, start)
            begins, sizes = row_begins(rows)
            specs = pack_many(
                FORMAT_NUMPY,
                0,
                CODEC_RAW,
                self.number,
                begins + np.uint64(start),
                sizes,
                0,
                crcs,
                shape_ids,
            )
            with self._lock:
                self._rows_file.append(digests, specs)
                self._rows = max(self._rows, first + items)
            return specs

    @contextmanager
    def _placed(self, n: int) -> Iterator[int]:
        """A place for n rows, the number of the first; the file stays open until the block ends."""
        with self._lock:
            if self._fd < 0:
                raise Closed(f"segment {self.path.name} is sealed", code="segment-sealed")
            first = self._taken
            self._reservation.ensure(HEADER_BYTES + (first + n) * self._row_bytes)
            self._taken += n
            self._appending += 1
        try:
            yield first
        except BaseException:
            with self._lock:
                if self._taken == first + n:
                    self._taken = first  # the next one may have the place
            raise
        finally:
            with self._lock:
                self._appending -= 1
                self._written.notify_all()

    def sync(self) -> None:
        # Without the lock that appends take: they go on while the disk is busy.
        with self._closing:
            self._sync()

    def _sync(self) -> None:
        length = self.rows_bytes
        if self._fd >= 0 and length != self._synced_bytes:
            self._disk.sync(self._fd)
            self._rows_file.sync()
            self._synced_bytes = length

    def seal(self) -> None:
        with self._closing, self._lock:
            self._written.wait_for(lambda: not self._appending)
            if self._fd < 0:
                return
            self._disk.write(self._fd, npy_header(self._dtype, self._shape, self._rows), 0)
            self._disk.release_reserved(self._fd)
            self._synced_bytes = -1  # the header is new
            self._sync()
            self._close()

    def close(self) -> None:
        with self._closing, self._lock:
            self._written.wait_for(lambda: not self._appending)
            self._close()

    def _close(self) -> None:
        self._file.close()
        if self._fd >= 0:
            self._disk.close(self._fd)
            self._fd = -1
        self._rows_file.close()


def seal_abandoned(path: Path, specs: Bytes, disk: Disk) -> None:
    """Write the final header of a segment whose process died; ``specs`` name its valid rows.

    A file that was cut off gets a header for the rows that are left.
    Errors: ValueError when the file's own header is not one of ours.
    """
    fd = disk.open(path)
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
            if version != (1, 0) or file.tell() != HEADER_BYTES:
                raise ValueError(f"{path.name} is no segment of this format")
        row_bytes = int(np.prod(shape[1:], dtype=np.int64)) * dtype.itemsize
        rows = len(specs)
        if row_bytes:
            # An append that was not finished may have left a gap before the last one that was.
            fields = unpack_many(specs)
            ends = fields["offset"] + fields["stored_length"]
            behind = int(ends.max(initial=HEADER_BYTES))
            rows = (min(behind, path.stat().st_size) - HEADER_BYTES) // row_bytes
        disk.write(fd, npy_header(np.dtype(dtype).str, tuple(shape[1:]), rows), 0)
        disk.release_reserved(fd)
        disk.sync(fd)
    finally:
        disk.close(fd)
