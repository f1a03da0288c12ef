"""Format codes 00, ``hdf5``, and 01, ``hdf5-fixed``: chunks of many rows in a plain HDF5 file.

Shapes   rows (n, bytes of a sample); in the file ``/samples``: of 00 (rows, items), samples
         ravelled; of 01 (rows, *shape), in their natural shape. The chunks have the same bytes.
Units    offsets and lengths in bytes.
Errors   NoSpace before anything is named; SegmentLost when the HDF5 process died.
Format   ``h5py`` with ``hdf5plugin`` opens the file. A batch begins a chunk of its own and leaves
         the last one part-full, padded with zeros; ``/valid_rows`` (chunks,) counts the real rows.
         Spec: offset and length of the chunk, row in it; codec Blosc2, deflate or LZF (with the
         item size of their byte shuffle in the flags), or raw, with FLAG_RAW_CHUNK where
         compression did not pay (HDF5's filter mask has a bit for each filter but fletcher32).
         With fletcher32 its 4 bytes (u32, little-endian) follow a chunk in the file; the length in
         the spec does not count them, since readers here compare the CRC32C of each row.
         A sample without bytes is only named: offset and length 0.
Source   filter 32026 of the HDF5 registered filters; rows to a chunk: hangard.model.chunking.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path

import numpy as np
from hangard_ext.codec import compress_rows_into, filter_rows_into, fletcher32
from hangard_ext.recordspec import (
    CODEC_BLOSC2,
    CODEC_GZIP,
    CODEC_LZF,
    CODEC_RAW,
    FLAG_RAW_CHUNK,
    SHUFFLE_SHIFT,
    pack_many,
)

from hangard.backends.disk import Disk
from hangard.backends.hdf5_file import Hdf5File
from hangard.backends.hdf5_messages import Chunk
from hangard.backends.hdf5_writer import Hdf5Writer
from hangard.backends.segment import Bytes, Checksums, RowsFile, SegmentLost
from hangard.errors import Closed
from hangard.limits import MIB, SEGMENT_BYTES_MAX
from hangard.model.chunking import block_bytes, chunk_rows, usual_chunk_bytes
from hangard.model.directory import FORMAT_HDF5, FORMAT_HDF5_FIXED, rows_path
from hangard.model.options import Hdf5Options

FLETCHER32_BYTES = 4
PAYLOAD_BYTES_MAX = 2 * MIB  # raw bytes of chunks that go to the process in one message


class Hdf5Segment:
    """One HDF5 file of samples of one dtype, shape and options, with its ``.rows`` file."""

    def __init__(
        self,
        path: Path,
        number: int,
        dtype: str,
        shape: tuple[int, ...],
        disk: Disk,
        *,
        writer: Hdf5Writer,
        options: Hdf5Options,
        format_code: int = FORMAT_HDF5,
        chunk_items: int = 0,
    ) -> None:
        """Create the files; ``chunk_items`` makes it one of single items (hdf5_ragged).

        Errors: NoSpace, SegmentLost, FileExistsError.
        """
        self.path = path
        self.number = number
        self.format_code = format_code
        self._layout = RowLayout.of(dtype, shape, options, chunk_items)
        self._file = Hdf5File(
            path,
            number,
            dtype,
            # A file has no dataset of 0 columns: samples without bytes are only named.
            shape if self._layout.row_bytes else (1,),
            chunk_rows=self._layout.chunk_rows,
            options=options,
            disk=disk,
            writer=writer,
            natural_shape=format_code == FORMAT_HDF5_FIXED or chunk_items > 0,
        )
        try:
            self._rows_file = RowsFile(disk, path, number)
        except BaseException:
            self._file.discard()
            Path(rows_path(str(path))).unlink(missing_ok=True)
            raise
        self._lock = threading.Condition()
        self._users = 0  # threads that use the descriptors
        self._sealed = False

    @property
    def length_bytes(self) -> int:
        return self._file.length_bytes

    @property
    def rows_bytes(self) -> int:
        return self._rows_file.length_bytes

    @property
    def is_lost(self) -> bool:
        return self._file.lost

    @property
    def is_full(self) -> bool:
        # What compresses very well would make a long list of rows in a short file.
        return self._file.lost or max(self.length_bytes, self.rows_bytes) >= SEGMENT_BYTES_MAX

    def append(self, rows: Bytes, digests: Bytes, crcs: Checksums) -> Bytes:
        n = len(digests)
        row_bytes = self._layout.row_bytes
        rows = np.ascontiguousarray(rows).reshape(n, row_bytes)
        with self._in_use():
            if self._file.lost:
                raise SegmentLost(f"{self.path.name} belongs to an HDF5 process that has ended")
            placed = self._file.append(self._layout.payloads(rows)) if rows.size else []
            if placed:
                specs = self._layout.specs(placed, self.format_code, self.number, crcs)
            else:
                specs = self._nowhere(crcs)
            with self._lock:
                self._rows_file.append(digests, specs)
            return specs

    def _nowhere(self, crcs: Checksums) -> Bytes:
        offsets = np.zeros(len(crcs), np.uint64)
        return pack_many(self.format_code, 0, CODEC_RAW, self.number, offsets, 0, 0, crcs)

    @contextmanager
    def _in_use(self) -> Iterator[None]:
        with self._lock:
            if self._sealed:
                raise Closed(f"segment {self.path.name} is sealed", code="segment-sealed")
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                self._lock.notify_all()

    def sync(self) -> None:
        with self._lock:
            if self._sealed:
                return
            self._users += 1
        # Appends go on meanwhile; a sync takes long.
        try:
            self._file.sync()
            self._rows_file.sync()
        finally:
            with self._lock:
                self._users -= 1
                self._lock.notify_all()

    def seal(self) -> None:
        with self._lock:
            if self._sealed:
                return
            self._sealed = True
            self._lock.wait_for(lambda: self._users == 0)
            self._file.finish()
            self._rows_file.sync()
            self._close()

    def close(self) -> None:
        with self._lock:
            self._sealed = True
            self._lock.wait_for(lambda: self._users == 0)
            self._close()

    def _close(self) -> None:
        self._file.close()
        self._rows_file.close()


class RowLayout:
    """How rows of one kind become chunks."""

    def __init__(
        self, row_bytes: int, item_bytes: int, options: Hdf5Options, rows_of_chunk: int = 0
    ) -> None:
        self.row_bytes = row_bytes
        self.chunk_rows = rows_of_chunk or chunk_rows(
            row_bytes, usual_chunk_bytes(options.is_blosc2)
        )
        self.chunk_bytes = self.chunk_rows * row_bytes
        self.trailer_bytes = FLETCHER32_BYTES if options.fletcher32 else 0
        self.raw_mask = raw_mask(options)
        self._item_bytes = item_bytes
        self._options = options

    @classmethod
    def of(
        cls, dtype: str, shape: tuple[int, ...], options: Hdf5Options, rows_of_chunk: int = 0
    ) -> RowLayout:
        item_bytes = np.dtype(dtype).itemsize
        return cls(prod(shape) * item_bytes, item_bytes, options, rows_of_chunk)

    @property
    def codec(self) -> tuple[int, int]:
        """Codec and flags in the specs of chunks that are not stored raw."""
        return chunk_codec(self._options, self._item_bytes)

    def payloads(self, rows: Bytes) -> Iterator[RowPayload]:
        """Rows (n, row_bytes) in pieces of whole chunks."""
        step = max(1, PAYLOAD_BYTES_MAX // self.chunk_bytes) * self.chunk_rows
        for start in range(0, len(rows), step):
            yield RowPayload(self, rows[start : start + step])

    def compress(self, rows: Bytes, place: memoryview, offset: int, block_size: int = 0) -> Chunk:
        """Put one chunk of rows into ``place``, compressed if that makes it shorter.

        ``block_size`` in bytes, of Blosc2's blocks; 0: that of the rows.
        """
        length, mask = self._compressed(rows, place[: self.chunk_bytes], block_size), 0
        if not length:
            length, mask = self.chunk_bytes, self.raw_mask
            raw = np.frombuffer(place, np.uint8)
            raw[: rows.nbytes] = rows.reshape(-1)
            raw[rows.nbytes : length] = 0
        length += put_trailer(place, length, self.trailer_bytes)
        return Chunk(offset, length, mask, len(rows))

    def _compressed(self, rows: Bytes, place: memoryview, block_size: int) -> int:
        """The length of the compressed chunk; 0 if it would not be shorter than the rows."""
        options = self._options
        if options.codec == "none":
            return 0
        if not options.is_blosc2:
            return filter_rows_into(
                rows.data,
                place,
                chunk_bytes=self.chunk_bytes,
                shuffled_item_bytes=self._item_bytes if options.shuffle == "byte" else 1,
                codec=options.codec,
                level=options.level,
            )
        block_size = block_size or block_bytes(self.row_bytes, self._item_bytes)
        return compress_rows_into(
            rows.data,
            place,
            chunk_bytes=self.chunk_bytes,
            typesize=self._item_bytes,
            block_bytes=min(block_size, self.chunk_bytes),
            codec=options.codec,
            level=options.level,
            shuffle=options.shuffle,
        )

    def specs(
        self, placed: list[tuple[Chunk, int]], format_code: int, segment: int, crcs: Checksums
    ) -> Bytes:
        """Specs (n, 32) of the rows of chunks, in order; crcs (n,)."""
        counts = np.array([chunk.valid_rows for chunk, _ in placed])
        masked = np.array([chunk.filter_mask != 0 for chunk, _ in placed])
        lengths = np.array([chunk.length - self.trailer_bytes for chunk, _ in placed])
        codec, flags = self.codec
        return pack_many(
            format_code,
            np.repeat(np.where(masked, FLAG_RAW_CHUNK, flags), counts),
            np.repeat(np.where(masked, CODEC_RAW, codec), counts),
            segment,
            np.repeat(np.array([offset for _, offset in placed]), counts),
            np.repeat(lengths, counts),
            np.concatenate([np.arange(count) for count in counts]),
            crcs,
        )


class RowPayload:
    """Rows that are compressed when the shared memory for them is there."""

    def __init__(self, layout: RowLayout, rows: Bytes) -> None:
        self._layout = layout
        self._rows = rows
        self._place_bytes = layout.chunk_bytes + layout.trailer_bytes
        self.n_bytes = -(-len(rows) // layout.chunk_rows) * self._place_bytes

    def fill(self, view: memoryview, offset: int) -> list[Chunk]:
        size, rows = self._place_bytes, self._layout.chunk_rows
        return [
            self._layout.compress(
                self._rows[i * rows : (i + 1) * rows],
                view[i * size : (i + 1) * size],
                offset + i * size,
            )
            for i in range(self.n_bytes // size)
        ]


def raw_mask(options: Hdf5Options) -> int:
    """HDF5's filter mask of a chunk that is stored raw: every filter but fletcher32 is left out."""
    return (1 << len([name for name in options.filters if name != "fletcher32"])) - 1


def chunk_codec(options: Hdf5Options, item_bytes: int) -> tuple[int, int]:
    """Codec and flags in the specs of a chunk that went through all its filters."""
    if options.is_blosc2:
        return CODEC_BLOSC2, 0
    if options.codec == "none":
        return CODEC_RAW, 0
    exponent = item_bytes.bit_length() - 1 if options.shuffle == "byte" else 0
    codec = CODEC_GZIP if options.codec == "gzip" else CODEC_LZF
    return codec, exponent << SHUFFLE_SHIFT


def put_trailer(place: memoryview, length: int, trailer_bytes: int) -> int:
    """Put the checksum of the first ``length`` bytes behind them; how many bytes it has."""
    if trailer_bytes:
        checksum = fletcher32(place[:length])
        place[length : length + trailer_bytes] = checksum.to_bytes(trailer_bytes, "little")
    return trailer_bytes
