"""Format codes 30, ``str``, and 31, ``bytes``: chunks of many texts or byte strings, compressed.

Shapes   rows: RaggedRows; of text its UTF-8 bytes.
Units    offsets and lengths in bytes.
Errors   NoSpace before anything is named; Closed after sealing.
Format   little-endian, permanent; the ``.rows`` file beside it names what is in it:

    offset  size  type  field
    0       8     u8    magic b"HGDPACK\\0"
    8       4     u32   version, 1
    12      4     u32   segment number
    16      ...         chunks, each at a multiple of 8, zeros before it

         A chunk is a Blosc2 frame (ext/hangard_ext/blosc2_frame.h) of samples one after the other,
         or those bytes themselves where compression did not pay.
         Spec: offset and length of the chunk, codec Blosc2 or raw, FLAG_RAGGED, the byte of the
         chunk at which the sample begins, its length as shape id.
"""

from __future__ import annotations

import struct
import threading
from pathlib import Path

import numpy as np
from hangard_ext.codec import compress_rows
from hangard_ext.recordspec import CODEC_BLOSC2, CODEC_RAW, FLAG_RAGGED, pack_many

from hangard.backends.disk import Disk
from hangard.backends.ragged_chunks import cut_chunks, ragged_block_bytes, row_begins
from hangard.backends.segment import Bytes, Checksums, Reservation, RowsFile, ShapeIds, create_file
from hangard.errors import Closed
from hangard.limits import SEGMENT_BYTES_MAX
from hangard.model.ragged import RaggedRows

MAGIC = b"HGDPACK\0"
VERSION = 1
HEADER_BYTES = 16
ALIGNMENT_BYTES = 8

# Of numpy's sources in blocks of 4 KiB zstd at its fastest leaves 40 %, lz4 69 %; 100 bytes out of
# a block take 5 and 1 us (bench/bench_kinds.py).
PACKED_CODEC = "zstd"
PACKED_LEVEL = 1


def packed_header(number: int) -> bytes:
    """The first HEADER_BYTES bytes of the file."""
    return MAGIC + struct.pack("<II", VERSION, number)


class PackedSegment:
    """One file of texts or byte strings, with its ``.rows`` file. Appends compress side by side."""

    is_lost = False

    def __init__(self, path: Path, number: int, format_code: int, disk: Disk) -> None:
        """Create the files. Errors: FileExistsError, NoSpace."""
        self.path = path
        self.number = number
        self.format_code = format_code
        self.length_bytes = HEADER_BYTES
        self._disk = disk
        self._lock = threading.Lock()
        self._closing = threading.Lock()  # taken before _lock; keeps the files open during a sync
        self._synced_bytes = 0  # of the .rows file: it grows last
        self._fd = create_file(disk, path, packed_header(number))
        self._reservation = Reservation(disk, self._fd, HEADER_BYTES)
        try:
            self._rows_file = RowsFile(disk, path, number)
        except BaseException:
            disk.close(self._fd)
            disk.unlink(path)
            raise

    @property
    def rows_bytes(self) -> int:
        return self._rows_file.length_bytes

    @property
    def is_full(self) -> bool:
        return max(self.length_bytes, self.rows_bytes) >= SEGMENT_BYTES_MAX

    def append_ragged(
        self, rows: RaggedRows, digests: Bytes, crcs: Checksums, shape_ids: ShapeIds
    ) -> Bytes:
        """Store rows; their specs (n, 32). As ``Segment.append``."""
        begins, _ = row_begins(rows)
        n = len(rows)
        offsets, lengths = np.empty(n, np.uint64), np.empty(n, np.uint64)
        starts, codecs = np.empty(n, np.uint64), np.empty(n, np.uint8)
        blob = bytearray()
        for first, stop in cut_chunks(rows.ends):
            chunk = rows.part(first, stop)
            frame = _compressed(chunk)
            blob += bytes(-len(blob) % ALIGNMENT_BYTES)
            offsets[first:stop] = len(blob)
            lengths[first:stop] = len(frame) if frame is not None else chunk.nbytes
            starts[first:stop] = begins[first:stop] - begins[first]
            codecs[first:stop] = CODEC_RAW if frame is None else CODEC_BLOSC2
            blob += chunk.data.data if frame is None else frame
        with self._lock:
            if self._fd < 0:
                raise Closed(f"segment {self.path.name} is sealed", code="segment-sealed")
            place = self.length_bytes + -self.length_bytes % ALIGNMENT_BYTES
            self._reservation.ensure(place + len(blob))
            self._disk.write(self._fd, memoryview(blob), place)
            self._disk.begin_writeback(self._fd, place, len(blob))
            specs = pack_many(
                self.format_code,
                FLAG_RAGGED,
                codecs,
                self.number,
                offsets + np.uint64(place),
                lengths,
                starts,
                crcs,
                shape_ids,
            )
            self._rows_file.append(digests, specs)
            self.length_bytes = place + len(blob)
            return specs

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
        self._rows_file.close()


def _compressed(chunk: RaggedRows) -> bytes | None:
    """The frame of a chunk; None where it would not be shorter."""
    if not chunk.nbytes:
        return None
    return compress_rows(
        chunk.data,
        chunk_bytes=chunk.nbytes,
        typesize=1,
        block_bytes=min(ragged_block_bytes(chunk, 1), chunk.nbytes),
        codec=PACKED_CODEC,
        level=PACKED_LEVEL,
        shuffle="none",
    )
