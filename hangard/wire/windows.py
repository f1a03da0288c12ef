"""What is said on the windows' socket, and the seals of a window.

A window is a memfd that the daemon makes, seals and hands out; a client maps it, writes rows into
it and names it in its requests. It is free again when the request is answered. Windows belong to
the connection on which they were handed out, and end with it.

Offset tables (little-endian)::

    the client asks                     the daemon answers, with the descriptors
    offset  size  what                  offset  size  what
    0       3     b"HGW"                0       3     b"HGW"
    3       1     PROTOCOL_VERSION      3       1     PROTOCOL_VERSION
    4       4     windows wanted, u32   4       4     windows given, u32; 0: no memory is left
                                        8       8     number of the first, u64
                                        16      8     bytes of each, u64
"""

from __future__ import annotations

import fcntl
import struct
from typing import Final

from hangard.errors import Unavailable
from hangard.wire.protocol import PROTOCOL_VERSION

MAGIC: Final = b"HGW"
ASK: Final = struct.Struct("<3sBI")
ANSWER: Final = struct.Struct("<3sBIQQ")

# Whoever could shrink a window would end a reader of its mapping with SIGBUS.
SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


def encode_ask(count: int) -> bytes:
    return ASK.pack(MAGIC, PROTOCOL_VERSION, count)


def decode_ask(raw: bytes) -> int:
    """How many windows are wanted. Errors: Unavailable (``protocol-mismatch``)."""
    if len(raw) != ASK.size:
        raise _mismatch()
    magic, version, count = ASK.unpack(raw)
    if magic != MAGIC or version != PROTOCOL_VERSION:
        raise _mismatch()
    return int(count)


def encode_answer(count: int, first: int, size_bytes: int) -> bytes:
    return ANSWER.pack(MAGIC, PROTOCOL_VERSION, count, first, size_bytes)


def decode_answer(raw: bytes) -> tuple[int, int, int]:
    """Count, number of the first, bytes of each. Errors: Unavailable (``protocol-mismatch``)."""
    if len(raw) != ANSWER.size:
        raise _mismatch()
    magic, version, count, first, size_bytes = ANSWER.unpack(raw)
    if magic != MAGIC or version != PROTOCOL_VERSION:
        raise _mismatch()
    return count, first, size_bytes


def _mismatch() -> Unavailable:
    return Unavailable(
        "the windows' socket speaks another protocol version; restart daemon and client",
        code="protocol-mismatch",
    )
