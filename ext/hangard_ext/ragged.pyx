"""Rows of any lengths: digests under a key for each shape, checksums, and some rows out of many.

Shapes   ragged rows: (data uint8, ends uint64 (n,)), row i is data[ends[i - 1]:ends[i]], ends[-1]
         taken as 0; shapes (n, d) uint64, d sizes for each row; digests (n, 32) uint8.
Errors   ValueError for arrays of a wrong shape and ends that do not ascend to the data's length.
Threads  every function may run in many threads at once, without the GIL.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

import numpy as np

cdef extern from "blake3.h" nogil:
    ctypedef struct blake3_key "struct hangard_blake3_key":
        pass
    blake3_key hangard_blake3_keyed(const uint8_t *key)
    blake3_key hangard_blake3_derived(const void *context, size_t n)
    void hangard_blake3(const blake3_key *key, const void *data, size_t n, uint8_t *out)
    void hangard_blake3_many(const blake3_key *key, const void *rows, size_t row_bytes,
                             size_t count, uint8_t *out)

cdef extern from "crc32c.h" nogil:
    uint32_t hangard_crc32c(uint32_t value, const void *data, size_t n)

cdef extern from "digestorder.h" nogil:
    void store_le64(uint8_t *, uint64_t)

cdef enum:
    DIGEST = 32
    HEAD_BYTES_MAX = 300
    DIMENSIONS_MAX = 64


cdef int check_rows(const uint8_t[::1] data, const uint64_t[::1] ends) except -1:
    cdef uint64_t before = 0
    cdef Py_ssize_t i
    for i in range(ends.shape[0]):
        if ends[i] < before:
            raise ValueError(f"row {i} ends at {ends[i]}, before it begins at {before}")
        before = ends[i]
    if before != <uint64_t>data.shape[0]:
        raise ValueError(f"the last row ends at {before}, the data at {data.shape[0]}")
    return 0


def digest_shaped(
    str context,
    bytes head,
    const uint64_t[:, ::1] shapes not None,
    const uint8_t[::1] data not None,
    const uint64_t[::1] ends not None,
    uint8_t[:, ::1] out not None,
):
    """Write the keyed digest of every row into `out`, (n, 32).

    A row's key is derived under `context` from `head`, the number of its dimensions (u8) and each
    size (u64, little-endian). Neighbours of one shape are hashed together.
    """
    cdef Py_ssize_t n = ends.shape[0], d = shapes.shape[1], first = 0, stop, j
    cdef uint8_t record[HEAD_BYTES_MAX + 1 + 8 * DIMENSIONS_MAX]
    cdef uint8_t key_bytes[DIGEST]
    cdef const uint8_t *rows = &data[0] if data.shape[0] else NULL
    cdef size_t head_bytes = len(head)
    cdef uint64_t begin = 0
    if shapes.shape[0] != n or out.shape[0] != n or out.shape[1] != DIGEST:
        raise ValueError(f"{n} rows, {shapes.shape[0]} shapes, digests {out.shape[0]}")
    if head_bytes > HEAD_BYTES_MAX or d > DIMENSIONS_MAX:
        raise ValueError(f"a head of {head_bytes} bytes, {d} dimensions")
    check_rows(data, ends)
    encoded = context.encode()
    cdef const char *text = encoded
    cdef blake3_key derive = hangard_blake3_derived(text, len(encoded))
    cdef blake3_key key
    memcpy(record, <const char *>head, head_bytes)
    record[head_bytes] = <uint8_t>d
    with nogil:
        while first < n:
            stop = first + 1
            while stop < n and (
                d == 0 or memcmp(&shapes[stop, 0], &shapes[first, 0], 8 * d) == 0
            ) and ends[stop] - ends[stop - 1] == ends[first] - begin:
                stop += 1
            for j in range(d):
                store_le64(record + head_bytes + 1 + 8 * j, shapes[first, j])
            hangard_blake3(&derive, record, head_bytes + 1 + 8 * d, key_bytes)
            key = hangard_blake3_keyed(key_bytes)
            hangard_blake3_many(
                &key, rows + begin, ends[first] - begin, stop - first, &out[first, 0]
            )
            begin = ends[stop - 1]
            first = stop


def crc32c_ragged(const uint8_t[::1] data not None, const uint64_t[::1] ends not None):
    """The CRC32C of every row, uint32 (n,)."""
    cdef Py_ssize_t i, n = ends.shape[0]
    cdef const uint8_t *rows = &data[0] if data.shape[0] else NULL
    cdef uint64_t begin = 0
    check_rows(data, ends)
    result = np.empty(n, np.uint32)
    cdef uint32_t[::1] crcs = result
    with nogil:
        for i in range(n):
            crcs[i] = hangard_crc32c(0, rows + begin, ends[i] - begin)
            begin = ends[i]
    return result


def take_ragged(
    const uint8_t[::1] data not None,
    const uint64_t[::1] ends not None,
    const int64_t[::1] positions not None,
):
    """The rows at `positions`, in their order, as (data, ends)."""
    cdef Py_ssize_t i, n = ends.shape[0], m = positions.shape[0]
    cdef int64_t position
    cdef uint64_t begin, used = 0
    check_rows(data, ends)
    ends_array = np.empty(m, np.uint64)
    cdef uint64_t[::1] new_ends = ends_array
    for i in range(m):
        position = positions[i]
        if not 0 <= position < n:
            raise ValueError(f"position {position} of {n} rows")
        used += ends[position] - (ends[position - 1] if position else 0)
        new_ends[i] = used
    taken = np.empty(used, np.uint8)
    cdef uint8_t[::1] target = taken
    with nogil:
        used = 0
        for i in range(m):
            position = positions[i]
            begin = ends[position - 1] if position else 0
            if ends[position] > begin:
                memcpy(&target[used], &data[begin], ends[position] - begin)
            used = new_ends[i]
    return taken, ends_array
