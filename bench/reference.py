"""What everything else is compared with: memcpy, and the same bytes written with os.pwrite."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.harness import Case

# One pwrite of the raw write: large enough that the system call does not count.
PIECE_BYTES = 4 * 1024 * 1024


def memcpy_case(data: npt.NDArray[Any], name: str = "memcpy") -> Case:
    """Copy the same bytes once, in memory that has been touched before."""
    target = np.ones_like(data)
    return Case(name=name, call=lambda _: np.copyto(target, data), work=data.nbytes, unit="B")


class TouchedFile:
    """A file whose space was written and fsynced before.

    The first touch of disk blocks is five times slower than the disk; left in, it would flatter
    everything that is compared with the raw write.
    """

    def __init__(self, path: Path, size_bytes: int) -> None:
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        piece = bytes(min(PIECE_BYTES, max(size_bytes, 1)))
        for offset in range(0, size_bytes, len(piece)):
            os.pwrite(self.fd, piece[: size_bytes - offset], offset)
        os.fsync(self.fd)

    def close(self) -> None:
        os.close(self.fd)

    def write(self, data: memoryview) -> None:
        """All bytes in large pieces, then fsync."""
        for offset in range(0, len(data), PIECE_BYTES):
            os.pwrite(self.fd, data[offset : offset + PIECE_BYTES], offset)
        os.fsync(self.fd)

    def write_rows(self, rows: npt.NDArray[Any]) -> None:
        """A plain loop over the rows, one pwrite each, without fsync."""
        offset = 0
        for row in rows:
            offset += os.pwrite(self.fd, row, offset)
