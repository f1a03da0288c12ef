"""The slow, obvious twin of hangard_ext.recordspec."""

import struct

SPEC = struct.Struct("<BBBBIQIIII")


def pack_one(
    format_code, flags, codec, segment, offset, stored_length, row, crc, shape_id=0
) -> bytes:
    return SPEC.pack(
        format_code, flags, codec, 0, segment, offset, stored_length, row, crc, shape_id
    )


def unpack_one(spec: bytes) -> tuple:
    format_code, flags, codec, _reserved, *rest = SPEC.unpack(spec)
    return (format_code, flags, codec, *rest)
