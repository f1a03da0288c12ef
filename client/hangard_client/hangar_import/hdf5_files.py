"""Rows out of Hangar's HDF5 files, read by a process of its own.

libhdf5 believes what a file says: a damaged or cut-off one ends the process that reads it with a
signal, or keeps it for ever. Here that is an error, which names the file.

``python -m hangard_client.hangar_import.hdf5_files FD`` is the process: it gets requests, and
answers each with a header and, if that is no error, with the rows' bytes.
"""

from __future__ import annotations

import contextlib
import sys
from collections import OrderedDict
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from hangard_client.child import Child
from hangard_client.hangar_import.records import damaged

READ_S_MAX: Final = 120.0  # for one stretch of rows, which has some MiB
FILES_OPEN_MAX: Final = 16
MODULE: Final = "hangard_client.hangar_import.hdf5_files"


class RowsWanted(msgspec.Struct, frozen=True, array_like=True):
    """Rows ``first`` to ``last`` of a dataset; of each the first ``items``, 0: all of it."""

    path: str
    dataset: str
    first: int
    last: int
    items: int


class RowsGiven(msgspec.Struct, frozen=True, array_like=True):
    """What follows: rows of this dtype and shape; or why there are none."""

    dtype: str
    shape: tuple[int, ...]
    error: str = ""


class Hdf5Files:
    """The reading process, started when it is first needed. Errors: Corrupt
    (``damaged-source``)."""

    def __init__(self, *, read_s_max: float = READ_S_MAX) -> None:
        self._read_s_max = read_s_max
        self._child: Child | None = None

    def rows(self, path: Path, dataset: int, first: int, last: int, items: int) -> npt.NDArray[Any]:
        """As RowsWanted says."""
        record = f"dataset {dataset}, rows {first} to {last}"
        wanted = RowsWanted(str(path), str(dataset), first, last, items)
        if self._child is None:
            self._child = Child(MODULE)
        connection = self._child.connection
        try:
            connection.send_bytes(msgspec.msgpack.encode(wanted))
            if not connection.poll(self._read_s_max):
                self.close(at_once=True)
                raise damaged(path, record, f"not read within {self._read_s_max:.0f} s")
            given = msgspec.msgpack.decode(connection.recv_bytes(), type=RowsGiven)
            if given.error:
                raise damaged(path, record, given.error)
            payload = connection.recv_bytes()
            return np.frombuffer(payload, np.dtype(given.dtype)).reshape(given.shape)
        except (EOFError, BrokenPipeError, ConnectionResetError) as error:
            how = self.close(at_once=False)
            raise damaged(path, record, f"reading it ended the reader {how}") from error

    def close(self, *, at_once: bool = False) -> str:
        """May be called twice; how the process ended."""
        child, self._child = self._child, None
        return child.end(at_once=at_once) if child is not None else ""


def main(number: int) -> None:
    """Answer what comes from the socket of this number until it is closed."""
    connection: Any = Connection(number)
    files: OrderedDict[str, Any] = OrderedDict()
    with connection, contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            wanted = msgspec.msgpack.decode(connection.recv_bytes(), type=RowsWanted)
            try:
                rows = np.ascontiguousarray(_read(files, wanted))
                given = RowsGiven(rows.dtype.str, rows.shape)
            except (OSError, KeyError, RuntimeError, ValueError, TypeError, MemoryError) as error:
                connection.send_bytes(
                    msgspec.msgpack.encode(RowsGiven("", (), str(error) or repr(error)))
                )
                continue
            connection.send_bytes(msgspec.msgpack.encode(given))
            connection.send_bytes(rows.reshape(-1).view("u1").data if rows.size else b"")


def _read(files: OrderedDict[str, Any], wanted: RowsWanted) -> npt.NDArray[Any]:
    file = files.get(wanted.path)
    if file is None:
        while len(files) >= FILES_OPEN_MAX:
            files.popitem(last=False)[1].close()
        file = files[wanted.path] = _open(wanted.path)
    files.move_to_end(wanted.path)
    stored = file[wanted.dataset]
    if wanted.last >= len(stored):
        raise ValueError(f"there are {len(stored)} rows")
    rows = slice(wanted.first, wanted.last + 1)
    return np.asarray(stored[rows, : wanted.items] if wanted.items else stored[rows])


def _open(path: str) -> Any:
    import h5py

    with contextlib.suppress(ImportError):
        import hdf5plugin  # noqa: F401  registers Hangar's Blosc filter

    try:
        return h5py.File(path, "r", locking=False)
    except OSError as error:
        # A writer of Hangar that was killed leaves the file marked as being written. (Not tried
        # first: a reader beside a writer waits for what a cut-off file will never have.)
        if "consistency flags" not in str(error):
            raise
        return h5py.File(path, "r", swmr=True, locking=False)


if __name__ == "__main__":
    main(int(sys.argv[1]))
