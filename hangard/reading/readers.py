"""Marks of open read checkouts: a locked file in ``readers/`` that names a commit, a root of gc.

The lock dies with its process, so a killed reader holds nothing back; a file that nobody has locked
is rubbish that gc removes. The file appears under its name only once it is locked. Where files
cannot be made (a read-only file system, another user's repository) there is no mark, and no error.

Content: the commit's digest in hexadecimal and a newline.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from pathlib import Path

from hangard.model.commit import Digest
from hangard.model.directory import READERS

SUFFIX = ".reader"


class ReaderMark:
    """One mark, held from ``take`` until ``close()``."""

    def __init__(self, directory: Path, commit: Digest) -> None:
        self._folder = directory / READERS
        self._commit = commit
        self._fd = -1
        self._path: Path | None = None
        self._pid = 0

    @property
    def is_held(self) -> bool:
        """Whether this process (not only its parent) holds it."""
        return self._fd >= 0 and self._pid == os.getpid()

    def take(self) -> None:
        """Makes the file, if it can be made. In a forked child it makes one of the child's own."""
        if self.is_held:
            return
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._path, self._pid = -1, None, os.getpid()
        name = f"{self._pid}-{secrets.token_hex(4)}{SUFFIX}"
        temporary = self._folder / f"{name}.new"
        try:
            fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        except OSError:
            return
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.write(fd, self._commit.hex().encode() + b"\n")
            temporary.rename(self._folder / name)
        except OSError:
            os.close(fd)
            with contextlib.suppress(OSError):
                temporary.unlink()
            return
        self._fd, self._path = fd, self._folder / name

    def close(self) -> None:
        """May be called twice. A child leaves its parent's file alone."""
        fd, path = self._fd, self._path
        self._fd, self._path = -1, None
        if fd >= 0:
            if path is not None and self._pid == os.getpid():
                with contextlib.suppress(OSError):
                    path.unlink()
            os.close(fd)


def live_marks(directory: Path) -> list[Digest]:
    """The commits that readers have open. Removes files that nobody holds."""
    commits = []
    for path in sorted((directory / READERS).glob(f"*{SUFFIX}")):
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with contextlib.suppress(ValueError):
                commits.append(bytes.fromhex(os.pread(fd, 64, 0).decode("ascii", "replace")))
        else:
            with contextlib.suppress(OSError):
                path.unlink()
        finally:
            os.close(fd)
    return commits
