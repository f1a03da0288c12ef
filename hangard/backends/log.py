"""Format code 20, ``log``: small rows of any column, and all tree nodes.

Shapes   rows (n, bytes of a sample), RaggedRows, or ragged bytes (blob, ends (n,)).
Units    offsets and lengths in bytes.
Errors   NoSpace before anything is named; Closed after sealing.
Format   hangard.encoding.log; its records carry digest and checksum, so a log is its own ``.rows``
         file. Spec: offset and length of the payload.
"""

from __future__ import annotations

import mmap
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from hangard_ext.logrecord import KIND_NODE, KIND_SAMPLE, LOG_FORMAT_CODE, pack_ragged, pack_rows

from hangard.backends.disk import Disk
from hangard.backends.segment import Bytes, Checksums, Reservation, ShapeIds, create_file
from hangard.encoding import log as encoding
from hangard.encoding.log import HEADER_BYTES, log_header, log_number
from hangard.errors import Closed, Corrupt
from hangard.limits import LOG_BYTES_MAX
from hangard.model.ragged import RaggedRows


class Records(NamedTuple):
    """Payloads of log records, ragged: payload i is ``blob[ends[i-1]:ends[i]]``."""

    blob: bytes
    ends: npt.NDArray[np.uint64]
    crcs: Checksums
    shape_ids: npt.NDArray[np.uint32]


class Log:
    """One log file. Thread-safe; a sync does not hold up appends."""

    format_code = LOG_FORMAT_CODE
    is_lost = False

    def __init__(self, path: Path, number: int, disk: Disk) -> None:
        """Create the file. Errors: FileExistsError, NoSpace."""
        self.path = path
        self.number = number
        self.length_bytes = HEADER_BYTES
        self._disk = disk
        self._lock = threading.Lock()
        self._closing = threading.Lock()  # taken before _lock; keeps the file open during a sync
        self._synced_bytes = 0
        self._fd = create_file(disk, path, log_header(number))
        self._reservation = Reservation(disk, self._fd, HEADER_BYTES)

    @property
    def rows_bytes(self) -> int:
        return self.length_bytes

    @property
    def is_full(self) -> bool:
        return self.length_bytes >= LOG_BYTES_MAX

    def append(self, rows: Bytes, digests: Bytes, crcs: Checksums) -> Bytes:
        rows = np.ascontiguousarray(rows).reshape(len(digests), -1 if rows.size else 0)
        return self._append(
            lambda offset: pack_rows(KIND_SAMPLE, self.number, offset, rows, digests, crcs)
        )

    def append_ragged(
        self, rows: RaggedRows, digests: Bytes, crcs: Checksums, shape_ids: ShapeIds
    ) -> Bytes:
        """Store rows of any lengths; their specs (n, 32). Errors: as ``append``."""
        return self._append(
            lambda offset: pack_ragged(
                KIND_SAMPLE,
                self.number,
                offset,
                rows.data.data,
                rows.ends,
                digests,
                crcs,
                shape_ids=shape_ids,
            )
        )

    def append_nodes(
        self, digests: Bytes, blob: bytes | memoryview, ends: npt.NDArray[np.uint64]
    ) -> Bytes:
        """Store tree nodes, ragged; their specs (n, 32). Errors: as ``append``."""
        return self._append(
            lambda offset: pack_ragged(KIND_NODE, self.number, offset, blob, ends, digests)
        )

    def append_records(self, kind: int, digests: Bytes, records: Records) -> Bytes:
        """Store records of another log, of KIND_SAMPLE or KIND_NODE; their specs (n, 32)."""
        return self._append(
            lambda offset: pack_ragged(
                kind,
                self.number,
                offset,
                records.blob,
                records.ends,
                digests,
                records.crcs,
                shape_ids=records.shape_ids,
            )
        )

    def _append(self, pack: Callable[[int], tuple[bytes, Bytes]]) -> Bytes:
        # Packed under the lock, because a record's checksum covers its offset.
        with self._lock:
            if self._fd < 0:
                raise Closed(f"log {self.path.name} is sealed", code="segment-sealed")
            start = self.length_bytes
            records, specs = pack(start)
            self._reservation.ensure(start + len(records))
            self._disk.write(self._fd, records, start)
            self.length_bytes = start + len(records)
            return specs

    def sync(self) -> None:
        with self._closing:
            self._sync()

    def _sync(self) -> None:
        length = self.length_bytes
        if self._fd >= 0 and length != self._synced_bytes:
            self._disk.sync(self._fd)
            self._synced_bytes = length

    def seal(self) -> None:
        with self._closing, self._lock:
            if self._fd >= 0:
                self._disk.release_reserved(self._fd)
                self._sync()
                self._close()

    def close(self) -> None:
        with self._closing, self._lock:
            self._close()

    def _close(self) -> None:
        if self._fd >= 0:
            self._disk.close(self._fd)
            self._fd = -1


def scan_log(path: Path, number: int, start: int = 0) -> tuple[Bytes, Bytes, int]:
    """Digests (n, 32) and specs (n, 32) of a log's records from byte ``start`` on, and their end.

    ``start`` is 0 or an end that an earlier scan gave. A torn tail ends the records; a file shorter
    than its header (its process died while creating it) holds none.
    Errors: Corrupt (``not-a-log``) for a file that is none, or that of another segment.
    """
    with path.open("rb") as file:
        head = file.read(HEADER_BYTES)
        if len(head) < HEADER_BYTES:
            none = np.empty((0, 32), np.uint8)
            return none, none.copy(), 0
        if log_number(head) != number:
            raise Corrupt(f"{path.name} is the log of segment {log_number(head)}", code="not-a-log")
        # The records are copied out of the mapping, which ends with this block.
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            records = encoding.scan_log(memoryview(mapped), start)
    return records.digests, records.specs, records.end_bytes
