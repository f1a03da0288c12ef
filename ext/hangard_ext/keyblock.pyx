"""Blocks of packed keys: sorted, merged, searched.

Shapes   packed keys (blob, ends): ends (n,) uint32; key i is blob[ends[i-1]:ends[i]], ends[-1] = 0.
         Changes: packed keys and digests (n, 32) uint8; 32 zero bytes mean "deleted".
Errors   ValueError when ends do not fit the blob; OverflowError when a block exceeds 4 GiB.
Source   natural merge sort: staged keys mostly arrive as few ascending runs, which cost one merge.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

import numpy as np

from hangard_ext.treekey cimport (
    DIGEST_BYTES, check_packed, compare_bytes, shared_bytes, start_of,
)

cdef enum:
    RUN_ITEMS_MIN = 8        # shorter ascending runs are grown by insertion before runs are merged

cdef uint64_t BLOB_BYTES_MAX = 0xFFFFFFFF    # ends are uint32


cdef struct Item:
    uint64_t head            # eight bytes after what all keys share, big-endian: decides mostly
    uint32_t index


cdef struct Packed:
    const uint8_t* start
    const unsigned int* ends
    size_t shared


cdef inline uint32_t begin_of(const unsigned int* ends, Py_ssize_t i) noexcept nogil:
    return ends[i - 1] if i else 0


cdef inline int compare_items(const Packed* keys, const Item* a, const Item* b) noexcept nogil:
    cdef uint32_t a_begin, b_begin
    if a.head != b.head:
        return 1 if a.head > b.head else -1
    a_begin = begin_of(keys.ends, a.index)
    b_begin = begin_of(keys.ends, b.index)
    return compare_bytes(keys.start + a_begin + keys.shared, keys.ends[a.index] - a_begin - keys.shared,
                         keys.start + b_begin + keys.shared, keys.ends[b.index] - b_begin - keys.shared)


cdef void fill_items(Packed* keys, Item* items, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef uint32_t begin
    cdef size_t size, j
    cdef uint64_t head
    keys.shared = keys.ends[0]
    for i in range(1, n):
        begin = keys.ends[i - 1]
        keys.shared = shared_bytes(keys.start, keys.shared, keys.start + begin, keys.ends[i] - begin)
    for i in range(n):
        begin = begin_of(keys.ends, i) + <uint32_t>keys.shared
        size = keys.ends[i] - begin
        head = 0
        for j in range(8):
            head = head << 8 | (keys.start[begin + j] if j < size else 0)
        items[i].head = head
        items[i].index = <uint32_t>i


cdef Py_ssize_t find_runs(const Packed* keys, Item* items, Py_ssize_t n, Py_ssize_t* runs) noexcept nogil:
    """Cut items into ascending runs; runs[k] is the begin of run k, runs[count] = n."""
    cdef Py_ssize_t count = 0
    cdef Py_ssize_t i = 0
    cdef Py_ssize_t begin, j
    cdef Item item
    while i < n:
        begin = i
        runs[count] = begin
        count += 1
        i += 1
        while i < n and compare_items(keys, &items[i - 1], &items[i]) <= 0:
            i += 1
        while i < n and i - begin < RUN_ITEMS_MIN:
            item = items[i]
            j = i
            while j > begin and compare_items(keys, &items[j - 1], &item) > 0:
                items[j] = items[j - 1]
                j -= 1
            items[j] = item
            i += 1
    runs[count] = n
    return count


cdef void merge_runs(const Packed* keys, const Item* items, Item* out,
                     Py_ssize_t begin, Py_ssize_t middle, Py_ssize_t end) noexcept nogil:
    cdef Py_ssize_t i = begin
    cdef Py_ssize_t j = middle
    cdef Py_ssize_t k
    for k in range(begin, end):
        if j >= end or (i < middle and compare_items(keys, &items[i], &items[j]) <= 0):
            out[k] = items[i]
            i += 1
        else:
            out[k] = items[j]
            j += 1


cdef Item* sort_items(const Packed* keys, Item* items, Item* spare,
                      Py_ssize_t* runs, Py_ssize_t count) noexcept nogil:
    """Merge neighbouring runs, pass after pass; returns which of the two arrays holds the result."""
    cdef Py_ssize_t kept, k
    cdef Item* swap
    while count > 1:
        kept = 0
        k = 0
        while k < count:
            if k + 1 < count:
                merge_runs(keys, items, spare, runs[k], runs[k + 1], runs[k + 2])
            else:
                memcpy(spare + runs[k], items + runs[k], (runs[k + 1] - runs[k]) * sizeof(Item))
            runs[kept] = runs[k]
            kept += 1
            k += 2
        runs[kept] = runs[count]
        count = kept
        swap = items
        items = spare
        spare = swap
    return items


def sort_changes(const unsigned char[::1] blob, const unsigned int[::1] ends,
                 const unsigned char[:, ::1] digests):
    """Changes in ascending order of their keys; of equal keys only the last one is kept.
    
    Returns  (blob, ends, digests); the input itself where it was sorted already.
    """
    cdef Py_ssize_t n = ends.shape[0]
    cdef Py_ssize_t i, j, count
    cdef Packed keys
    cdef Item* items = NULL
    cdef Item* spare = NULL
    cdef Item* ordered
    cdef Py_ssize_t* runs = NULL
    cdef bint in_place = True
    if digests.shape[0] != n or digests.shape[1] != DIGEST_BYTES:
        raise ValueError(f"digests of shape {(digests.shape[0], digests.shape[1])} for {n} keys")
    check_packed(blob, ends)
    if n == 0:
        return b"", np.empty(0, np.uint32), np.empty((0, DIGEST_BYTES), np.uint8)
    keys = Packed(start_of(blob), &ends[0], 0)
    try:
        items = <Item*>malloc(n * sizeof(Item))
        spare = <Item*>malloc(n * sizeof(Item))
        runs = <Py_ssize_t*>malloc((n // RUN_ITEMS_MIN + 3) * sizeof(Py_ssize_t))
        if items == NULL or spare == NULL or runs == NULL:
            raise MemoryError()
        with nogil:
            fill_items(&keys, items, n)
            count = find_runs(&keys, items, n, runs)
            ordered = sort_items(&keys, items, spare, runs, count)
            # Of equal keys, which stand in their order of arrival, only the last one is kept.
            j = 0
            for i in range(n):
                if i + 1 < n and compare_items(&keys, &ordered[i], &ordered[i + 1]) == 0:
                    continue
                in_place = in_place and ordered[i].index == <uint32_t>j
                ordered[j] = ordered[i]
                j += 1
        if in_place and j == n:
            return bytes(blob), np.asarray(ends), np.asarray(digests)
        return take_items(&keys, ordered, j, digests)
    finally:
        free(items)
        free(spare)
        free(runs)


cdef tuple take_items(const Packed* keys, const Item* items, Py_ssize_t n,
                      const unsigned char[:, ::1] digests):
    cdef Py_ssize_t i
    cdef uint64_t used = 0
    cdef uint32_t begin
    ends_array = np.empty(n, np.uint32)
    digests_array = np.empty((n, DIGEST_BYTES), np.uint8)
    cdef unsigned int[::1] ends = ends_array
    cdef unsigned char[:, ::1] chosen = digests_array
    for i in range(n):
        used += keys.ends[items[i].index] - begin_of(keys.ends, items[i].index)
        ends[i] = <unsigned int>used
    blob = PyBytes_FromStringAndSize(NULL, used)
    cdef uint8_t* out = <uint8_t*>PyBytes_AS_STRING(blob)
    with nogil:
        for i in range(n):
            begin = begin_of(keys.ends, items[i].index)
            memcpy(out, keys.start + begin, keys.ends[items[i].index] - begin)
            out += keys.ends[items[i].index] - begin
            memcpy(&chosen[i, 0], &digests[items[i].index, 0], DIGEST_BYTES)
    return blob, ends_array, digests_array


def merge_changes(blocks):
    """Several blocks of changes as one sorted block; of equal keys the last one of the last block wins.
    
    blocks   an iterable of (blob, ends, digests), each sorted (unsorted ones only cost more).
    """
    blobs, ends, digests = [], [], []
    size = 0
    for blob, block_ends, block_digests in blocks:
        if size + len(blob) > BLOB_BYTES_MAX:
            raise OverflowError("a block of keys exceeds 4 GiB")
        blobs.append(blob)
        ends.append(block_ends + np.uint32(size))
        digests.append(block_digests)
        size += len(blob)
    if not blobs:
        return b"", np.empty(0, np.uint32), np.empty((0, DIGEST_BYTES), np.uint8)
    if len(blobs) == 1:
        return sort_changes(blobs[0], ends[0], digests[0])
    # The sort finds the ascending runs that the blocks are, and merges them.
    return sort_changes(b"".join(blobs), np.concatenate(ends), np.concatenate(digests))


cdef Py_ssize_t search(const uint8_t* start, const unsigned int* ends, Py_ssize_t low, Py_ssize_t n,
                       const uint8_t* key, size_t size, bint* found) noexcept nogil:
    """Index of the first of n sorted keys, from `low` on, that is not below `key`."""
    cdef Py_ssize_t high = n
    cdef Py_ssize_t middle
    cdef uint32_t begin
    cdef int order
    found[0] = False
    while low < high:
        middle = (low + high) // 2
        begin = begin_of(ends, middle)
        order = compare_bytes(start + begin, ends[middle] - begin, key, size)
        if order < 0:
            low = middle + 1
        else:
            if order == 0:
                found[0] = True
            high = middle
    return low


def find_key(const unsigned char[::1] blob, const unsigned int[::1] ends,
             const unsigned char[::1] key):
    """Index of one encoded key in a sorted block, -1 when it is absent."""
    cdef bint found = False
    cdef Py_ssize_t index
    check_packed(blob, ends)
    if ends.shape[0] == 0:
        return -1
    index = search(start_of(blob), &ends[0], 0, ends.shape[0], start_of(key), key.shape[0], &found)
    return index if found else -1


def find_keys(const unsigned char[::1] blob, const unsigned int[::1] ends,
              const unsigned char[::1] wanted_blob, const unsigned int[::1] wanted_ends):
    """Index of each wanted key in a sorted block, int64, -1 where it is absent.
    
    The wanted keys may have any order; ascending ones are found faster.
    """
    cdef Py_ssize_t n = ends.shape[0]
    cdef Py_ssize_t wanted = wanted_ends.shape[0]
    cdef Py_ssize_t i
    cdef Py_ssize_t index = 0
    cdef uint32_t begin = 0
    cdef uint32_t size = 0
    cdef uint32_t previous = 0
    cdef bint found = False
    cdef const uint8_t* start = start_of(blob)
    cdef const uint8_t* key = start_of(wanted_blob)
    check_packed(blob, ends)
    check_packed(wanted_blob, wanted_ends)
    result = np.full(wanted, -1, np.int64)
    cdef long long[::1] positions = result
    if n == 0 or wanted == 0:
        return result
    with nogil:
        for i in range(wanted):
            size = wanted_ends[i] - begin
            # Sorted requests only move to the right: the part before the last hit is not searched again.
            if i == 0 or compare_bytes(key + previous, begin - previous, key + begin, size) > 0:
                index = 0
            index = search(start, &ends[0], index, n, key + begin, size, &found)
            if found:
                positions[i] = index
            previous = begin
            begin = wanted_ends[i]
    return result


def take_keys(const unsigned char[::1] blob, const unsigned int[::1] ends,
              const long long[::1] indices):
    """The packed keys at `indices` (int64), in that order; ValueError for an index out of bounds."""
    cdef Py_ssize_t n = ends.shape[0]
    cdef Py_ssize_t m = indices.shape[0]
    cdef Py_ssize_t i
    cdef uint64_t used = 0
    cdef uint32_t begin
    cdef const uint8_t* start = start_of(blob)
    check_packed(blob, ends)
    taken_array = np.empty(m, np.uint32)
    cdef unsigned int[::1] taken = taken_array
    for i in range(m):
        if indices[i] < 0 or indices[i] >= n:
            raise ValueError(f"index {indices[i]} of {n} keys")
        used += ends[indices[i]] - begin_of(&ends[0], indices[i])
        if used > BLOB_BYTES_MAX:
            raise OverflowError("a block of keys exceeds 4 GiB")
        taken[i] = <unsigned int>used
    result = PyBytes_FromStringAndSize(NULL, used)
    cdef uint8_t* out = <uint8_t*>PyBytes_AS_STRING(result)
    for i in range(m):
        begin = begin_of(&ends[0], indices[i])
        memcpy(out, start + begin, ends[indices[i]] - begin)
        out += ends[indices[i]] - begin
    return result, taken_array
