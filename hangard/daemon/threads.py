"""The daemon's threads: few that hash and compress, more that wait for the disk.

Nothing queues here without bound: what may wait is bounded by the connections, the pipelines'
queues and the memory.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

# A thread that writes waits for the disk about half of its time.
PREPARE_THREADS = max(2, min(8, 2 * (os.cpu_count() or 1)))
CONTROL_THREADS = 32  # commits that wait for one fsync together


class Threads:
    """Two pools. ``close`` waits for what runs."""

    def __init__(self) -> None:
        self._prepare = ThreadPoolExecutor(PREPARE_THREADS, "hangard-prepare")
        self._control = ThreadPoolExecutor(CONTROL_THREADS, "hangard-control")

    def prepare(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
        """Hash, compress and store rows."""
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(self._prepare, lambda: work(*args, **kwargs))

    def control(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
        """Whatever may wait for a lock or the disk."""
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(self._control, lambda: work(*args, **kwargs))

    def close(self) -> None:
        self._prepare.shutdown(wait=True)
        self._control.shutdown(wait=True)
