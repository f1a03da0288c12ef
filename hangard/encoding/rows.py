"""The ``.rows`` file beside a segment: which digest lies where. The index is rebuilt from these.

Append-only. All integers little-endian; one record for each batch that was appended.

    header  0   8     magic b"HGDROWS\\0"
            8   4     version, 1
            12  4     segment number

    record  0   4     magic b"ROWS"
            4   4     n, the number of rows
            8   4     CRC32C of bytes 12 up to the record's end, then of bytes 4 to 8
            12  4     0
            16  32 n  digests
            ..  32 n  specs (hangard_ext.recordspec)

A record that is cut short or whose checksum is wrong ends the valid part: a crash tore it.
"""

from __future__ import annotations

import struct

import numpy as np
import numpy.typing as npt
from hangard_ext.digest import crc32c

from hangard.errors import Corrupt

MAGIC = b"HGDROWS\0"
VERSION = 1
HEADER_BYTES = 16
RECORD_MAGIC = b"ROWS"
_HEAD = struct.Struct("<4sIII")

Bytes = npt.NDArray[np.uint8]


def rows_header(segment: int) -> bytes:
    """The first 16 bytes of the file."""
    return MAGIC + struct.pack("<II", VERSION, segment)


def encode_rows(digests: Bytes, specs: Bytes) -> bytes:
    """One record; digests and specs (n, 32)."""
    count = struct.pack("<I", len(digests))
    payload = bytes(4) + digests.tobytes() + specs.tobytes()
    checksum = crc32c(count, crc32c(payload))
    return RECORD_MAGIC + count + struct.pack("<I", checksum) + payload


def scan_rows(content: bytes, start: int = 0) -> tuple[Bytes, Bytes, int]:
    """Digests (n, 32), specs (n, 32) of all valid records from byte ``start`` on, and their end.

    ``start`` is 0 or an end that an earlier scan gave. A file shorter than its header holds none.
    Errors: Corrupt (``not-a-rows-file``).
    """
    none = np.empty((0, 32), np.uint8)
    if len(content) < HEADER_BYTES:
        return none, none.copy(), 0
    if content[:8] != MAGIC or struct.unpack_from("<I", content, 8)[0] != VERSION:
        raise Corrupt("not a rows file, or one of a newer version", code="not-a-rows-file")
    offset = max(start, HEADER_BYTES)
    digests, specs = [none], [none]
    while (record := _record_at(content, offset)) is not None:
        digests.append(record[0])
        specs.append(record[1])
        offset += _HEAD.size + record.nbytes
    return np.concatenate(digests), np.concatenate(specs), offset


def next_rows_record(content: bytes, start: int) -> int:
    """Where the first valid record at or behind ``start`` begins; the length if none does.

    For reading on behind damage.
    """
    position = content.find(RECORD_MAGIC, start)
    while position >= 0:
        if _record_at(content, position) is not None:
            return position
        position = content.find(RECORD_MAGIC, position + 1)
    return len(content)


def _record_at(content: bytes, offset: int) -> Bytes | None:
    """Digests and specs (2, n, 32) of the record at ``offset``, None if there is no valid one."""
    if offset + _HEAD.size > len(content):
        return None
    magic, n, checksum, _ = _HEAD.unpack_from(content, offset)
    begin, end = offset + _HEAD.size, offset + _HEAD.size + 64 * n
    if magic != RECORD_MAGIC or end > len(content):
        return None
    view = memoryview(content)
    if crc32c(view[offset + 4 : offset + 8], crc32c(view[offset + 12 : end])) != checksum:
        return None
    return np.frombuffer(view, np.uint8, 64 * n, begin).reshape(2, n, 32)
