"""Large appends that go past the page cache, through a second descriptor of the same file.

A buffered write copies rows into pages that are new each time, and the commit's fsync waits for
the disk afterwards. In a virtual machine the first touch of such a page alone may cost more than
the disk: 47 MB in rows of 784 bytes took 8 to 140 ms of CPU time to write and 5 to 20 ms to sync,
directly 5 ms of CPU time, 25 ms in all and no wait at the sync (bench/bench_ingest.py). Nor does
what is written once push out of memory what readers use.

The kernel wants addresses and offsets aligned, which rows are not: they are copied into an aligned
buffer, and the blocks at both ends, which neighbouring appends share, are written as usual. A file
system that refuses direct writes (tmpfs did until Linux 6.6) gets ordinary ones.
"""

from __future__ import annotations

import errno
import mmap
import threading
from pathlib import Path

import numpy as np

from hangard.backends.disk import Disk
from hangard.limits import MIB

DIRECT_BYTES_MIN = 1 * MIB  # below it the system calls cost more than the copy
ALIGNMENT_BYTES = 4096  # of the page cache and of every disk known today
# One write. With 256 KiB the disk takes twice as long; a larger buffer falls out of the cache.
PIECE_BYTES = 1 * MIB


class _Buffer(threading.local):
    """Each thread's aligned memory: a mapping begins at a page."""

    def __init__(self) -> None:
        self.view = memoryview(mmap.mmap(-1, PIECE_BYTES))
        self.array = np.frombuffer(self.view, np.uint8)


_buffer = _Buffer()


class DirectFile:
    """Writes to a file that ``fd`` is open for. Several threads may append to places of theirs."""

    def __init__(self, disk: Disk, path: Path, fd: int) -> None:
        self._disk = disk
        self._path = path
        self._fd = fd
        self._lock = threading.Lock()
        self._direct_fd: int | None = None
        self._is_refused = False

    def append(self, data: memoryview, offset: int) -> None:
        """Write all of ``data``, bytes, at ``offset``; nobody writes to the same place.

        Errors: NoSpace, OSError.
        """
        first = -(-offset // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
        behind = (offset + len(data)) // ALIGNMENT_BYTES * ALIGNMENT_BYTES
        if behind - first < DIRECT_BYTES_MIN or not self._is_possible():
            self._write(data, offset)
            return
        self._disk.write(self._fd, data[: first - offset], offset)
        for start in range(first, behind, PIECE_BYTES):
            stop = min(start + PIECE_BYTES, behind)
            if not self._write_piece(data[start - offset : stop - offset], start):
                self._write(data[start - offset :], start)
                return
        self._write(data[behind - offset :], behind)

    def close(self) -> None:
        """Call when no append is under way; may be called twice. ``fd`` stays open."""
        if self._direct_fd is not None:
            self._disk.close(self._direct_fd)
            self._direct_fd = None

    def _write(self, data: memoryview, offset: int) -> None:
        self._disk.write(self._fd, data, offset)
        self._disk.begin_writeback(self._fd, offset, len(data))

    def _write_piece(self, data: memoryview, offset: int) -> bool:
        """Write an aligned piece; False if the file system does not take it this way."""
        assert self._direct_fd is not None
        size = len(data)
        np.copyto(_buffer.array[:size], np.frombuffer(data, np.uint8))
        try:
            self._disk.write(self._direct_fd, _buffer.view[:size], offset)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            self._is_refused = True
            return False
        return True

    def _is_possible(self) -> bool:
        with self._lock:
            if self._direct_fd is None and not self._is_refused:
                try:
                    self._direct_fd = self._disk.open_direct(self._path)
                except OSError:
                    self._is_refused = True
            return not self._is_refused
