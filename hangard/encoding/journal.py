"""Records of a session journal: one for each change request that was staged.

File: 16 bytes of header, then records without padding. All integers little-endian.

    header  0   8   magic b"HGDJRNL\\0"
            8   4   version, 1
            12  4   0

    record  0   4   payload bytes after this 24-byte head
            4   4   CRC32C of bytes 8 up to the record's end
            8   8   sequence number
            16  1   kind (KIND_*)
            17  1   bytes of the column's name
            18  2   flags: 1 = staged together with the record that follows
            20  4   n, the number of keys
            24  ..  column name, UTF-8
                    put, delete: n x u32 ends of the packed keys, the packed keys
                    put: n x 32 digests
                    create, alter: the schema record

A record whose length or checksum is wrong ends the valid part: it was torn by a crash. Records that
are staged together are written at once; a reader drops them if they are not all there.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
from hangard_ext.digest import crc32c

from hangard.errors import Corrupt

MAGIC = b"HGDJRNL\0"
VERSION = 1
HEADER = MAGIC + struct.pack("<II", VERSION, 0)

FLAG_MORE = 1

KIND_PUT, KIND_DELETE, KIND_CREATE, KIND_ALTER, KIND_REMOVE, KIND_SKIP = range(1, 7)

_HEAD = struct.Struct("<IIQBBHI")


@dataclass(frozen=True, slots=True)
class JournalRecord:
    """One staged change. ``digests`` (n, 32) for a put; ``schema`` an encoded schema or b"".

    ``more``: it is staged together with the one that follows, or not at all.
    """

    sequence: int
    kind: int
    column: str = ""
    blob: bytes = b""
    ends: npt.NDArray[np.uint32] = field(default_factory=lambda: np.empty(0, np.uint32))
    digests: npt.NDArray[np.uint8] = field(default_factory=lambda: np.empty((0, 32), np.uint8))
    schema: bytes = b""
    more: bool = False


def encode_journal_record(record: JournalRecord) -> bytes:
    """The record's bytes."""
    name = record.column.encode()
    parts = [name]
    if record.kind in (KIND_PUT, KIND_DELETE):
        parts += (record.ends.astype("<u4", copy=False).tobytes(), record.blob)
    if record.kind == KIND_PUT:
        parts.append(record.digests.tobytes())
    parts.append(record.schema)
    payload = b"".join(parts)
    flags = FLAG_MORE if record.more else 0
    tail = _HEAD.pack(
        len(payload), 0, record.sequence, record.kind, len(name), flags, len(record.ends)
    )[8:]
    checksum = crc32c(payload, crc32c(tail))
    return struct.pack("<II", len(payload), checksum) + tail + payload


def scan_journal(
    content: bytes | memoryview, start: int = 0
) -> Iterator[tuple[JournalRecord, int]]:
    """The valid records from byte ``start`` on, with the offset behind each, up to a torn one.

    ``start`` is 0 or an offset that an earlier scan gave.

    Errors: Corrupt (``not-a-journal``) for a wrong header; a file shorter than one is empty.
    """
    view = memoryview(content)
    if len(view) < len(HEADER):
        return
    if bytes(view[:12]) != HEADER[:12]:
        raise Corrupt("not a session journal, or one of a newer version", code="not-a-journal")
    offset = max(start, len(HEADER))
    while offset + _HEAD.size <= len(view):
        length, checksum, sequence, kind, name_bytes, flags, n = _HEAD.unpack_from(view, offset)
        start = offset + _HEAD.size
        end = start + length
        if end > len(view) or crc32c(view[offset + 8 : end]) != checksum:
            return
        record = _decode_payload(sequence, kind, name_bytes, n, bytes(view[start:end]))
        if record is None:
            return
        yield replace(record, more=True) if flags & FLAG_MORE else record, end
        offset = end


def _decode_payload(
    sequence: int, kind: int, name_bytes: int, n: int, payload: bytes
) -> JournalRecord | None:
    """The record, or None if its fields do not add up (the checksum was right by accident)."""
    if not KIND_PUT <= kind <= KIND_SKIP or name_bytes > len(payload):
        return None
    column, rest = payload[:name_bytes].decode(errors="replace"), payload[name_bytes:]
    if kind not in (KIND_PUT, KIND_DELETE):
        return JournalRecord(sequence, kind, column, schema=rest)
    digests_bytes = 32 * n if kind == KIND_PUT else 0
    blob_bytes = len(rest) - 4 * n - digests_bytes
    if blob_bytes < 0:
        return None
    ends = np.frombuffer(rest, "<u4", n).astype(np.uint32)
    if n and int(ends[-1]) != blob_bytes:
        return None
    blob = rest[4 * n : 4 * n + blob_bytes]
    digests = np.frombuffer(rest, np.uint8, digests_bytes, 4 * n + blob_bytes).reshape(-1, 32)
    return JournalRecord(sequence, kind, column, blob, ends, digests.copy())
