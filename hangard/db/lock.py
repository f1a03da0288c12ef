"""The lock of a repository: one daemon at a time, and none is left behind by a kill -9.

``flock`` belongs to the open file, which the kernel closes with its process; the descriptor is not
inherited by programs the process starts, and a forked child closes its copy.
"""

from __future__ import annotations

import fcntl
import os
import weakref
from pathlib import Path

from hangard.errors import Busy
from hangard.model.directory import LOCK

_held: weakref.WeakSet[RepositoryLock] = weakref.WeakSet()


class RepositoryLock:
    """Held from construction to ``close()``.

    Errors: Busy (``repository-locked``); its details hold the ``pid`` of the holder, 0 if unknown.
    """

    def __init__(self, directory: Path) -> None:
        path = directory / LOCK
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._fd, 20, 0).strip()
            pid = int(holder) if holder.isdigit() else 0
            os.close(self._fd)
            raise Busy(
                f"{directory.parent} is in use by process {pid or 'unknown'}",
                code="repository-locked",
                pid=pid,
            ) from None
        except BaseException:
            os.close(self._fd)
            raise
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, b"%d\n" % os.getpid(), 0)
        _held.add(self)

    def close(self) -> None:
        if self._fd >= 0:
            _held.discard(self)
            fd, self._fd = self._fd, -1
            os.close(fd)


def _close_inherited() -> None:
    for lock in list(_held):
        lock.close()


os.register_at_fork(after_in_child=_close_inherited)
