"""A full disk, in whatever words it is told: LMDB reports it as EIO, so the free space is asked."""

from __future__ import annotations

import errno
from collections.abc import Callable

import lmdb

from hangard.errors import NoSpace
from hangard.limits import KIB
from hangard.reading.environment import errno_of

# With less than this left, an EIO of LMDB means a full disk.
FREE_BYTES_MIN = 256 * KIB

_FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def as_no_space(error: BaseException, free_bytes: Callable[[], int]) -> NoSpace | None:
    """The error to raise instead, if it comes from a full disk; ``free_bytes`` asks for its space.

    Codes ``disk-full``, ``map-full``.
    """
    if isinstance(error, NoSpace):
        return error
    if isinstance(error, lmdb.MapFullError):
        return NoSpace("the database has reached the end of its map", code="map-full")
    if not isinstance(error, (lmdb.Error, OSError)):
        return None
    number = errno_of(error) if isinstance(error, lmdb.Error) else error.errno
    if number in _FULL_ERRNOS or (number == errno.EIO and _is_full(free_bytes)):
        return NoSpace(f"the disk is full: {error}", code="disk-full")
    return None


def _is_full(free_bytes: Callable[[], int]) -> bool:
    try:
        return free_bytes() < FREE_BYTES_MIN
    except OSError:
        return False
