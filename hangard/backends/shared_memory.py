"""Memory shared with the HDF5 process: one sealed memfd, handed out in contiguous regions."""

from __future__ import annotations

import fcntl
import mmap
import os
import threading
from types import TracebackType

F_ADD_SEALS = 1033
F_SEAL_SHRINK = 2
F_SEAL_GROW = 4
UNIT_BYTES = 64 * 1024  # regions are multiples, so that freed ones fit again


def _sealed_memory(name: str, n_bytes: int) -> int:
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, n_bytes)
    # Whoever maps it may rely on its size: reading past the end would be a signal.
    fcntl.fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW)
    return fd


def _rounded(n_bytes: int) -> int:
    return -(-n_bytes // UNIT_BYTES) * UNIT_BYTES


class Region:
    """Some bytes of shared memory. ``passed_fd``: its own descriptor if it is not in the pool."""

    def __init__(
        self, memory: SharedMemory | None, view: memoryview, offset: int, passed_fd: int | None
    ) -> None:
        self._memory = memory
        self.view = view
        self.offset = offset
        self.passed_fd = passed_fd

    def release(self) -> None:
        """Give the bytes back; the other process must have read them, or be dead."""
        self.view.release()
        if self._memory is not None:
            self._memory._free(self.offset)
        elif self.passed_fd is not None:
            os.close(self.passed_fd)


class SharedMemory:
    """A pool of ``n_bytes``. Its pages stay warm: first touch costs more than the copy."""

    def __init__(self, n_bytes: int) -> None:
        self.n_bytes = n_bytes
        self.fd = _sealed_memory("hangard-chunks", n_bytes)
        self._map = mmap.mmap(self.fd, n_bytes)
        self._view = memoryview(self._map)
        self._changed = threading.Condition(threading.RLock())
        self._used: dict[int, int] = {}  # offset -> length, by offset

    def try_allocate(self, n_bytes: int) -> Region | None:
        """As allocate; None while the pool is full. For who still holds another region."""
        with self._changed:
            if n_bytes <= self.n_bytes and self._find(_rounded(n_bytes)) is None:
                return None
            return self.allocate(n_bytes)

    def allocate(self, n_bytes: int) -> Region:
        """``n_bytes`` that no one else uses; waits while the pool is full.

        A region larger than the pool gets memory of its own.
        """
        if n_bytes > self.n_bytes:
            fd = _sealed_memory("hangard-chunk", n_bytes)
            return Region(None, memoryview(mmap.mmap(fd, n_bytes)), 0, fd)
        length = _rounded(n_bytes)
        with self._changed:
            while (offset := self._find(length)) is None:
                self._changed.wait()
            self._used[offset] = length
        return Region(self, self._view[offset : offset + length], offset, None)

    def _find(self, length: int) -> int | None:
        end = 0
        for offset in sorted(self._used):
            if offset - end >= length:
                return end
            end = offset + self._used[offset]
        return end if self.n_bytes - end >= length else None

    def _free(self, offset: int) -> None:
        with self._changed:
            del self._used[offset]
            self._changed.notify_all()

    def close(self) -> None:
        """No region may be in use."""
        self._view.release()
        self._map.close()
        os.close(self.fd)

    def __enter__(self) -> SharedMemory:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
