"""Records of LMDB's smaller databases: msgspec structs as msgpack arrays, keys and counters.

A field is only ever added at the end, with a default: array-like structs then read older records.

    database   key                          value
    refs       b"heads/NAME", b"tags/NAME"  commit digest (b"": a branch without a commit yet)
               b"annotations/NAME"          digest of the tag object of tags/NAME
               b"HEAD"                      name of the branch, UTF-8
    reflog     u64, big-endian, rising      ReflogEntry
    objects    digest                       kind byte and record (objects.py)
    shapes     u32, big-endian              u64 little-endian for each dimension
    config     name, UTF-8                  value, UTF-8
    files      path below .hangard, UTF-8   FileRecord (model/files.py)
    index      digest                       spec (hangard_ext.recordspec)
    sessions   id, UTF-8                    SessionRecord
    commands   b"i" + command id            CommandRecord
               b"n" + u64, big-endian       command id: order of their arrival, to forget the oldest
    meta       name                         u64, little-endian, or plain bytes
               b"purged/" + digest          u64, little-endian: when that sample was erased,
                                            in nanoseconds since the epoch
               b"name/" + what a commit is  commit digest
               called elsewhere
"""

from __future__ import annotations

import struct
from typing import Any, TypeVar

import msgspec

from hangard.errors import Corrupt
from hangard.model.commit import Digest
from hangard.model.files import FileRecord

CREATED_VERSION = "created_version"  # in ``meta``: the version of hangard that made it, as text
HEADS = b"heads/"
TAGS = b"tags/"
ANNOTATIONS = b"annotations/"
HEAD = b"HEAD"
PURGED = b"purged/"
OTHER_NAMES = b"name/"

U32_KEY = struct.Struct(">I")
U64_KEY = struct.Struct(">Q")
COUNTER = struct.Struct("<Q")


class ReflogEntry(msgspec.Struct, frozen=True, array_like=True):
    """One movement of a ref. ``ref`` is its full name (``heads/main``), b"" stands for absent."""

    time_ns: int
    ref: str
    before: Digest
    after: Digest
    action: str  # "commit: MESSAGE", "branch: created", ...
    user: str = ""


class SessionRecord(msgspec.Struct, frozen=True, array_like=True):
    """A session as it stands on disk; what is staged lies in its journal.

    ``base``                digest of the base commit, b"" before the first
    ``consumed_bytes``      position in the journal up to which commits have taken its records
    ``streams``             last sequence number among them, of each stream
    ``journal``             generation of the journal that ``consumed_bytes`` speaks of
    ``used_ns``             last use; the session expires SESSION_AGE_S_MAX after it
    """

    id: str
    branch: str
    base: Digest
    created_ns: int
    used_ns: int
    exclusive: bool = False
    user: str = ""
    pid: int = 0
    consumed_bytes: int = 0
    streams: dict[int, int] = {}
    journal: int = 0


class CommandRecord(msgspec.Struct, frozen=True, array_like=True):
    """The answer to a commit command, given again if the command is repeated."""

    number: int
    commit: Digest
    parent: Digest
    branch: str
    rebased: bool = False


R = TypeVar("R", ReflogEntry, SessionRecord, CommandRecord, FileRecord)

_encoder = msgspec.msgpack.Encoder()
_decoders: dict[type, msgspec.msgpack.Decoder[Any]] = {
    kind: msgspec.msgpack.Decoder(kind)
    for kind in (ReflogEntry, SessionRecord, CommandRecord, FileRecord)
}


def encode_record(record: ReflogEntry | SessionRecord | CommandRecord | FileRecord) -> bytes:
    return _encoder.encode(record)


def decode_record(kind: type[R], value: bytes | memoryview) -> R:
    """Errors: Corrupt (``damaged-record``)."""
    try:
        return _decoders[kind].decode(value)  # type: ignore[no-any-return]
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Corrupt(f"{kind.__name__} is damaged: {error}", code="damaged-record") from error


def encode_shape(shape: tuple[int, ...]) -> bytes:
    return struct.pack(f"<{len(shape)}Q", *shape)


def decode_shape(value: bytes | memoryview) -> tuple[int, ...]:
    """Errors: Corrupt (``damaged-record``)."""
    if len(value) % 8:
        raise Corrupt(f"a shape of {len(value)} bytes is damaged", code="damaged-record")
    return struct.unpack(f"<{len(value) // 8}Q", value)
