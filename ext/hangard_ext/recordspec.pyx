"""Record specs to and from bytes: where the bytes of one digest lie on this machine.

Format   32 bytes, little-endian, permanent:

    offset size type  field
    0      1    u8    format code of the backend (decimal: 00 -> 0, 10 -> 10, 20 -> 20, ...)
    1      1    u8    flags (bit 0: the chunk is stored raw, HDF5's filter mask is set;
                      bit 1: samples of a chunk differ in length, the row is a byte;
                      bits 4-6, of codecs 2 and 3: item size of their byte shuffle as power of
                      two, 0 for none)
    2      1    u8    codec of the chunk (0 raw, 1 Blosc2, 2 zlib stream, 3 LZF)
    3      1    u8    reserved, 0
    4      4    u32   segment number
    8      8    u64   offset of the chunk, row or payload in the segment's file, bytes
    16     4    u32   stored length of the chunk, row or payload, bytes
    20     4    u32   row in the chunk; with bit 1 the sample's first byte in it
    24     4    u32   CRC32C of the sample's raw bytes
    28     4    u32   shape id: 0 the column's shape; top bit set: the length of a 1-D sample,
                      of a text or of bytes; else the number of an interned shape

Errors   OverflowError for a value that does not fit its field, ValueError for bytes that are not
         specs, TypeError for values that are no integers.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

import operator

import numpy as np

RECORD_SPEC_BYTES = 32
FLAG_RAW_CHUNK = 1
FLAG_RAGGED = 2
SHAPE_IS_LENGTH = 1 << 31
CODEC_RAW = 0
CODEC_BLOSC2 = 1
CODEC_GZIP = 2
CODEC_LZF = 3
SHUFFLE_SHIFT = 4

SPEC_DTYPE = np.dtype(
    [
        ("format_code", "u1"),
        ("flags", "u1"),
        ("codec", "u1"),
        ("reserved", "u1"),
        ("segment", "<u4"),
        ("offset", "<u8"),
        ("stored_length", "<u4"),
        ("row", "<u4"),
        ("crc", "<u4"),
        ("shape_id", "<u4"),
    ]
)


cdef inline void store_u32(uint8_t *to, uint32_t value) noexcept nogil:
    to[0] = value & 0xFF
    to[1] = (value >> 8) & 0xFF
    to[2] = (value >> 16) & 0xFF
    to[3] = value >> 24


cdef inline void store_u64(uint8_t *to, uint64_t value) noexcept nogil:
    store_u32(to, <uint32_t>value)
    store_u32(to + 4, <uint32_t>(value >> 32))


cdef inline uint32_t load_u32(const uint8_t *at) noexcept nogil:
    return at[0] | <uint32_t>at[1] << 8 | <uint32_t>at[2] << 16 | <uint32_t>at[3] << 24


cdef inline uint64_t load_u64(const uint8_t *at) noexcept nogil:
    return load_u32(at) | <uint64_t>load_u32(at + 4) << 32


def pack_one(
    uint8_t format_code,
    uint8_t flags,
    uint8_t codec,
    uint32_t segment,
    uint64_t offset,
    uint32_t stored_length,
    uint32_t row,
    uint32_t crc,
    uint32_t shape_id=0,
):
    """The 32 bytes of one spec."""
    cdef uint8_t spec[32]
    spec[0] = format_code
    spec[1] = flags
    spec[2] = codec
    spec[3] = 0
    store_u32(spec + 4, segment)
    store_u64(spec + 8, offset)
    store_u32(spec + 16, stored_length)
    store_u32(spec + 20, row)
    store_u32(spec + 24, crc)
    store_u32(spec + 28, shape_id)
    return spec[:32]


def unpack_one(const uint8_t[::1] spec not None):
    """(format_code, flags, codec, segment, offset, stored_length, row, crc, shape_id)."""
    if spec.shape[0] != 32:
        raise ValueError(f"a spec has 32 bytes, not {spec.shape[0]}")
    cdef const uint8_t *at = &spec[0]
    if at[3] != 0:
        raise ValueError(f"reserved byte of a spec is {at[3]}, not 0")
    return (
        at[0],
        at[1],
        at[2],
        load_u32(at + 4),
        load_u64(at + 8),
        load_u32(at + 16),
        load_u32(at + 20),
        load_u32(at + 24),
        load_u32(at + 28),
    )


cdef object checked_column(object values, str name, int field_bytes):
    """`values` as a contiguous little-endian unsigned array of the field's width, (n,) or ()."""
    array = np.asarray(values)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} takes integers, not {array.dtype}")
    if array.ndim > 1:
        raise ValueError(f"{name} has {array.ndim} dimensions, one is allowed")
    wanted = np.dtype(f"<u{field_bytes}")
    if array.dtype == wanted:
        return np.require(array, requirements="C")
    if array.size and (array.dtype.kind == "i" or array.dtype.itemsize > field_bytes):
        low, high = operator.index(array.min()), operator.index(array.max())
        if low < 0 or high >> (8 * field_bytes):
            raise OverflowError(f"{name} {low if low < 0 else high} does not fit {field_bytes} bytes")
    return np.require(array.astype(wanted), requirements="C")


def pack_many(
    format_code, flags, codec, segment, offset, stored_length, row, crc, shape_id=0
):
    """Specs (n, 32) uint8; each field is one integer for all, or an integer array (n,)."""
    columns = [
        (0, checked_column(format_code, "format_code", 1)),
        (1, checked_column(flags, "flags", 1)),
        (2, checked_column(codec, "codec", 1)),
        (4, checked_column(segment, "segment", 4)),
        (8, checked_column(offset, "offset", 8)),
        (16, checked_column(stored_length, "stored_length", 4)),
        (20, checked_column(row, "row", 4)),
        (24, checked_column(crc, "crc", 4)),
        (28, checked_column(shape_id, "shape_id", 4)),
    ]
    lengths = {len(column) for _, column in columns if column.ndim == 1}
    if len(lengths) != 1:
        raise ValueError(f"one length is needed among the fields that are arrays, got {lengths}")
    out = np.zeros((lengths.pop(), 32), dtype=np.uint8)
    if not len(out):
        return out
    cdef uint8_t[:, ::1] specs = out
    cdef const uint8_t[::1] source
    cdef const uint8_t *at
    cdef uint8_t *to
    cdef Py_ssize_t i, n = specs.shape[0], step
    cdef int width, position
    for position, column in columns:
        width = column.dtype.itemsize
        source = column.reshape(-1).view(np.uint8)
        step = width if column.ndim == 1 else 0
        at = &source[0]
        to = &specs[0, position]
        with nogil:
            if width == 1:
                for i in range(n):
                    to[i * 32] = at[i * step]
            elif width == 4:
                for i in range(n):
                    memcpy(to + i * 32, at + i * step, 4)
            else:
                for i in range(n):
                    memcpy(to + i * 32, at + i * step, 8)
    return out


def unpack_many(specs):
    """The same bytes as a structured array (n,) of SPEC_DTYPE; shares memory where it can."""
    array = np.asarray(specs)
    if array.dtype != np.uint8 or array.ndim != 2 or array.shape[1] != 32:
        raise ValueError(f"specs are (n, 32) uint8, not {array.shape} {array.dtype}")
    records = np.ascontiguousarray(array).view(SPEC_DTYPE).reshape(len(array))
    if records["reserved"].any():
        raise ValueError("reserved byte of a spec is not 0")
    return records
