"""The slow, obvious twin of hangard_ext.logrecord."""

import struct

from hangard_ext.digest import crc32c

FIELDS = struct.Struct("<4sBBHIIII32s")


def pack(kind, segment, offset, payload, digest, crc, codec=0, shape_id=0) -> bytes:
    def record(checksum):
        fields = (b"HREC", kind, codec, 0, len(payload), checksum, crc, shape_id, digest)
        return FIELDS.pack(*fields) + payload

    covered = struct.pack("<IQ", segment, offset) + record(0)[:12] + record(0)[16:]
    whole = record(crc32c(covered))
    return whole + bytes(-len(whole) % 8)


def spec(record: bytes, segment: int, offset: int) -> bytes:
    _, _, codec, _, length, _, crc, shape_id, _ = FIELDS.unpack_from(record)
    return struct.pack(
        "<BBBBIQIIII", 20, 0, codec, 0, segment, offset + 56, length, 0, crc, shape_id
    )
