"""Which digests somebody counts on although nothing names them yet, while gc decides what may go.

A batch that finds a sample stored does not write it again; a commit that finds a node stored does
not either. So what gc found unreachable may be needed a moment later. The protocol:

- finding (or claiming to write) a digest and noting it here is one step under ``lock``;
- gc first begins to ``watch``: from then on all that is found or claimed is noted. Work that found
  digests before that is waited for (``in_flight``), or holds them where gc sees them (``hold``: a
  batch that is stored and waits to be staged);
- then gc reads, in the direction in which work flows, what is held, what sessions have staged, and
  what refs name, and marks what these lead to;
- files that are to go are *hidden* in one step under ``lock``, and only if all that the index still
  has in them is unmarked and was not noted meanwhile. From then on look-ups do not find it, so who
  puts the same content again writes it anew, elsewhere.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
from hangard_ext.table import Table

from hangard.errors import Purged

Digests = npt.NDArray[np.uint8]


class Usage:
    """Thread-safe."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._noted: Table | None = None
        self._purged = Table()
        self._works: dict[int, int] = {}  # number of a work -> generation in which it began
        self._next_work = 0
        self._generation = 0
        self._ended = threading.Condition(threading.Lock())
        self._held: weakref.WeakSet[Any] = weakref.WeakSet()

    def note(self, digests: Digests) -> None:
        """Somebody counts on these from now on; called under ``lock``, with the look-up."""
        if self._noted is not None and len(digests):
            digests = np.ascontiguousarray(digests)
            self._noted.add_many(digests, digests)

    @contextmanager
    def in_flight(self) -> Iterator[None]:
        """Around work that finds or writes digests which something names when it is over, or which
        are held then."""
        with self._ended:
            number = self._next_work
            self._next_work += 1
            self._works[number] = self._generation
        try:
            yield
        finally:
            with self._ended:
                del self._works[number]
                self._ended.notify_all()

    def check_allowed(self, digests: Digests) -> None:
        """Errors: Purged, if one of them was erased and is not to come back."""
        erased = self.were_purged(digests)
        if erased.any():
            digest = digests[int(np.argmax(erased))].tobytes()
            raise Purged(
                f"sample {digest.hex()} was erased from this repository, and what is equal to it is"
                " refused; hangard purge --undo takes that back",
                digest=digest,
            )

    def were_purged(self, digests: Digests) -> npt.NDArray[np.bool_]:
        """Which of these were erased."""
        found = np.zeros(len(digests), np.uint8)
        if len(self._purged):
            digests = np.ascontiguousarray(digests)
            self._purged.find_many(digests, np.empty((len(digests), 32), np.uint8), found)
        return found.view(np.bool_)

    def purge(self, digests: Digests) -> None:
        """Refuse these from now on; a few million at most, they are kept in memory."""
        with self.lock:
            self._purged.add_many(digests, digests)

    def allow(self, digests: Digests) -> None:
        """Take them again."""
        with self.lock:
            self._purged.discard_many(digests)

    def hold(self, batch: Any) -> None:
        """As long as ``batch`` lives, its ``block.digests`` are counted on."""
        with self._ended:
            self._held.add(batch)

    def held(self) -> list[Digests]:
        """The digests of batches that wait to be staged."""
        with self._ended:
            return [batch.block.digests for batch in self._held]

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Note what is found or claimed; begins when all work in flight has ended."""
        with self.lock:
            self._noted = Table()
        try:
            self.wait_for_earlier()
            yield
        finally:
            with self.lock:
                self._noted = None

    def wait_for_earlier(self) -> None:
        """Wait until all work has ended that is in flight now."""
        with self._ended:
            self._generation += 1
            generation = self._generation
            self._ended.wait_for(lambda: all(began >= generation for began in self._works.values()))

    def noted(self) -> Digests:
        """All that was noted since ``watch`` began, (n, 32)."""
        if self._noted is None:
            return np.empty((0, 32), np.uint8)
        return self._noted.items()[0]

    def were_noted(self, digests: Digests) -> npt.NDArray[np.bool_]:
        """Which of these were noted since ``watch`` began."""
        found = np.zeros(len(digests), np.uint8)
        if self._noted is not None:
            digests = np.ascontiguousarray(digests)
            self._noted.find_many(digests, np.empty((len(digests), 32), np.uint8), found)
        return found.view(np.bool_)
