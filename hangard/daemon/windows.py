"""Windows: shared memory through which clients hand rows over.

The daemon copies rows out with ``preadv`` into private memory before it answers: one copy, without
the GIL, an errno where a mapping would give SIGBUS, and no client can change bytes that were
hashed. Windows are counted as pinned memory and end with their client's connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import secrets
import socket

from hangard.daemon.connection import may_connect
from hangard.daemon.events import EventLog
from hangard.daemon.memory import Memory
from hangard.errors import Busy, HangardError, InvalidRequest
from hangard.limits import WINDOW_BYTES, WINDOWS_PER_CLIENT_MAX
from hangard.wire import windows as wire

CLIENTS_MAX = 128
FIRST_NUMBER_BITS = 60  # numbers are signed and of 64 bits
ASK_S_MAX = 10.0  # for a client to say what it wants


class Windows:
    """All windows that are handed out. Used on the event loop only."""

    def __init__(self, memory: Memory, events: EventLog) -> None:
        self._memory = memory
        self._events = events
        self._descriptors: dict[int, int] = {}
        # A client that outlived another daemon may still name that one's windows: such a number
        # must lead nowhere, and never to the rows of somebody else.
        self._next = secrets.randbits(FIRST_NUMBER_BITS)
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def count(self) -> int:
        return len(self._descriptors)

    async def serve(self, listener: socket.socket) -> None:
        """Accept clients until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            peer, _ = await loop.sock_accept(listener)
            peer.setblocking(False)
            task = asyncio.create_task(self._attend(peer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def read_into(self, number: int, offset: int, target: memoryview) -> None:
        """Copy bytes out of a window. Errors: InvalidRequest (``unknown-window``,
        ``invalid-window-range``)."""
        descriptor = self._descriptors.get(number)
        if descriptor is None:
            raise InvalidRequest(f"there is no window {number}", code="unknown-window")
        if offset + len(target) > WINDOW_BYTES:
            raise InvalidRequest(
                f"bytes {offset} to {offset + len(target)} are not all in a window of"
                f" {WINDOW_BYTES}",
                code="invalid-window-range",
            )
        position = 0
        while position < len(target):
            count = os.preadv(descriptor, [target[position:]], offset + position)
            if not count:
                raise InvalidRequest(f"window {number} ended early", code="invalid-window-range")
            position += count

    async def close(self) -> None:
        """Take all windows back."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _attend(self, peer: socket.socket) -> None:
        numbers: list[int] = []
        try:
            if not may_connect(peer) or len(self._tasks) > CLIENTS_MAX:
                self._events.write("window-refused", level="warning")
                return
            loop = asyncio.get_running_loop()
            async with asyncio.timeout(ASK_S_MAX):
                wanted = wire.decode_ask(await loop.sock_recv(peer, wire.ASK.size))
            numbers = self._make(min(wanted, WINDOWS_PER_CLIENT_MAX))
            answer = wire.encode_answer(len(numbers), numbers[0] if numbers else 0, WINDOW_BYTES)
            descriptors = [self._descriptors[number] for number in numbers]
            socket.send_fds(peer, [answer], descriptors)
            # Nothing more is said; the end of the connection is the end of its windows.
            while await loop.sock_recv(peer, 1):
                pass
        except (OSError, TimeoutError, HangardError) as error:
            self._events.write("window-lost", error=error)
        finally:
            for number in numbers:
                self._drop(number)
            peer.close()

    def _make(self, count: int) -> list[int]:
        numbers = []
        for _ in range(count):
            with contextlib.suppress(Busy):
                self._memory.pin(WINDOW_BYTES)
                number, self._next = self._next, self._next + 1
                self._descriptors[number] = _sealed_memory()
                numbers.append(number)
        return numbers

    def _drop(self, number: int) -> None:
        os.close(self._descriptors.pop(number))
        self._memory.unpin(WINDOW_BYTES)


def _sealed_memory() -> int:
    """A memfd of WINDOW_BYTES that nobody can shrink or grow."""
    descriptor = os.memfd_create("hangard-window", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(descriptor, WINDOW_BYTES)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, wire.SEALS)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
