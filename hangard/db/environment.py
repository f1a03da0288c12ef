"""A repository's directory, made once, and its LMDB environment, open for writing.

LMDB runs with full sync and no ``writemap``: what a commit returned survives a power cut. The 0.9
engine is pinned (``lib_version=0``), since py-lmdb 3 ships two whose files do not mix.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from hangard.db.filesystem import refuse_network
from hangard.db.lock import RepositoryLock
from hangard.db.tables import WriteTables
from hangard.errors import AlreadyExists
from hangard.model.directory import FOLDERS, FORMAT, directory_of
from hangard.reading.environment import acquire
from hangard.reading.format import checked_directory, format_bytes
from hangard.reading.tables import ReadTables


def create_directory(path: str | Path) -> Path:
    """Makes ``PATH/.hangard`` with its folders, and the database with ``HEAD`` absent still.

    The ``format`` file comes last, so a directory half made is no repository and is completed by
    the next call. Returns the real path of ``PATH/.hangard``.

    Errors: AlreadyExists (``repository-exists``); InvalidRequest (``network-filesystem``); Busy.
    """
    parent = Path(path)
    parent.mkdir(parents=True, exist_ok=True)
    refuse_network(parent)
    directory = directory_of(path).resolve()
    if (directory / FORMAT).exists():
        raise AlreadyExists(f"{path} holds a repository already", code="repository-exists")
    directory.mkdir(exist_ok=True)
    lock = RepositoryLock(directory)
    try:
        for folder in FOLDERS:
            (directory / folder).mkdir(parents=True, exist_ok=True)
        env = acquire(directory, writable=True)
        try:
            with env.write():
                pass
        finally:
            env.release()
        _write_synced(directory / FORMAT, format_bytes())
        for folder in (*FOLDERS, "segments", "."):
            sync_directory(directory / folder)
        sync_directory(directory.parent)
    finally:
        lock.close()
    return directory


class WritableEnvironment:
    """The repository's lock and its LMDB environment for the one process that writes it.

    Errors: those of ``checked_directory``; Busy (``repository-locked``); InvalidRequest
    (``network-filesystem``).
    """

    def __init__(self, path: str | Path) -> None:
        self.directory = checked_directory(path)
        refuse_network(self.directory)
        self._lock = RepositoryLock(self.directory)
        try:
            self._shared = acquire(self.directory, writable=True)
            try:
                self._shared.check_readers()
            except BaseException:
                self._shared.release()
                raise
        except BaseException:
            self._lock.close()
            raise
        self._closed = False

    def __enter__(self) -> WritableEnvironment:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self) -> AbstractContextManager[ReadTables]:
        """A read transaction: ``with env.read() as tables``."""
        return self._shared.read()

    @contextmanager
    def write(self) -> Iterator[WriteTables]:
        """The write transaction; errors come as lmdb raises them. Use Writer, which groups."""
        with self._shared.write() as (txn, databases):
            yield WriteTables(txn, databases)

    def check_readers(self) -> int:
        """Frees the slots of readers that died without closing; how many there were."""
        return self._shared.check_readers()

    def reopen(self) -> None:
        """After LMDB's panic: the environment must be closed before it can be used again."""
        self._shared.reopen()

    def close(self) -> None:
        """Readers of this process keep the environment, read-only. May be called twice."""
        if not self._closed:
            self._closed = True
            self._shared.reopen(writable=False)
            self._shared.release()
            self._lock.close()


def sync_directory(path: Path) -> None:
    """Makes names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _write_synced(path: Path, content: bytes) -> None:
    temporary = path.with_name(path.name + ".new")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
