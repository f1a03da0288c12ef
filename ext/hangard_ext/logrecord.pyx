"""Records of a log file: packing a batch with its checksums, and finding them again.

Shapes   digests, specs: (n, 32) uint8; rows: (n, row_bytes) uint8; crcs: (n,) uint32; ragged bytes:
         (blob, ends uint64 (n,)), record i is blob[ends[i - 1]:ends[i]].
Errors   ValueError for arrays of a wrong shape, OverflowError for a payload of 4 GiB and more.
Format   a record begins at a multiple of 8; little-endian, permanent:

    offset  size    type  field
    0       4       u8    magic b"HREC"
    4       1       u8    kind (1 sample, 2 tree node)
    5       1       u8    codec of the payload, as in a spec (0 raw)
    6       2       u16   0
    8       4       u32   length of the payload, bytes
    12      4       u32   CRC32C of: u32 segment number, u64 offset of the record in the file,
                          bytes 0 to 11, bytes 16 to the end of the payload
    16      4       u32   CRC32C of the raw bytes of the sample or node
    20      4       u32   shape id
    24      32      u8    digest
    56      length  u8    payload
            0 to 7  u8    zeros up to a multiple of 8

The checksum covers segment number and offset, so that a record which is itself data (a log stored
as a sample) is never taken for one.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

import numpy as np

cdef extern from "crc32c.h" nogil:
    uint32_t hangard_crc32c(uint32_t value, const void *data, size_t n)

cdef extern from "digestorder.h" nogil:
    uint32_t load_le32(const uint8_t *)
    void store_le32(uint8_t *, uint32_t)
    void store_le64(uint8_t *, uint64_t)

LOG_FORMAT_CODE = 20
LOG_RECORD_BYTES = 56  # before the payload
KIND_SAMPLE = 1
KIND_NODE = 2

cdef enum:
    DIGEST = 32
    FIELDS = 56
    FORMAT_CODE = 20

cdef const uint8_t *MAGIC = b"HREC"


cdef inline uint64_t record_size(uint64_t payload) noexcept nogil:
    return (FIELDS + payload + 7) & ~<uint64_t>7


cdef inline uint32_t record_checksum(
    const uint8_t *record, uint64_t payload, uint32_t segment, uint64_t offset
) noexcept nogil:
    cdef uint8_t place[12]
    store_le32(place, segment)
    store_le64(place + 4, offset)
    return hangard_crc32c(
        hangard_crc32c(hangard_crc32c(0, place, 12), record, 12), record + 16, FIELDS - 16 + payload
    )


cdef inline void write_spec(
    uint8_t *spec, const uint8_t *record, uint32_t segment, uint64_t offset
) noexcept nogil:
    """The spec of a record: see recordspec."""
    memset(spec, 0, DIGEST)
    spec[0] = FORMAT_CODE
    spec[2] = record[5]
    store_le32(spec + 4, segment)
    store_le64(spec + 8, offset + FIELDS)
    memcpy(spec + 16, record + 8, 4)
    memcpy(spec + 24, record + 16, 4)
    memcpy(spec + 28, record + 20, 4)


cdef void write_record(
    uint8_t *to,
    uint8_t kind,
    uint8_t codec,
    const uint8_t *payload,
    uint64_t length,
    const uint8_t *digest,
    uint32_t crc,
    uint32_t shape_id,
    uint32_t segment,
    uint64_t offset,
) noexcept nogil:
    memcpy(to, MAGIC, 4)
    to[4] = kind
    to[5] = codec
    to[6] = to[7] = 0
    store_le32(to + 8, <uint32_t>length)
    store_le32(to + 16, crc)
    store_le32(to + 20, shape_id)
    memcpy(to + 24, digest, DIGEST)
    if length:
        memcpy(to + FIELDS, payload, length)
    memset(to + FIELDS + length, 0, record_size(length) - FIELDS - length)
    store_le32(to + 12, record_checksum(to, length, segment, offset))


cdef int check(object shape, str name, tuple wanted) except -1:
    if tuple(shape) != wanted:
        raise ValueError(f"{name} is {wanted}, not {tuple(shape)}")
    return 0


def pack_rows(
    uint8_t kind,
    uint32_t segment,
    uint64_t offset,
    const uint8_t[:, ::1] rows not None,
    const uint8_t[:, ::1] digests not None,
    const uint32_t[::1] crcs=None,
    uint8_t codec=0,
    uint32_t shape_id=0,
):
    """Records of rows of one length, to be written at `offset` of the log `segment`.

    `crcs` are the CRC32C of the raw bytes; without them they are computed from the rows. Returns
    (records as bytes, specs (n, 32)).
    """
    cdef Py_ssize_t n = rows.shape[0], i
    cdef uint64_t length = rows.shape[1], size = record_size(length)
    cdef const uint8_t *payload = NULL
    cdef const uint8_t *digest
    cdef uint8_t *to
    cdef uint8_t[:, ::1] specs
    cdef uint32_t crc
    if offset % 8:
        raise ValueError(f"a record begins at a multiple of 8, not at {offset}")
    if length > <uint64_t>0xFFFFFFFF:
        raise OverflowError(f"{length} bytes in one record")
    check((digests.shape[0], digests.shape[1]), "digests", (n, DIGEST))
    if crcs is not None:
        check((crcs.shape[0],), "crcs", (n,))
    spec_array = np.empty((n, DIGEST), dtype=np.uint8)
    specs = spec_array
    result = PyBytes_FromStringAndSize(NULL, n * size)
    to = <uint8_t *>PyBytes_AS_STRING(result)
    with nogil:
        for i in range(n):
            if length:
                payload = &rows[i, 0]
            crc = crcs[i] if crcs is not None else hangard_crc32c(0, payload, length)
            digest = &digests[i, 0]
            write_record(
                to, kind, codec, payload, length, digest, crc, shape_id, segment, offset
            )
            write_spec(&specs[i, 0], to, segment, offset)
            to += size
            offset += size
    return result, spec_array


def pack_ragged(
    uint8_t kind,
    uint32_t segment,
    uint64_t offset,
    const uint8_t[::1] blob not None,
    const uint64_t[::1] ends not None,
    const uint8_t[:, ::1] digests not None,
    const uint32_t[::1] crcs=None,
    uint8_t codec=0,
    const uint32_t[::1] shape_ids=None,
):
    """Records of payloads of any lengths, to be written at `offset` of the log `segment`.

    `crcs` are the CRC32C of the raw bytes; without them they are computed from the payloads.
    `shape_ids` are 0 if not given. Returns (records as bytes, specs (n, 32)).
    """
    cdef Py_ssize_t n = ends.shape[0], i
    cdef uint64_t begin = 0, length, size = 0
    cdef const uint8_t *base = NULL
    cdef const uint8_t *digest
    cdef uint8_t *to
    cdef uint8_t[:, ::1] specs
    cdef uint32_t crc, shape_id
    cdef bint fits = True
    if offset % 8:
        raise ValueError(f"a record begins at a multiple of 8, not at {offset}")
    check((digests.shape[0], digests.shape[1]), "digests", (n, DIGEST))
    if crcs is not None:
        check((crcs.shape[0],), "crcs", (n,))
    if shape_ids is not None:
        check((shape_ids.shape[0],), "shape_ids", (n,))
    for i in range(n):
        if ends[i] < begin or ends[i] > <uint64_t>blob.shape[0]:
            raise ValueError(f"end {i} is {ends[i]}, outside {begin} to {blob.shape[0]}")
        length = ends[i] - begin
        fits = fits and length <= <uint64_t>0xFFFFFFFF
        size += record_size(length)
        begin = ends[i]
    if not fits:
        raise OverflowError("a payload of 4 GiB or more in one record")
    spec_array = np.empty((n, DIGEST), dtype=np.uint8)
    specs = spec_array
    result = PyBytes_FromStringAndSize(NULL, size)
    to = <uint8_t *>PyBytes_AS_STRING(result)
    if blob.shape[0]:
        base = &blob[0]
    with nogil:
        begin = 0
        for i in range(n):
            length = ends[i] - begin
            crc = crcs[i] if crcs is not None else hangard_crc32c(0, base + begin, length)
            shape_id = shape_ids[i] if shape_ids is not None else 0
            digest = &digests[i, 0]
            write_record(
                to, kind, codec, base + begin, length, digest, crc, shape_id, segment, offset
            )
            write_spec(&specs[i, 0], to, segment, offset)
            size = record_size(length)
            to += size
            offset += size
            begin = ends[i]
    return result, spec_array


cdef inline uint64_t valid_record(
    const uint8_t *base, uint64_t position, uint64_t end, uint32_t segment, uint64_t offset
) noexcept nogil:
    """The size of the record at this position of the buffer, 0 if there is none that is whole."""
    cdef const uint8_t *record = base + position
    cdef uint64_t length, size
    if end - position < FIELDS or memcmp(record, MAGIC, 4) or record[6] or record[7]:
        return 0
    length = load_le32(record + 8)
    size = record_size(length)
    if size > end - position:
        return 0
    if load_le32(record + 12) != record_checksum(record, length, segment, offset + position):
        return 0
    return size


def scan(const uint8_t[::1] buffer not None, uint32_t segment, uint64_t start, uint64_t offset=0):
    """Read the whole records that follow each other from `start` of the buffer on.

    The buffer begins at `offset` of the file; `start` counts in the buffer. Returns (kinds (n,)
    uint8, digests (n, 32), specs (n, 32), end): the scan ended at `end`, which is the length of
    the buffer or the beginning of something that is no whole record (a torn tail, damage, zeros).
    """
    cdef uint64_t end = buffer.shape[0], position = start, size, n = 0, i
    cdef const uint8_t *base = NULL
    cdef uint8_t[::1] kinds
    cdef uint8_t[:, ::1] digests, specs
    if (offset + start) % 8:
        raise ValueError(f"a record begins at a multiple of 8, not at {offset + start}")
    if start < end:
        base = &buffer[0]
        with nogil:
            while position < end:
                size = valid_record(base, position, end, segment, offset)
                if size == 0:
                    break
                position += size
                n += 1
    kind_array = np.empty(n, dtype=np.uint8)
    digest_array = np.empty((n, DIGEST), dtype=np.uint8)
    spec_array = np.empty((n, DIGEST), dtype=np.uint8)
    if n == 0:
        return kind_array, digest_array, spec_array, start
    kinds, digests, specs = kind_array, digest_array, spec_array
    end = position
    position = start
    with nogil:
        for i in range(n):
            kinds[i] = base[position + 4]
            memcpy(&digests[i, 0], base + position + 24, DIGEST)
            write_spec(&specs[i, 0], base + position, segment, offset + position)
            position += record_size(load_le32(base + position + 8))
    return kind_array, digest_array, spec_array, end


def find_record(
    const uint8_t[::1] buffer not None, uint32_t segment, uint64_t start, uint64_t offset=0
):
    """Where the first whole record at or behind `start` begins; the buffer's length if none does.

    For reading on behind a damaged record.
    """
    cdef uint64_t end = buffer.shape[0], position = start + (-(offset + start)) % 8
    cdef const uint8_t *base
    if position >= end:
        return end
    base = &buffer[0]
    with nogil:
        while position < end and valid_record(base, position, end, segment, offset) == 0:
            position += 8
    return min(position, end)
