"""Node bytes as C sees them, for all modules of the tree. Layout and cut are described in treenode.pyx."""

cimport cython
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from hangard_ext.treekey cimport DIGEST_BYTES, KEY_BYTES_MAX, compare_bytes

cdef enum:
    VERSION = 1
    HEADER_BYTES = 8
    COUNT_BYTES = 8
    END_BYTES = 2
    BRANCH_ROW_BYTES = 40    # digest and count
    LEVEL_MAX = 63           # every node but the last one of a level has two entries or more
    CUT_BYTES_MIN = 1024
    CUT_BYTES_SCALE = 1024
    BYTES_MAX = 8192
    ENTRY_BYTES_MAX = KEY_BYTES_MAX + END_BYTES + BRANCH_ROW_BYTES
    FORCE_BYTES = BYTES_MAX - HEADER_BYTES - ENTRY_BYTES_MAX
    ENTRIES_MAX = BYTES_MAX // (1 + END_BYTES + DIGEST_BYTES) + 1


cdef struct NodeView:
    uint32_t n
    uint32_t level
    uint32_t prefix_bytes
    const uint8_t* counts
    const uint8_t* ends
    const uint8_t* digests
    const uint8_t* prefix
    const uint8_t* suffixes


cdef inline uint32_t le16(const uint8_t* p) noexcept nogil:
    return p[0] | <uint32_t>p[1] << 8


cdef inline uint64_t le64(const uint8_t* p) noexcept nogil:
    return (<uint64_t>p[0] | <uint64_t>p[1] << 8 | <uint64_t>p[2] << 16 | <uint64_t>p[3] << 24
            | <uint64_t>p[4] << 32 | <uint64_t>p[5] << 40 | <uint64_t>p[6] << 48 | <uint64_t>p[7] << 56)


cdef inline void view_checked(NodeView* view, const uint8_t* node) noexcept nogil:
    """Pointers into a node whose structure fault_of() has found sound."""
    view.level = node[1]
    view.n = le16(node + 2)
    view.prefix_bytes = le16(node + 4)
    view.counts = node + HEADER_BYTES
    view.ends = view.counts + (COUNT_BYTES * view.n if view.level else 0)
    view.digests = view.ends + END_BYTES * view.n
    view.prefix = view.digests + DIGEST_BYTES * view.n
    view.suffixes = view.prefix + view.prefix_bytes


cdef inline uint32_t suffix_begin(const NodeView* view, uint32_t i) noexcept nogil:
    return le16(view.ends + END_BYTES * (i - 1)) if i else 0


cdef inline uint32_t suffix_end(const NodeView* view, uint32_t i) noexcept nogil:
    return le16(view.ends + END_BYTES * i)


cdef inline const uint8_t* digest_at(const NodeView* view, uint32_t i) noexcept nogil:
    return view.digests + DIGEST_BYTES * i


cdef inline uint64_t count_at(const NodeView* view, uint32_t i) noexcept nogil:
    return le64(view.counts + COUNT_BYTES * i) if view.level else 1


cdef inline size_t copy_key(const NodeView* view, uint32_t i, uint8_t* out) noexcept nogil:
    """Write key i to `out` (KEY_BYTES_MAX bytes); returns its size."""
    cdef uint32_t begin = suffix_begin(view, i)
    cdef uint32_t size = suffix_end(view, i) - begin
    memcpy(out, view.prefix, view.prefix_bytes)
    memcpy(out + view.prefix_bytes, view.suffixes + begin, size)
    return view.prefix_bytes + size


cdef inline int compare_entry(const NodeView* view, uint32_t i,
                              const uint8_t* key, size_t size) noexcept nogil:
    """Order of the node's key i against `key`."""
    cdef uint32_t begin = suffix_begin(view, i)
    cdef int order = memcmp(view.prefix, key, view.prefix_bytes if view.prefix_bytes < size else size)
    if order != 0:
        return order
    if size < view.prefix_bytes:
        return 1
    return compare_bytes(view.suffixes + begin, suffix_end(view, i) - begin,
                         key + view.prefix_bytes, size - view.prefix_bytes)


cdef inline uint32_t find_entry(const NodeView* view, const uint8_t* key, size_t size,
                                bint* found) noexcept nogil:
    """Index of the first entry whose key is not below `key`; n when all are."""
    cdef uint32_t low = 0
    cdef uint32_t high = view.n
    cdef uint32_t middle, begin
    cdef int order = memcmp(view.prefix, key, view.prefix_bytes if view.prefix_bytes < size else size)
    found[0] = False
    if order != 0:
        return 0 if order > 0 else high
    if size < view.prefix_bytes:
        return 0
    key += view.prefix_bytes
    size -= view.prefix_bytes
    while low < high:
        middle = (low + high) >> 1
        begin = suffix_begin(view, middle)
        order = compare_bytes(view.suffixes + begin, suffix_end(view, middle) - begin, key, size)
        if order < 0:
            low = middle + 1
        else:
            if order == 0:
                found[0] = True
            high = middle
    return low


cdef inline uint64_t mix(uint64_t x) noexcept nogil:
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9U
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBU
    return x ^ (x >> 31)


cdef inline uint64_t hash_of(uint32_t level, const uint8_t* key, size_t size) noexcept nogil:
    cdef uint64_t state = mix((<uint64_t>level + 1) * 0x9E3779B97F4A7C15U + size)
    cdef uint64_t word
    cdef size_t i
    while size >= 8:
        state = mix(state ^ le64(key))
        key += 8
        size -= 8
    if size:
        word = 0
        for i in range(size):
            word |= <uint64_t>key[i] << (8 * i)
        state = mix(state ^ word)
    return state


cdef inline bint cuts(uint32_t level, const uint8_t* key, size_t size, size_t entry_bytes,
                      size_t sum_bytes) noexcept nogil:
    """Whether a node ends after this entry; sum_bytes counts it already."""
    if sum_bytes < CUT_BYTES_MIN:
        return False
    if sum_bytes > FORCE_BYTES:
        return True
    return (hash_of(level, key, size) >> 32) * (CUT_BYTES_SCALE + entry_bytes) < (
        <uint64_t>entry_bytes << 32)


cdef inline size_t entry_bytes_of(uint32_t level, size_t key_bytes) noexcept nogil:
    return key_bytes + END_BYTES + (BRANCH_ROW_BYTES if level else DIGEST_BYTES)


cdef int fault_of(const uint8_t* node, size_t size) noexcept nogil
cdef object fault_error(int fault)


@cython.final
cdef class Node:
    cdef readonly bytes data
    cdef NodeView view

    cdef uint32_t index(self, Py_ssize_t i) except? 0xFFFFFFFF
