"""The client's windows: shared memory in which rows travel to the daemon."""

from __future__ import annotations

import mmap
import os
import socket
import weakref
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hangard.errors import Unavailable
from hangard.limits import WINDOWS_PER_CLIENT_MAX
from hangard.wire import windows as wire

CONNECT_S_MAX = 10.0
ROWS_BYTES_MIN = 16 * 1024  # fewer bytes of rows are not worth it: they travel in the body


@dataclass(frozen=True, slots=True)
class Window:
    """One window; its request must be answered before it is written again."""

    number: int
    memory: npt.NDArray[np.uint8]

    def write(self, rows: npt.NDArray[np.uint8]) -> None:
        """Copy rows (bytes, one axis) to its beginning."""
        self.memory[: len(rows)] = rows


class Windows:
    """The windows of one connection to a daemon.

    Errors: Unavailable (``no-windows``) if there is no memory for them: rows then travel in bodies.
    """

    def __init__(self, socket_path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(CONNECT_S_MAX)
            self._socket.connect(socket_path)
            self._socket.sendall(wire.encode_ask(WINDOWS_PER_CLIENT_MAX))
            raw, descriptors, _, _ = socket.recv_fds(
                self._socket,
                wire.ANSWER.size,
                WINDOWS_PER_CLIENT_MAX,
                socket.MSG_CMSG_CLOEXEC,
            )
            self.windows = _mapped(raw, descriptors)
        except OSError as error:
            self._socket.close()
            raise Unavailable(f"no windows: {error}", code="no-windows") from error
        except BaseException:
            self._socket.close()
            raise
        self.size_bytes = len(self.windows[0].memory)
        self._turn = 0
        _living.add(self)

    def next(self) -> Window:
        """The window that was used longest ago."""
        self._turn = (self._turn + 1) % len(self.windows)
        return self.windows[self._turn]

    def close(self) -> None:
        """Give the windows back; may be called twice."""
        self._socket.close()


def _mapped(raw: bytes, descriptors: list[int]) -> list[Window]:
    try:
        count, first, size_bytes = wire.decode_answer(raw)
        if not count or count != len(descriptors):
            raise Unavailable("the daemon has no memory for windows", code="no-windows")
        return [
            Window(first + i, np.frombuffer(mmap.mmap(descriptor, size_bytes), np.uint8))
            for i, descriptor in enumerate(descriptors)
        ]
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


_living: weakref.WeakSet[Windows] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    # The daemon takes the windows back when the last copy of the connection is closed.
    for windows in list(_living):
        windows.close()


os.register_at_fork(after_in_child=_after_fork_in_child)
