"""How much memory requests may hold: bodies, private copies and windows are counted together.

Who finds no room waits for a bounded time, first come, first served, and is then refused with
Busy, so that the daemon never grows beyond its limit.
"""

from __future__ import annotations

import asyncio
from collections import deque
from types import TracebackType

from hangard.errors import Busy

RESERVE_S_MAX = 10.0  # how long a request waits for memory before it is refused


class Reservation:
    """A counted share; give it back with ``release``, any number of times, or by ``with``."""

    __slots__ = ("_memory", "size_bytes")

    def __init__(self, memory: Memory, size_bytes: int) -> None:
        self._memory = memory
        self.size_bytes = size_bytes

    def release(self) -> None:
        size_bytes, self.size_bytes = self.size_bytes, 0
        if size_bytes:
            self._memory._give_back(size_bytes)

    def __enter__(self) -> Reservation:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()


class Memory:
    """The count. Used on the event loop only; ``limit_bytes`` in bytes.

    A request larger than the limit (one sample may be) is let in when nothing else is held but
    what is pinned (windows, which live as long as their clients).
    """

    def __init__(self, limit_bytes: int, *, wait_s: float = RESERVE_S_MAX) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self.pinned_bytes = 0
        self._wait_s = wait_s
        self._waiters: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def waiting(self) -> int:
        return len(self._waiters)

    async def reserve(self, size_bytes: int) -> Reservation:
        """Count ``size_bytes``, waiting for room.

        Errors: Busy (``memory-limit``) when there was none for ``wait_s`` seconds.
        """
        if self._waiters or not self._fits(size_bytes):
            await self._wait(size_bytes)
        else:
            self.used_bytes += size_bytes
        return Reservation(self, size_bytes)

    def pin(self, size_bytes: int) -> None:
        """Count memory that a client keeps; give it back with ``unpin``.

        Errors: Busy (``memory-limit``), at once.
        """
        pinned = self.pinned_bytes + size_bytes
        # The other half is left to requests, which come from every client.
        if self.used_bytes + size_bytes > self.limit_bytes or pinned > self.limit_bytes // 2:
            raise self._busy()
        self.used_bytes += size_bytes
        self.pinned_bytes += size_bytes

    def unpin(self, size_bytes: int) -> None:
        self.pinned_bytes -= size_bytes
        self._give_back(size_bytes)

    async def _wait(self, size_bytes: int) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (size_bytes, future)
        self._waiters.append(entry)
        try:
            async with asyncio.timeout(self._wait_s):
                await future
        except BaseException as error:
            if future.done() and not future.cancelled():
                # Room was given in the same turn of the loop in which the wait ended.
                self._give_back(size_bytes)
            else:
                self._waiters.remove(entry)
                self._admit()
            if isinstance(error, TimeoutError):
                raise self._busy() from None
            raise

    def _busy(self) -> Busy:
        return Busy(
            f"{self.used_bytes} of {self.limit_bytes} bytes for requests are in use",
            code="memory-limit",
        )

    def _fits(self, size_bytes: int) -> bool:
        fits = self.used_bytes + size_bytes <= self.limit_bytes
        return fits or self.used_bytes <= self.pinned_bytes

    def _give_back(self, size_bytes: int) -> None:
        self.used_bytes -= size_bytes
        self._admit()

    def _admit(self) -> None:
        while self._waiters and self._fits(self._waiters[0][0]):
            size_bytes, future = self._waiters.popleft()
            if not future.done():
                self.used_bytes += size_bytes
                future.set_result(None)
