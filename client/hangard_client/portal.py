"""One event loop on a thread: where a synchronous client's coroutines run."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from hangard.errors import Closed

T = TypeVar("T")


class Portal:
    """Starts its thread at the first use; ``close`` ends it. Thread-safe.

    Belongs to the process that made it: after a fork the thread is not there, and every use in the
    child is refused.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closed = False
        self._pid = os.getpid()

    @property
    def is_running(self) -> bool:
        """Whether the thread was started, and in this process."""
        return self._loop is not None and os.getpid() == self._pid

    def loop(self) -> asyncio.AbstractEventLoop:
        """The running loop. Errors: Closed."""
        if os.getpid() != self._pid:
            raise Closed(
                "this client was made before a fork; open the repository again in this process",
                code="forked",
            )
        with self._lock:
            if self._closed:
                raise Closed("the client is closed", code="client-closed")
            if self._loop is None:
                # Imported here: a client that only reads needs no loop.
                import uvloop

                self._loop = uvloop.new_event_loop()
                self._thread = threading.Thread(
                    target=_run, args=(self._loop,), name="hangard-client", daemon=True
                )
                self._thread.start()
            return self._loop

    def start(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Run a coroutine on the loop, without waiting."""
        try:
            return asyncio.run_coroutine_threadsafe(work, self.loop())
        except BaseException:
            work.close()
            raise

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop and wait for its result."""
        future = self.start(work)
        try:
            return future.result()
        except BaseException:
            # Ctrl-C while waiting: nobody wants the answer any more.
            future.cancel()
            raise

    def abandon(self, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """End the thread after ``last()``, without waiting: nobody is left who could."""
        with self._lock:
            self._closed = True
            loop = self._loop
            self._loop = self._thread = None
        if loop is None or os.getpid() != self._pid:
            return

        async def end() -> None:
            try:
                await last()
                await _cancel_others()
            finally:
                loop.stop()

        loop.call_soon_threadsafe(lambda: loop.create_task(end()))

    def close(self) -> None:
        """End the thread; whoever still runs there is cancelled. May be called twice."""
        with self._lock:
            self._closed = True
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is None or thread is None or os.getpid() != self._pid:
            return
        asyncio.run_coroutine_threadsafe(_cancel_others(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


def _run(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
    finally:
        loop.close()


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_default_executor()
