"""Who writes a digest that nobody has stored yet: one table for all batches in flight.

A batch first claims and writes every digest that nobody holds, and only then waits for those that
others hold; so two batches never wait for each other. A claim ends when its bytes are in the index
or its writer failed; then one of those who waited claims it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from hangard_ext.table import Table

from hangard.repository.usage import Usage

Digests = npt.NDArray[np.uint8]
Finder = Callable[[Digests], tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]]


@dataclass(slots=True)
class Claim:
    """The digests that one batch took on itself; ``done`` is set when it wrote them or failed."""

    number: int
    digests: Digests
    done: threading.Event = field(default_factory=threading.Event)


class ClaimTable:
    """Digests being written at this moment. Thread-safe."""

    def __init__(self, find_many: Finder, usage: Usage | None = None) -> None:
        """``usage`` gets to know every digest that was found or claimed."""
        self._find_many = find_many
        self._usage = usage or Usage()
        self._lock = self._usage.lock
        self._table = Table()
        self._claims: dict[int, Claim] = {}
        self._next_number = 1

    def claim(self, digests: Digests) -> tuple[Claim, npt.NDArray[np.int64], list[Claim]]:
        """Take on every digest that is neither stored nor claimed.

        ``digests`` (n, 32), distinct. Gives the claim, the positions in ``digests`` it covers, and
        the claims of others that hold some of the rest. Errors: Purged.
        """
        with self._lock:
            self._usage.check_allowed(digests)
            self._usage.note(digests)
            _, stored = self._find_many(digests)
            absent = np.flatnonzero(~stored)
            wanted = digests if len(absent) == len(digests) else digests[absent]
            holders = np.zeros((len(absent), 32), np.uint8)
            found = np.zeros(len(absent), np.uint8)
            if self._table.find_many(np.ascontiguousarray(wanted), holders, found):
                free = found == 0
                mine, wanted = absent[free], wanted[free]
            else:
                mine = absent
            claim = Claim(self._next_number, np.ascontiguousarray(wanted))
            self._next_number += 1
            if len(mine):
                self._claims[claim.number] = claim
                self._table.add_many(claim.digests, _as_specs(claim.number, len(mine)))
            numbers = np.unique(holders[found != 0][:, :8].copy().view("<u8"))
            return claim, mine, [self._claims[int(number)] for number in numbers]

    def release(self, claim: Claim) -> None:
        """End a claim, written or failed, and wake those who wait for it."""
        with self._lock:
            if self._claims.pop(claim.number, None) is not None:
                if self._claims:
                    self._table.discard_many(claim.digests)
                else:
                    self._table.clear()  # much faster than taking them out one by one
        claim.done.set()


def _as_specs(number: int, n: int) -> npt.NDArray[np.uint8]:
    """A claim's number in the first 8 of the table's 32 value bytes, n times."""
    row = np.zeros(32, np.uint8)
    row[:8].view("<u8")[0] = number
    return np.broadcast_to(row, (n, 32)).copy()
