"""The LMDB environments that this process has open, one for each repository.

LMDB forbids a second one on the same files, so readers and the writer of a process share it: it is
opened read-only, turned writable when a daemon starts in this process, and closed with its last
user. All transactions are short and hold a lock, for two reasons (both seen with py-lmdb 3.0):

- a child of ``fork`` must close what it inherited before it opens it again, and closing clears the
  lock table's slot of every transaction then open, the parent's too. So fork waits for them;
- ``max_spare_txns`` is 0, because a spare transaction keeps such a slot: after a fork the parent
  got MDB_BAD_RSLOT. A transaction with one get takes 1.5 us so, 1.3 us with spare ones.

Errors  Busy (``readers-full``) when no slot for a reader is left; PermissionDenied; Corrupt
        (``damaged-database``); Unavailable (``database-unreadable``) for what the system refuses,
        as an address space too small for the map. A client may then ask the daemon over HTTP.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import lmdb

from hangard.errors import Busy, Closed, Corrupt, HangardError, PermissionDenied, Unavailable
from hangard.limits import LMDB_MAP_BYTES, LMDB_READERS_MAX
from hangard.model.directory import DB
from hangard.reading.tables import DATABASES, Databases, ReadTables

_DATABASES_MAX = 32

_registry_lock = threading.RLock()
_registry: dict[tuple[int, int], Environment] = {}

_CORRUPT = (
    lmdb.CorruptedError,
    lmdb.PageNotFoundError,
    lmdb.InvalidError,
    lmdb.VersionMismatchError,
    lmdb.PanicError,
    lmdb.IncompatibleError,
)
_ERRNOS = (
    errno.EACCES,
    errno.EPERM,
    errno.EIO,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EROFS,
    errno.ENOMEM,
)


class Environment:
    """The LMDB environment below ``directory`` (``PATH/.hangard``); made by ``acquire`` only.

    ``read()`` and ``write()`` may be used from any thread; a transaction must end in its thread.
    """

    def __init__(self, directory: Path, identity: tuple[int, int], writable: bool) -> None:
        self.directory = directory
        self.writable = writable
        self._identity = identity
        self._users = 0
        self._lock = threading.RLock()
        self._write_lock = threading.RLock()
        self._lmdb: Any = None
        self._databases: Databases | None = None

    def read(self) -> _Reading:
        """A read transaction as a context manager over ReadTables; ends before anything slow."""
        return _Reading(self)

    @contextmanager
    def write(self) -> Iterator[tuple[Any, Databases]]:
        """The write transaction (and the databases): commits at the end, aborts if it raises.

        Errors come as lmdb raises them; only hangard.db.writer uses it, which knows what to do.
        """
        with self._write_lock:
            with self._lock:
                env, databases = self._opened()
            with env.begin(write=True, buffers=False) as txn:
                yield txn, databases

    def check_readers(self) -> int:
        """Free the slots of readers that died; how many there were."""
        with self._lock:
            return int(self._opened()[0].reader_check())

    def reopen(self, *, writable: bool | None = None) -> None:
        """Close it and open it again at its next use: after a panic, or to change the mode."""
        with self._write_lock, self._lock:
            self._close()
            if writable is not None:
                self.writable = writable

    def release(self) -> None:
        """One user less; the last one closes it."""
        with _registry_lock:
            self._users -= 1
            if self._users == 0:
                _registry.pop(self._identity, None)
                with self._write_lock, self._lock:
                    self._close()
                    self._users = -1

    def _opened(self) -> tuple[Any, Databases]:
        if self._databases is None:
            if self._users < 0:
                raise Closed("the repository has been closed")
            with _translated(self.directory):
                self._open()
        assert self._databases is not None
        return self._lmdb, self._databases

    def _open(self) -> None:
        path = self.directory / DB
        if not (path / "data.mdb").exists() and not self.writable:
            raise Corrupt(f"{path} has lost its database", code="damaged-database")
        env = lmdb.open(
            str(path),
            map_size=LMDB_MAP_BYTES,
            readonly=not self.writable,
            max_readers=LMDB_READERS_MAX,
            max_dbs=_DATABASES_MAX,
            max_spare_txns=0,
            lib_version=0,
            mode=0o644,
        )
        try:
            # In one read-only transaction for all, py-lmdb would forget the handles at its end.
            handles = [env.open_db(name, create=self.writable) for name in DATABASES]
            self._databases = Databases(*handles)
        except BaseException:
            env.close()
            raise
        self._lmdb = env

    def _close(self) -> None:
        env, self._lmdb, self._databases = self._lmdb, None, None
        if env is not None:
            env.close()

    def _begin(self) -> tuple[Any, Databases]:
        env, databases = self._opened()
        with _translated(self.directory):
            try:
                return env.begin(), databases
            except lmdb.MapResizedError:
                env.set_mapsize(0)
                return env.begin(), databases

    def _after_fork(self) -> None:
        self._lock = threading.RLock()
        self._write_lock = threading.RLock()
        self._close()
        self.writable = False


class _Reading:
    """One read transaction. A class, as a generator would cost another microsecond."""

    __slots__ = ("_env", "_tables")

    def __init__(self, env: Environment) -> None:
        self._env = env
        self._tables: ReadTables | None = None

    def __enter__(self) -> ReadTables:
        env = self._env
        env._lock.acquire()
        try:
            self._tables = tables = ReadTables(*env._begin())
        except BaseException:
            env._lock.release()
            raise
        return tables

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            # py-lmdb frees the slot in the lock table with the object only, not when it ends.
            if self._tables is not None:
                self._tables.txn.abort()
                self._tables.txn = None
        finally:
            self._env._lock.release()
        if isinstance(error, lmdb.Error):
            raise translated(error, self._env.directory) from error


def acquire(directory: Path, *, writable: bool = False) -> Environment:
    """The environment below ``directory``, shared; call ``release()`` when done with it.

    ``writable`` turns one that is open read-only into a writable one (hangard.db.environment holds
    the repository's lock then). It is opened at its first use.
    """
    status = os.stat(directory)
    identity = (status.st_dev, status.st_ino)
    with _registry_lock:
        env = _registry.get(identity)
        if env is None:
            env = _registry[identity] = Environment(directory, identity, writable)
        elif writable and not env.writable:
            env.reopen(writable=True)
        env._users += 1
        return env


def translated(error: lmdb.Error, directory: Path) -> HangardError:
    """What an error of LMDB means to a reader."""
    if isinstance(error, lmdb.ReadersFullError):
        return Busy(
            f"{LMDB_READERS_MAX} readers have {directory} open; close some", code="readers-full"
        )
    if isinstance(error, _CORRUPT):
        return Corrupt(f"the database in {directory} is damaged: {error}", code="damaged-database")
    if errno_of(error) in (errno.EACCES, errno.EPERM):
        return PermissionDenied(f"the database in {directory} may not be opened: {error}")
    return Unavailable(
        f"the database in {directory} cannot be read: {error}", code="database-unreadable"
    )


def errno_of(error: lmdb.Error) -> int:
    """The errno behind an error of LMDB, 0 if there is none.

    py-lmdb's compiled form keeps no number, only the system's text for it.
    """
    text = str(error)
    for number in _ERRNOS:
        if text.endswith(os.strerror(number)):
            return number
    return 0


@contextmanager
def _translated(directory: Path) -> Iterator[None]:
    try:
        yield
    except lmdb.Error as error:
        raise translated(error, directory) from error


def _before_fork() -> None:
    _registry_lock.acquire()
    for env in _registry.values():
        env._write_lock.acquire()
        env._lock.acquire()


def _after_fork_in_parent() -> None:
    for env in _registry.values():
        env._lock.release()
        env._write_lock.release()
    _registry_lock.release()


def _after_fork_in_child() -> None:
    global _registry_lock
    for env in _registry.values():
        env._after_fork()
    _registry_lock = threading.RLock()


os.register_at_fork(
    before=_before_fork,
    after_in_parent=_after_fork_in_parent,
    after_in_child=_after_fork_in_child,
)
