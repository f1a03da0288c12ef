"""Cuts ascending entries of one level of a prolly tree into nodes.

Format   nodes, and where they end: treenode.
Shapes   rows beside the keys: (n, 32) uint8, the digests, at level 0; (n, 40) uint8 above, the digest of
         the child and the number of samples below it, u64 little-endian.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcmp, memcpy

cimport cython
import numpy as np

from hangard_ext.treekey cimport DIGEST_BYTES, KEY_BYTES_MAX, compare_bytes, shared_bytes, start_of
from hangard_ext.treenode cimport *

cdef uint8_t[DIGEST_BYTES] ZERO_DIGEST    # a C static: zeros


cdef struct Array:
    uint8_t* start
    size_t used
    size_t size


cdef inline uint8_t* extend(Array* array, size_t more) noexcept nogil:
    """Room for `more` bytes at the end, counted as used; NULL when there is no memory."""
    cdef size_t wanted = array.used + more
    cdef uint8_t* moved
    if wanted > array.size:
        moved = <uint8_t*>realloc(array.start, wanted + wanted // 2)
        if moved == NULL:
            return NULL
        array.start = moved
        array.size = wanted + wanted // 2
    array.used = wanted
    return array.start + wanted - more


cdef object array_of(Array* array, dtype):
    """The content as a numpy array of its own; leaves the array empty."""
    result = np.frombuffer(PyBytes_FromStringAndSize(<char*>array.start, array.used), dtype)
    array.used = 0
    return result


@cython.final
cdef class NodeWriter:
    """Cuts ascending entries of one level into nodes.

    add() and merge() append entries; finished nodes gather until take() hands them over. finish()
    ends the last node.
    Errors   ValueError when keys are not strictly ascending, or a digest is zero.
    """

    cdef readonly uint32_t level
    cdef uint32_t row_bytes
    # entries of the unfinished node
    cdef uint32_t n
    cdef size_t sum_bytes
    cdef uint64_t count
    cdef uint8_t[BYTES_MAX] keys
    cdef uint16_t[ENTRIES_MAX] ends
    cdef uint8_t[ENTRIES_MAX * BRANCH_ROW_BYTES] rows
    # the entry before, which may belong to the node before
    cdef uint8_t[KEY_BYTES_MAX] previous
    cdef size_t previous_bytes
    # finished nodes
    cdef Array nodes, node_ends, last_keys, last_key_ends, counts

    def __cinit__(self, int level):
        if not 0 <= level <= LEVEL_MAX:
            raise ValueError(f"level {level} is not within 0 .. {LEVEL_MAX}")
        self.level = level
        self.row_bytes = BRANCH_ROW_BYTES if level else DIGEST_BYTES

    def __dealloc__(self):
        free(self.nodes.start)
        free(self.node_ends.start)
        free(self.last_keys.start)
        free(self.last_key_ends.start)
        free(self.counts.start)

    @property
    def pending(self):
        """Entries of the node that is not finished; 0 right after a cut."""
        return self.n

    @property
    def finished_bytes(self):
        """Bytes of the nodes that wait for take()."""
        return self.nodes.used

    cdef int end_node(self) noexcept nogil:
        cdef uint32_t n = self.n
        cdef uint32_t last_begin = self.ends[n - 2] if n > 1 else 0
        cdef uint32_t last_bytes = self.ends[n - 1] - last_begin
        cdef size_t prefix = shared_bytes(self.keys, self.ends[0], self.keys + last_begin, last_bytes)
        cdef size_t suffixes = self.ends[n - 1] - n * prefix
        cdef uint32_t i, begin
        cdef uint32_t end = 0
        cdef uint64_t total
        cdef uint8_t* out = extend(
            &self.nodes, HEADER_BYTES + n * (END_BYTES + self.row_bytes) + prefix + suffixes)
        cdef uint8_t* node_end = extend(&self.node_ends, 8)
        cdef uint8_t* last_key = extend(&self.last_keys, last_bytes)
        cdef uint8_t* last_key_end = extend(&self.last_key_ends, 4)
        cdef uint8_t* count = extend(&self.counts, 8)
        if not out or not node_end or not last_key or not last_key_end or not count:
            return 1
        out[0] = VERSION
        out[1] = <uint8_t>self.level
        out[2], out[3] = <uint8_t>n, <uint8_t>(n >> 8)
        out[4], out[5] = <uint8_t>prefix, <uint8_t>(prefix >> 8)
        out[6], out[7] = 0, 0
        out += HEADER_BYTES
        if self.level:
            for i in range(n):
                memcpy(out, self.rows + i * BRANCH_ROW_BYTES + DIGEST_BYTES, COUNT_BYTES)
                out += COUNT_BYTES
        for i in range(n):
            end = self.ends[i] - (i + 1) * <uint32_t>prefix
            out[0], out[1] = <uint8_t>end, <uint8_t>(end >> 8)
            out += END_BYTES
        for i in range(n):
            memcpy(out, self.rows + i * self.row_bytes, DIGEST_BYTES)
            out += DIGEST_BYTES
        memcpy(out, self.keys, prefix)
        out += prefix
        for i in range(n):
            begin = (self.ends[i - 1] if i else 0) + <uint32_t>prefix
            memcpy(out, self.keys + begin, self.ends[i] - begin)
            out += self.ends[i] - begin
        total = self.nodes.used
        memcpy(node_end, &total, 8)
        memcpy(last_key, self.keys + last_begin, last_bytes)
        end = <uint32_t>self.last_keys.used
        memcpy(last_key_end, &end, 4)
        memcpy(count, &self.count, 8)
        self.n = 0
        self.sum_bytes = 0
        self.count = 0
        return 0

    cdef int put(self, const uint8_t* key, size_t size, const uint8_t* row) noexcept nogil:
        """Append one entry; 0, or a fault: 1 memory, 2 order, 3 digest."""
        cdef uint32_t begin = self.ends[self.n - 1] if self.n else 0
        cdef size_t entry_bytes = entry_bytes_of(self.level, size)
        if compare_bytes(self.previous, self.previous_bytes, key, size) >= 0:
            return 2
        if memcmp(row, ZERO_DIGEST, DIGEST_BYTES) == 0:
            return 3
        memcpy(self.previous, key, size)
        self.previous_bytes = size
        memcpy(self.keys + begin, key, size)
        self.ends[self.n] = <uint16_t>(begin + size)
        memcpy(self.rows + self.n * self.row_bytes, row, self.row_bytes)
        self.count += le64(row + DIGEST_BYTES) if self.level else 1
        self.n += 1
        self.sum_bytes += entry_bytes
        if cuts(self.level, key, size, entry_bytes, self.sum_bytes):
            return self.end_node()
        return 0

    cdef int refuse(self, int fault) except -1:
        if fault == 1:
            raise MemoryError()
        if fault == 2:
            raise ValueError("keys are not strictly ascending")
        if fault == 3:
            raise ValueError("an entry has the zero digest, which means deleted")
        raise ValueError("packed keys: ends do not fit the blob")

    cdef int check_rows(self, const unsigned int[::1] ends, const unsigned char[:, ::1] rows) except -1:
        if rows.shape[0] != ends.shape[0] or rows.shape[1] != self.row_bytes:
            raise ValueError(f"rows of shape {(rows.shape[0], rows.shape[1])} for {ends.shape[0]} "
                             f"keys at level {self.level}")
        return 0

    def add(self, const unsigned char[::1] blob, const unsigned int[::1] ends,
            const unsigned char[:, ::1] rows, Py_ssize_t begin=0, size_t finished_bytes_max=-1):
        """Append entries from `begin` on; returns the index of the first one not taken.

        rows     (n, 32): digests; at level > 0 (n, 40): digest and count as u64. Stops early once
                 finished nodes have `finished_bytes_max` bytes.
        """
        cdef Py_ssize_t n = ends.shape[0]
        cdef Py_ssize_t i = begin
        cdef int fault = 0
        cdef unsigned int key_begin
        cdef const uint8_t* start = start_of(blob)
        self.check_rows(ends, rows)
        if not 0 <= begin <= n:
            raise ValueError(f"begin {begin} of {n} keys")
        with nogil:
            key_begin = ends[i - 1] if i else 0
            while i < n and self.nodes.used < finished_bytes_max:
                if ends[i] <= key_begin or ends[i] - key_begin > KEY_BYTES_MAX or ends[i] > blob.shape[0]:
                    fault = 4
                    break
                fault = self.put(start + key_begin, ends[i] - key_begin, &rows[i, 0])
                if fault:
                    break
                key_begin = ends[i]
                i += 1
        if fault:
            self.refuse(fault)
        return i

    def merge(self, Node node not None, const unsigned char[::1] blob, const unsigned int[::1] ends,
              const unsigned char[:, ::1] rows, Py_ssize_t begin, bint is_last):
        """Append the node's entries with the changes from `begin` on applied to them.

        Takes the changes up to the node's last key, or all of them if the node `is_last` of its
        level; a change with the zero digest deletes. Returns the index of the first change not taken.
        """
        cdef Py_ssize_t n = ends.shape[0]
        cdef Py_ssize_t i = begin
        cdef uint32_t j = 0
        cdef int fault = 0
        cdef int order
        cdef NodeView* view = &node.view
        cdef const uint8_t* start = start_of(blob)
        cdef const uint8_t* change = NULL
        cdef unsigned int key_begin
        cdef size_t size = 0
        cdef uint8_t[KEY_BYTES_MAX] key
        cdef uint8_t[BRANCH_ROW_BYTES] row
        self.check_rows(ends, rows)
        if view.level != self.level:
            raise ValueError(f"a node of level {view.level} for a writer of level {self.level}")
        if not 0 <= begin <= n:
            raise ValueError(f"begin {begin} of {n} changes")
        with nogil:
            while fault == 0:
                if i < n:
                    key_begin = ends[i - 1] if i else 0
                    if (ends[i] <= key_begin or ends[i] - key_begin > KEY_BYTES_MAX
                            or ends[i] > blob.shape[0]):
                        fault = 4
                        break
                    change = start + key_begin
                    size = ends[i] - key_begin
                if j < view.n:
                    order = compare_entry(view, j, change, size) if i < n else -1
                elif i < n and is_last:
                    order = 1
                else:
                    break
                if order < 0:                  # the node's entry stays
                    if self.level:
                        memcpy(row + DIGEST_BYTES, view.counts + j * COUNT_BYTES, COUNT_BYTES)
                    memcpy(row, digest_at(view, j), DIGEST_BYTES)
                    fault = self.put(key, copy_key(view, j, key), row)
                    j += 1
                    continue
                if order == 0:
                    j += 1
                if memcmp(&rows[i, 0], ZERO_DIGEST, DIGEST_BYTES) != 0:
                    fault = self.put(change, size, &rows[i, 0])
                i += 1
        if fault:
            self.refuse(fault)
        return i

    def finish(self):
        """End the last node, where the level ends."""
        if self.n and self.end_node():
            raise MemoryError()

    def take(self):
        """The finished nodes: (nodes, node_ends (m,) uint64, last keys, their ends (m,) uint32,
        counts (m,) uint64), and forget them."""
        nodes = PyBytes_FromStringAndSize(<char*>self.nodes.start, self.nodes.used)
        keys = PyBytes_FromStringAndSize(<char*>self.last_keys.start, self.last_keys.used)
        self.nodes.used = 0
        self.last_keys.used = 0
        return (nodes, array_of(&self.node_ends, np.uint64), keys,
                array_of(&self.last_key_ends, np.uint32), array_of(&self.counts, np.uint64))
