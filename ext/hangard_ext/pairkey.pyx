"""Nested keys taken apart and put together: (sample, subsample) pairs in packed blocks.

Shapes   packed keys (blob, ends): ends (n,) uint32; key i is blob[ends[i-1]:ends[i]], ends[-1] = 0.
         Pairs are packed keys of two parts (hangard_ext.treekey); parts are packed keys of one.
Errors   ValueError when ends do not fit the blob, a key has no two parts, or lengths differ;
         OverflowError when a block exceeds 4 GiB.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

import numpy as np

from hangard_ext.treekey cimport check_packed, part_bytes, start_of

cdef uint64_t BLOB_BYTES_MAX = 0xFFFFFFFF    # ends are uint32


cdef Py_ssize_t first_bytes(const uint8_t* key, size_t size) except -1:
    """Length of the first of a pair's parts."""
    cdef Py_ssize_t first = part_bytes(key, size)
    if first == 0 or <size_t>first == size:
        raise ValueError(f"not the key of a subsample: {(<const char*>key)[:size].hex()}")
    return first


def group_pairs(const unsigned char[::1] blob, const unsigned int[::1] ends):
    """Neighbouring pairs of one sample each, as (samples blob, samples ends, stops).

    `stops` (m,) int64: group i holds the pairs stops[i-1] up to stops[i]. In a sorted block each
    sample is one group.
    """
    cdef Py_ssize_t n = ends.shape[0]
    cdef Py_ssize_t i, size
    cdef Py_ssize_t m = 0
    cdef Py_ssize_t last_size = 0
    cdef uint32_t begin = 0
    cdef uint64_t used = 0
    cdef const uint8_t* start = start_of(blob)
    cdef const uint8_t* last = NULL
    check_packed(blob, ends)
    sizes_array = np.empty(n, np.uint32)
    stops_array = np.empty(n, np.int64)
    cdef unsigned int[::1] sizes = sizes_array
    cdef long long[::1] stops = stops_array
    for i in range(n):
        # A part never begins another one, so equal bytes of the last one's length are that part.
        if (last == NULL or ends[i] - begin <= <size_t>last_size
                or memcmp(start + begin, last, last_size) != 0):
            size = first_bytes(start + begin, ends[i] - begin)
            if m:
                stops[m - 1] = i
            sizes[m] = <unsigned int>size
            used += size
            last, last_size = start + begin, size
            m += 1
        begin = ends[i]
    if m:
        stops[m - 1] = n
    samples = PyBytes_FromStringAndSize(NULL, used)
    cdef uint8_t* out = <uint8_t*>PyBytes_AS_STRING(samples)
    for i in range(m):
        begin = ends[stops[i - 1] - 1] if i else 0
        memcpy(out, start + begin, sizes[i])
        out += sizes[i]
    sample_ends = np.cumsum(sizes_array[:m], dtype=np.uint32)
    return samples, sample_ends, stops_array[:m].copy()


def second_parts(const unsigned char[::1] blob, const unsigned int[::1] ends):
    """The packed second parts of pairs."""
    cdef Py_ssize_t n = ends.shape[0]
    cdef Py_ssize_t i, size
    cdef uint32_t begin = 0
    cdef uint64_t used = 0
    cdef const uint8_t* start = start_of(blob)
    check_packed(blob, ends)
    taken_array = np.empty(n, np.uint32)
    cdef unsigned int[::1] taken = taken_array
    result = bytearray(blob.shape[0])
    cdef unsigned char[::1] out = result
    for i in range(n):
        size = first_bytes(start + begin, ends[i] - begin)
        memcpy(&out[used], start + begin + size, ends[i] - begin - size)
        used += ends[i] - begin - size
        taken[i] = <unsigned int>used
        begin = ends[i]
    return bytes(result[:used]), taken_array


def pair_keys(const unsigned char[::1] samples, const unsigned int[::1] sample_ends,
              const unsigned char[::1] subsamples, const unsigned int[::1] subsample_ends):
    """The packed pairs of n samples and n subsamples; one sample goes with all subsamples."""
    cdef Py_ssize_t n = subsample_ends.shape[0]
    cdef Py_ssize_t i
    cdef uint32_t begin = 0
    cdef uint32_t sub_begin = 0
    cdef uint64_t used = 0
    cdef bint same = sample_ends.shape[0] == 1
    cdef uint32_t size
    if sample_ends.shape[0] != n and not same:
        raise ValueError(f"{sample_ends.shape[0]} sample keys and {n} subsample keys make no pairs")
    check_packed(samples, sample_ends)
    check_packed(subsamples, subsample_ends)
    used = <uint64_t>subsamples.shape[0] + <uint64_t>samples.shape[0] * (n if same else 1)
    if used > BLOB_BYTES_MAX:
        raise OverflowError("a block of keys exceeds 4 GiB")
    ends_array = np.empty(n, np.uint32)
    cdef unsigned int[::1] ends = ends_array
    result = PyBytes_FromStringAndSize(NULL, used)
    cdef uint8_t* out = <uint8_t*>PyBytes_AS_STRING(result)
    cdef const uint8_t* sample = start_of(samples)
    cdef const uint8_t* subsample = start_of(subsamples)
    used = 0
    for i in range(n):
        size = sample_ends[0] if same else sample_ends[i] - begin
        memcpy(out + used, sample + begin, size)
        used += size
        if not same:
            begin = sample_ends[i]
        size = subsample_ends[i] - sub_begin
        memcpy(out + used, subsample + sub_begin, size)
        used += size
        sub_begin = subsample_ends[i]
        ends[i] = <unsigned int>used
    return result, ends_array
