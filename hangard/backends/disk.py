"""The disk as an object, so that tests can fail the N-th write or fsync.

Errors  NoSpace (``disk-full``) for a full disk or quota, whatever the call; Corrupt
        (``sync-failed``) when an fsync fails otherwise, since the kernel may have dropped pages.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hangard.errors import Corrupt, NoSpace

FALLOC_FL_KEEP_SIZE = 1
SYNC_FILE_RANGE_WRITE = 2

_libc = ctypes.CDLL(None, use_errno=True)
_libc.sync_file_range.argtypes = [
    ctypes.c_int,
    ctypes.c_int64,
    ctypes.c_int64,
    ctypes.c_uint,
]
_libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]


class Disk:
    """Plain system calls, with errors translated and short writes completed."""

    def create(self, path: Path) -> int:
        """A new file, open for reading and writing; its directory entry is synced."""
        with _translated(path):
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self.sync_directory(path.parent)
        return fd

    def open(self, path: Path) -> int:
        """An existing file, open for reading and writing."""
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def open_direct(self, path: Path) -> int:
        """An existing file, open for aligned writes past the page cache.

        Errors: OSError where the file system has no such writes.
        """
        return os.open(path, os.O_WRONLY | os.O_DIRECT | os.O_CLOEXEC)

    def open_or_create(self, path: Path) -> int:
        """A file, open for reading and writing; a new one's directory entry is not synced."""
        with _translated(path):
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def cut(self, fd: int, length: int) -> None:
        """Drop what lies behind ``length``; only for files that nobody else has open."""
        with _translated(fd):
            if os.fstat(fd).st_size > length:
                os.ftruncate(fd, length)

    def write(self, fd: int, data: bytes | memoryview, offset: int) -> None:
        """Write all of ``data`` at ``offset``."""
        view = memoryview(data).cast("B")
        with _translated(fd):
            while view:
                written = os.pwrite(fd, view, offset)
                view, offset = view[written:], offset + written

    def reserve(self, fd: int, offset: int, length: int) -> None:
        """Take disk blocks without changing the file's size. Does nothing where unsupported."""
        if _libc.fallocate(fd, FALLOC_FL_KEEP_SIZE, offset, length) == 0:
            return
        number = ctypes.get_errno()
        if number not in (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL):
            with _translated(fd):
                raise OSError(number, os.strerror(number))

    def release_reserved(self, fd: int) -> None:
        """Give back blocks reserved beyond the end of the file."""
        with _translated(fd):
            os.ftruncate(fd, os.fstat(fd).st_size)

    def begin_writeback(self, fd: int, offset: int, length: int) -> None:
        """Let the disk start on bytes that a later ``sync`` will wait for.

        A hint: it makes nothing durable, and an error in it comes again from ``sync``.
        """
        _libc.sync_file_range(fd, offset, length, SYNC_FILE_RANGE_WRITE)

    def sync(self, fd: int) -> None:
        """Make a file's bytes durable."""
        try:
            with _translated(fd):
                os.fdatasync(fd)
        except NoSpace:
            raise
        except OSError as error:
            raise Corrupt(
                f"fsync failed ({error}); what was written since the last one is uncertain."
                " Restart the daemon: it verifies and goes on",
                code="sync-failed",
            ) from error

    def sync_directory(self, path: Path) -> None:
        """Make a directory's entries durable."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def rename(self, source: Path, target: Path) -> None:
        """Give a file its final name; durable after ``sync_directory``."""
        with _translated(target):
            os.rename(source, target)

    def unlink(self, path: Path) -> None:
        """Remove a file; one that is gone already is no error. Those who mapped it keep it."""
        path.unlink(missing_ok=True)

    def free_bytes(self, where: Path | int) -> int:
        """Bytes that this process may still write on the file system of a path or open file."""
        found = os.statvfs(where)
        return found.f_bavail * found.f_frsize

    def close(self, fd: int) -> None:
        os.close(fd)


@contextmanager
def _translated(where: Path | int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoSpace(
                "the disk is full: free some space and try again", code="disk-full"
            ) from error
        raise
