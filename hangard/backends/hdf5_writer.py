"""The daemon's side of the HDF5 process: starts it, talks to it, notices its death.

A process that died is replaced when the next file is created. Every file belongs to one life of
the process (``generation``): a file that was reopened after a kill put its next chunk over an
indexed one (seen).
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import TracebackType

import msgspec

from hangard.backends.hdf5_messages import (
    MESSAGE_BYTES_MAX,
    CheckFile,
    Done,
    Reply,
    Request,
)
from hangard.backends.shared_memory import SharedMemory
from hangard.limits import MIB

SHARED_BYTES = 16 * MIB
REPLY_S_MAX = 120.0  # a process that takes longer for one request is killed
END_S_MAX = 30.0  # to flush and close its files, once it was told to end


class ProcessLost(Exception):
    """The HDF5 process died, or was killed because it did not do as told; so did its files."""


@dataclass
class _Life:
    """One process, from its start to its death."""

    generation: int
    process: subprocess.Popen[bytes]
    connection: socket.socket
    waiting: dict[int, Future[list[int]]] = field(default_factory=dict)
    dead: bool = False


class Hdf5Writer:
    """Requests to the HDF5 process. Thread-safe; the process is started when it is first needed."""

    def __init__(self) -> None:
        self.memory = SharedMemory(SHARED_BYTES)
        self._lock = threading.Lock()
        self._starting = threading.Lock()
        self._life: _Life | None = None
        self._generations = 0
        self._ids = 0
        self._closed = False

    @property
    def pid(self) -> int | None:
        """The process that runs now."""
        life = self._life
        return life.process.pid if life is not None and not life.dead else None

    def start(self) -> int:
        """Start the process if none runs; its generation."""
        with self._starting:
            if self._closed:
                raise ProcessLost("the HDF5 writer is closed")
            life = self._life
            if life is None or life.dead:
                life = self._start()
            return life.generation

    def _start(self) -> _Life:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            module = "hangard.backends.hdf5_process"
            process = subprocess.Popen(
                # -P: no module of the directory we happen to run in.
                [sys.executable, "-P", "-m", module, str(theirs.fileno()), str(self.memory.fd)],
                pass_fds=(theirs.fileno(), self.memory.fd),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
        self._generations += 1
        life = _Life(self._generations, process, ours)
        with self._lock:
            self._life = life
        name = f"hdf5-replies-{life.generation}"
        threading.Thread(target=self._listen, args=(life,), name=name, daemon=True).start()
        return life

    def _listen(self, life: _Life) -> None:
        """Hand out the answers of one life, and see it to its end."""
        try:
            with contextlib.suppress(ConnectionError):
                self._hand_out(life)
            with contextlib.suppress(subprocess.TimeoutExpired):
                life.process.wait(END_S_MAX)
        finally:
            # A killed process is waited for: nothing reads the shared memory after this.
            if life.process.poll() is None:
                life.process.kill()
                life.process.wait()
            with self._lock:
                life.dead = True
                lost, life.waiting = life.waiting, {}
            life.connection.close()
            for future in lost.values():
                future.set_exception(ProcessLost("the HDF5 process died"))

    def _hand_out(self, life: _Life) -> None:
        decoder: msgspec.msgpack.Decoder[Reply] = msgspec.msgpack.Decoder(Reply)
        while data := life.connection.recv(MESSAGE_BYTES_MAX):
            reply = decoder.decode(data)
            with self._lock:
                future = life.waiting.pop(reply.id)
            if isinstance(reply, Done):
                future.set_result(reply.offsets)
            else:
                future.set_exception(OSError(reply.errno, reply.reason))

    def submit(
        self, generation: int, make: Callable[[int], Request], passed_fd: int | None = None
    ) -> Future[list[int]]:
        """Send the request that ``make`` builds around its id.

        The future fails with OSError when HDF5 refused, with ProcessLost when that life of the
        process has ended.
        """
        future: Future[list[int]] = Future()
        with self._lock:
            life = self._life
            if life is None or life.generation != generation or life.dead:
                future.set_exception(ProcessLost("the HDF5 process of this file has ended"))
                return future
            self._ids += 1
            request = make(self._ids)
            life.waiting[request.id] = future
        packet = msgspec.msgpack.encode(request)
        # A failed send means a dead process; the listening thread then fails all that waits.
        with contextlib.suppress(OSError):
            socket.send_fds(life.connection, [packet], [] if passed_fd is None else [passed_fd])
        return future

    def wait(self, generation: int, future: Future[list[int]]) -> list[int]:
        """The answer. Errors: ProcessLost, OSError as of submit."""
        try:
            return future.result(REPLY_S_MAX)
        except TimeoutError:
            self.kill(generation)
            return future.result()

    def kill(self, generation: int) -> None:
        """End a life of the process whose libhdf5 cannot be relied on; returns when it is dead."""
        life = self._life
        if life is not None and life.generation == generation and not life.dead:
            life.process.kill()
            life.process.wait()

    def is_readable(self, path: os.PathLike[str]) -> bool:
        """Whether h5py opens a file that nobody writes, and finds all its chunks.

        A file that makes libhdf5 crash is not readable either; segments that are open then are
        lost, so this belongs to the start of the daemon.
        """
        generation = self.start()
        answer = self.submit(generation, lambda id: CheckFile(id, os.fspath(path)))
        try:
            self.wait(generation, answer)
        except (OSError, ProcessLost):
            return False
        return True

    def close(self) -> None:
        """End the process; it closes the files it still has open."""
        with self._starting:
            self._closed = True
            life = self._life
        if life is not None and not life.dead:
            with contextlib.suppress(OSError):
                life.connection.shutdown(socket.SHUT_WR)
            with contextlib.suppress(subprocess.TimeoutExpired):
                life.process.wait(END_S_MAX)
            self.kill(life.generation)

    def __enter__(self) -> Hdf5Writer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
