"""One piece of maintenance at a time: gc, purge, repack; and how far it is."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from hangard.errors import Busy


@dataclass(frozen=True, slots=True)
class Stage:
    """``verb`` is empty when nothing runs; ``total`` 0 when it is not known."""

    verb: str = ""
    stage: str = ""
    done: int = 0
    total: int = 0


class Maintenance:
    """Who may move rows from file to file, or drop files. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stage = Stage()

    @contextmanager
    def run(self, verb: str) -> Iterator[None]:
        """Errors: Busy (``maintenance-running``)."""
        if not self._lock.acquire(blocking=False):
            raise Busy(
                f"{self._stage.verb} runs already; wait until it has ended",
                code="maintenance-running",
            )
        try:
            self._stage = Stage(verb)
            yield
        finally:
            self._stage = Stage()
            self._lock.release()

    def progress(self, stage: str, done: int, total: int) -> None:
        """Tell how far the work is that runs."""
        self._stage = Stage(self._stage.verb, stage, done, total)

    @property
    def stage(self) -> Stage:
        """What runs, and how far it is."""
        return self._stage
