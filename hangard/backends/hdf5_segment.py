"""Format code 00, ``hdf5``: chunks of many rows, compressed, in a plain HDF5 file.

Shapes   rows (n, bytes of a sample); in the file ``/samples`` (rows, items), samples ravelled.
Units    offsets and lengths in bytes.
Errors   NoSpace before anything is named; SegmentLost when the HDF5 process died.
Format   ``h5py`` with ``hdf5plugin`` opens the file. A batch begins a chunk of its own and leaves
         the last one part-full, padded with zeros; ``/valid_rows`` (chunks,) counts the real rows.
         Spec: offset and length of the chunk, row in it; codec Blosc2, or raw with FLAG_RAW_CHUNK
         where compression did not pay (HDF5's filter mask is 1 then).
         A sample without bytes is only named: offset and length 0.
Source   filter 32026 of the HDF5 registered filters; rows to a chunk: hangard.model.chunking.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
from hangard_ext.codec import compress_rows_into
from hangard_ext.recordspec import CODEC_BLOSC2, CODEC_RAW, FLAG_RAW_CHUNK, pack_many

from hangard.backends.disk import Disk
from hangard.backends.hdf5_messages import Chunk, CloseFile, CreateFile, WriteChunks
from hangard.backends.hdf5_writer import Hdf5Writer, ProcessLost
from hangard.backends.segment import Bytes, Checksums, Reservation, RowsFile, SegmentLost
from hangard.backends.shared_memory import Region
from hangard.errors import Closed, NoSpace
from hangard.limits import KIB, MIB, SEGMENT_BYTES_MAX
from hangard.model.chunking import block_bytes, chunk_rows
from hangard.model.directory import FORMAT_HDF5
from hangard.model.options import Hdf5Options

GROUP_BYTES_MAX = 2 * MIB  # raw bytes of chunks that go to the process in one message
GROUPS_UNDERWAY_MAX = 2  # of one batch: one is compressed while the other is written
FILE_OVERHEAD_BYTES = 64 * KIB  # headers and free ends of HDF5's own blocks
CHUNK_OVERHEAD_BYTES = 512  # a chunk's share of index nodes and of valid_rows, generously


@dataclass(frozen=True, slots=True)
class _Group:
    """Chunks on their way into the file."""

    chunks: list[Chunk]
    region: Region
    answer: Future[list[int]]


class Hdf5Segment:
    """One HDF5 file of samples of one dtype, shape and options, with its ``.rows`` file."""

    format_code = FORMAT_HDF5

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
    ) -> None:
        """Create the files. Errors: NoSpace, SegmentLost, OSError."""
        self.path = path
        self.number = number
        self._disk = disk
        self._writer = writer
        self._options = options
        self._item_bytes = np.dtype(dtype).itemsize
        self._row_bytes = prod(shape) * self._item_bytes
        self._chunk_rows = chunk_rows(self._row_bytes)
        self._lock = threading.Condition()
        self._appending = 0
        self._lost = self._sealed = False
        if path.exists():
            raise FileExistsError(f"{path} exists")
        if disk.free_bytes(path.parent) < 2 * FILE_OVERHEAD_BYTES:
            raise NoSpace("the disk is full: free some space and try again", code="disk-full")
        try:
            self._generation = writer.start()
            self._ask(
                writer.submit(
                    self._generation,
                    lambda id: CreateFile(
                        id=id,
                        number=number,
                        path=os.fspath(path),
                        dtype=dtype,
                        # A file has no dataset of 0 columns: those rows are only named.
                        shape=shape if self._row_bytes else (1,),
                        chunk_rows=self._chunk_rows,
                        codec=options.codec,
                        level=options.level,
                        shuffle=options.shuffle,
                    ),
                )
            )
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        self._fd = disk.open(path)
        disk.sync_directory(path.parent)
        self.length_bytes = os.fstat(self._fd).st_size
        self._planned_bytes = self.length_bytes + FILE_OVERHEAD_BYTES
        self._reservation = Reservation(disk, self._fd, self.length_bytes)
        self._rows_file = RowsFile(disk, path, number)

    @property
    def rows_bytes(self) -> int:
        return self._rows_file.length_bytes

    @property
    def is_full(self) -> bool:
        return self._lost or self.length_bytes >= SEGMENT_BYTES_MAX

    def append(self, rows: Bytes, digests: Bytes, crcs: Checksums) -> Bytes:
        n = len(digests)
        rows = np.ascontiguousarray(rows).reshape(n, self._row_bytes)
        with self._lock:
            self._check_open()
            self._appending += 1
        try:
            if self._row_bytes and n:
                specs = self._write(rows, crcs)
            else:
                nowhere = np.zeros(n, np.uint64)
                specs = pack_many(FORMAT_HDF5, 0, CODEC_RAW, self.number, nowhere, 0, 0, crcs)
            with self._lock:
                self._rows_file.append(digests, specs)
            return specs
        finally:
            with self._lock:
                self._appending -= 1
                self._lock.notify_all()

    def _write(self, rows: Bytes, crcs: Checksums) -> Bytes:
        """Compress, hand over and wait; several threads do this side by side."""
        chunk_bytes = self._chunk_rows * self._row_bytes
        step = max(1, GROUP_BYTES_MAX // chunk_bytes) * self._chunk_rows
        memory = self._writer.memory
        underway: deque[_Group] = deque()
        specs: list[Bytes] = []
        try:
            for start in range(0, len(rows), step):
                group = rows[start : start + step]
                while len(underway) == GROUPS_UNDERWAY_MAX:
                    specs.append(self._finish(underway))
                count = -(-len(group) // self._chunk_rows)
                region = memory.try_allocate(count * chunk_bytes)
                while region is None and underway:
                    specs.append(self._finish(underway))
                    region = memory.try_allocate(count * chunk_bytes)
                # To wait for memory while holding some would let threads wait for each other.
                region = region or memory.allocate(count * chunk_bytes)
                underway.append(self._hand_over(group, region))
            while underway:
                specs.append(self._finish(underway))
        except BaseException:
            while underway:
                self._discard(underway.popleft())
            raise
        result = np.concatenate(specs)
        # Checksums are the caller's; chunks know only places.
        result[:, 24:28] = np.ascontiguousarray(crcs, dtype="<u4").view(np.uint8).reshape(-1, 4)
        return result

    def _hand_over(self, rows: Bytes, region: Region) -> _Group:
        """Compress rows into shared memory and send the message that names the chunks there."""
        chunk_bytes = self._chunk_rows * self._row_bytes
        try:
            chunks = []
            for i in range(-(-len(rows) // self._chunk_rows)):
                part = rows[i * self._chunk_rows : (i + 1) * self._chunk_rows]
                place = region.view[i * chunk_bytes : (i + 1) * chunk_bytes]
                chunks.append(self._compress(part, place, region.offset + i * chunk_bytes))
            needed = sum(chunk.length + CHUNK_OVERHEAD_BYTES for chunk in chunks)
            with self._lock:
                self._reservation.ensure(self._planned_bytes + needed)
                self._planned_bytes += needed
            passed = region.passed_fd
            answer = self._writer.submit(
                self._generation,
                lambda id: WriteChunks(id, self.number, chunks, passed is not None),
                passed,
            )
        except BaseException:
            region.release()
            raise
        return _Group(chunks, region, answer)

    def _compress(self, rows: Bytes, place: memoryview, offset: int) -> Chunk:
        length = compress_rows_into(
            rows.data,
            place,
            chunk_bytes=len(place),
            typesize=self._item_bytes,
            block_bytes=min(block_bytes(self._row_bytes, self._item_bytes), len(place)),
            codec=self._options.codec,
            level=self._options.level,
            shuffle=self._options.shuffle,
        )
        if length:
            return Chunk(offset, length, 0, len(rows))
        raw = np.frombuffer(place, np.uint8)
        raw[: rows.nbytes] = rows.reshape(-1)
        raw[rows.nbytes :] = 0
        return Chunk(offset, len(place), 1, len(rows))

    def _finish(self, underway: deque[_Group]) -> Bytes:
        """Wait for the oldest group; the specs of its rows, without checksums."""
        group = underway.popleft()
        offsets = self._answer_of(group)
        length_bytes = os.fstat(self._fd).st_size
        with self._lock:
            self.length_bytes = max(self.length_bytes, length_bytes)
        counts = np.array([chunk.valid_rows for chunk in group.chunks])
        raw = np.array([chunk.filter_mask for chunk in group.chunks], dtype=bool)
        lengths = np.array([chunk.length for chunk in group.chunks])
        return pack_many(
            FORMAT_HDF5,
            np.repeat(np.where(raw, FLAG_RAW_CHUNK, 0), counts),
            np.repeat(np.where(raw, CODEC_RAW, CODEC_BLOSC2), counts),
            self.number,
            np.repeat(np.array(offsets), counts),
            np.repeat(lengths, counts),
            np.concatenate([np.arange(count) for count in counts]),
            0,
        )

    def _answer_of(self, group: _Group) -> list[int]:
        try:
            return self._ask(group.answer)
        finally:
            group.region.release()

    def _discard(self, group: _Group) -> None:
        """Wait until the process no longer reads the group's memory."""
        try:
            self._answer_of(group)
        except (SegmentLost, NoSpace):
            return

    def _ask(self, answer: Future[list[int]]) -> list[int]:
        """The answer. Errors: SegmentLost."""
        try:
            return self._writer.wait(self._generation, answer)
        except ProcessLost as error:
            self._lost = True
            raise SegmentLost(f"{self.path.name}: {error}") from error
        except OSError as error:
            # What libhdf5 does after a failed call is not to be relied on.
            self._lost = True
            self._writer.kill(self._generation)
            raise SegmentLost(f"{self.path.name}: {error}") from error

    def _check_open(self) -> None:
        if self._sealed:
            raise Closed(f"segment {self.path.name} is sealed", code="segment-sealed")
        if self._lost:
            raise SegmentLost(f"{self.path.name} belongs to an HDF5 process that has ended")

    def sync(self) -> None:
        # The process has flushed what was answered: the bytes are the kernel's, whoever syncs them.
        with self._lock:
            if self._fd >= 0:
                self._disk.sync(self._fd)
                self._rows_file.sync()

    def seal(self) -> None:
        """As of Segment. After the death of the process: the file as it was last flushed."""
        with self._lock:
            if self._sealed:
                return
            self._sealed = True
            self._lock.wait_for(lambda: self._appending == 0)
        if not self._lost:
            try:
                self._ask(
                    self._writer.submit(self._generation, lambda id: CloseFile(id, self.number))
                )
            except SegmentLost:
                self._lost = True
        with self._lock:
            if self._fd < 0:
                return
            self.length_bytes = os.fstat(self._fd).st_size
            self._disk.release_reserved(self._fd)
            self._disk.sync(self._fd)
            self._rows_file.sync()
            self._close()

    def close(self) -> None:
        with self._lock:
            self._sealed = True
            self._lock.wait_for(lambda: self._appending == 0)
            self._close()

    def _close(self) -> None:
        if self._fd >= 0:
            self._disk.close(self._fd)
            self._fd = -1
        self._rows_file.close()
