"""One file of the HDF5 process, as the daemon sees it: chunks go in, their offsets come out.

Units    offsets and lengths in bytes.
Errors   NoSpace before chunks are handed over; SegmentLost when the process died, or HDF5 refused.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hangard.backends.disk import Disk
from hangard.backends.hdf5_messages import Chunk, CloseFile, CreateFile, WriteChunks
from hangard.backends.hdf5_writer import Hdf5Writer, ProcessLost
from hangard.backends.segment import Reservation, SegmentLost
from hangard.backends.shared_memory import Region
from hangard.errors import NoSpace
from hangard.limits import KIB
from hangard.model.options import Hdf5Options

PAYLOADS_UNDERWAY_MAX = 2  # of one append: one is being filled while the other is written
CREATE_ATTEMPTS_MAX = 2  # a process that died unnoticed is replaced
FILE_OVERHEAD_BYTES = 64 * KIB  # headers and free ends of HDF5's own blocks
CHUNK_OVERHEAD_BYTES = 512  # a chunk's share of index nodes and of valid_rows, generously


class Payload(Protocol):
    """Chunks that go to the process in one message."""

    @property
    def n_bytes(self) -> int:
        """Shared memory that they need at most."""

    def fill(self, view: memoryview, offset: int) -> list[Chunk]:
        """Put the chunks into ``view``, which begins at ``offset`` of the shared memory."""


@dataclass(frozen=True, slots=True)
class _Underway:
    chunks: list[Chunk]
    region: Region
    answer: Future[list[int]]


class Hdf5File:
    """A file that belongs to one life of the HDF5 process. Appends may come from many threads."""

    def __init__(
        self,
        path: Path,
        number: int,
        dtype: str,
        shape: tuple[int, ...],
        *,
        chunk_rows: int,
        options: Hdf5Options,
        disk: Disk,
        writer: Hdf5Writer,
        natural_shape: bool = False,
    ) -> None:
        """Create it; its directory entry is synced. Errors: FileExistsError, as above."""
        self.path = path
        self.number = number
        self.lost = False
        self._disk = disk
        self._writer = writer
        self._lock = threading.Lock()
        if path.exists():
            raise FileExistsError(f"{path} exists")
        if disk.free_bytes(path.parent) < 2 * FILE_OVERHEAD_BYTES:
            raise NoSpace("the disk is full: free some space and try again", code="disk-full")

        def request(id: int) -> CreateFile:
            return CreateFile(
                id=id,
                number=number,
                path=os.fspath(path),
                dtype=dtype,
                shape=shape,
                chunk_rows=chunk_rows,
                filters=list(options.filters),
                codec=options.blosc2_codec,
                level=options.level,
                shuffle=options.shuffle,
                natural_shape=natural_shape,
            )

        for attempt in range(CREATE_ATTEMPTS_MAX):
            try:
                self._generation = writer.start()
                self._ask(writer.submit(self._generation, request))
                break
            except BaseException as error:
                path.unlink(missing_ok=True)
                if not isinstance(error, SegmentLost) or attempt == CREATE_ATTEMPTS_MAX - 1:
                    raise
        self.lost = False
        self.fd = disk.open(path)
        disk.sync_directory(path.parent)
        self.length_bytes = os.fstat(self.fd).st_size
        self._planned_bytes = self.length_bytes + FILE_OVERHEAD_BYTES
        self._reservation = Reservation(disk, self.fd, self.length_bytes)

    def append(self, payloads: Iterable[Payload]) -> list[tuple[Chunk, int]]:
        """Write chunks behind all others; each with its offset in the file, which was flushed."""
        memory = self._writer.memory
        underway: deque[_Underway] = deque()
        placed: list[tuple[Chunk, int]] = []
        try:
            for payload in payloads:
                if len(underway) == PAYLOADS_UNDERWAY_MAX:
                    placed += self._finish(underway.popleft())
                region = memory.try_allocate(payload.n_bytes)
                while region is None and underway:
                    placed += self._finish(underway.popleft())
                    region = memory.try_allocate(payload.n_bytes)
                # To wait for memory while holding some would let threads wait for each other.
                underway.append(self._send(payload, region or memory.allocate(payload.n_bytes)))
            while underway:
                placed += self._finish(underway.popleft())
        except BaseException:
            # The memory may be used again only when the process has read it, or is dead.
            for sent in underway:
                self._discard(sent)
            raise
        return placed

    def _send(self, payload: Payload, region: Region) -> _Underway:
        try:
            chunks = payload.fill(region.view, region.offset)
            needed = sum(chunk.length + CHUNK_OVERHEAD_BYTES for chunk in chunks)
            with self._lock:
                self._reservation.ensure(self._planned_bytes + needed)
                self._planned_bytes += needed
            answer = self._writer.submit(
                self._generation,
                lambda id: WriteChunks(id, self.number, chunks, region.passed_fd is not None),
                region.passed_fd,
            )
        except BaseException:
            region.release()
            raise
        return _Underway(chunks, region, answer)

    def _finish(self, sent: _Underway) -> list[tuple[Chunk, int]]:
        try:
            offsets = self._ask(sent.answer)
        finally:
            sent.region.release()
        length_bytes = os.fstat(self.fd).st_size
        with self._lock:
            self.length_bytes = max(self.length_bytes, length_bytes)
        return list(zip(sent.chunks, offsets, strict=True))

    def _discard(self, sent: _Underway) -> None:
        try:
            self._finish(sent)
        except SegmentLost:
            return

    def _ask(self, answer: Future[list[int]]) -> list[int]:
        """The answer. Errors: SegmentLost."""
        try:
            return self._writer.wait(self._generation, answer)
        except ProcessLost as error:
            self.lost = True
            raise SegmentLost(f"{self.path.name}: {error}") from error
        except OSError as error:
            # What libhdf5 does after a failed call is not to be relied on.
            self.lost = True
            self._writer.kill(self._generation)
            raise SegmentLost(f"{self.path.name}: {error}") from error

    def sync(self) -> None:
        """Make durable what was appended. Errors: NoSpace, Corrupt (``sync-failed``)."""
        # The process has flushed what was answered: the bytes are the kernel's, whoever syncs them.
        self._disk.sync(self.fd)

    def finish(self) -> None:
        """Let the process close the file; after its death the file stays as it was last flushed."""
        self._close_remote()
        self.length_bytes = os.fstat(self.fd).st_size
        self._disk.release_reserved(self.fd)
        self._disk.sync(self.fd)

    def discard(self) -> None:
        """Remove a file that nothing names."""
        self._close_remote()
        self.close()
        self.path.unlink()

    def _close_remote(self) -> None:
        if not self.lost:
            request = self._writer.submit(self._generation, lambda id: CloseFile(id, self.number))
            with suppress(SegmentLost):
                self._ask(request)

    def close(self) -> None:
        """Release the daemon's own descriptor; may be called twice."""
        if self.fd >= 0:
            self._disk.close(self.fd)
            self.fd = -1
