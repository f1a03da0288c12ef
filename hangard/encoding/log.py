"""Log files (format code 20): a header, then records one after the other, each at a multiple of 8.

All integers little-endian.

    header  0   8   magic b"HGDLOG\\0\\0"
            8   4   version, 1
            12  4   segment number

    records         hangard_ext.logrecord

What is no whole record ends the valid part: a crash tore it, or nothing was written there yet.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from hangard_ext.logrecord import find_record, scan

from hangard.errors import Corrupt

MAGIC = b"HGDLOG\0\0"
VERSION = 1
HEADER_BYTES = 16

Bytes = npt.NDArray[np.uint8]


def log_header(segment: int) -> bytes:
    """The first 16 bytes of the file."""
    return MAGIC + struct.pack("<II", VERSION, segment)


def log_number(content: bytes | bytearray | memoryview) -> int:
    """The segment number in a log's header. Errors: Corrupt (``not-a-log``)."""
    head = bytes(memoryview(content)[:HEADER_BYTES])
    if len(head) < HEADER_BYTES or head[:12] != log_header(0)[:12]:
        raise Corrupt("not a log, or one of a newer version", code="not-a-log")
    (number,) = struct.unpack_from("<I", head, 12)
    return int(number)


@dataclass(frozen=True, slots=True)
class LogRecords:
    """Records that follow each other; ``end_bytes`` is where the last one ends in the file."""

    kinds: Bytes  # (n,)
    digests: Bytes  # (n, 32)
    specs: Bytes  # (n, 32)
    end_bytes: int


def scan_log(content: bytes | bytearray | memoryview, start: int = HEADER_BYTES) -> LogRecords:
    """All whole records from byte ``start`` of the file on, up to what is none.

    ``start`` is HEADER_BYTES or an end that an earlier scan gave.
    Errors: Corrupt (``not-a-log``).
    """
    return LogRecords(*scan(content, log_number(content), max(start, HEADER_BYTES)))


def next_record(content: bytes | bytearray | memoryview, start: int) -> int:
    """Where the first whole record at or behind ``start`` begins; the file's length if none does.

    For reading on behind damage. Errors: Corrupt (``not-a-log``).
    """
    return find_record(content, log_number(content), start)
