"""The daemon keeps memory that it will need again for the next batch.

By default glibc maps every block of 128 KiB or more afresh and gives it back when it is freed, and
the kernel clears each page of it again: of 60,000 samples of 784 bytes through a window into
backend 10 that was a quarter of the daemon's CPU time (200 against 146 ms: bench/bench_ingest.py).
"""

from __future__ import annotations

import ctypes
from typing import Final

from hangard.limits import MIB

MAPPED_BYTES_MIN: Final = 32 * MIB  # glibc's upper bound; larger blocks are still mapped one by one
KEPT_BYTES_MAX: Final = 128 * MIB  # free memory at the end of the heap; above it goes back

_M_TRIM_THRESHOLD = -1  # numbers of <malloc.h>
_M_MMAP_THRESHOLD = -3


def keep_freed_memory() -> None:
    """Set it for this process. Memory that is held stays bounded by ``memory_bytes_max``."""
    libc = ctypes.CDLL(None)
    libc.mallopt(_M_MMAP_THRESHOLD, MAPPED_BYTES_MIN)
    libc.mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES_MAX)
