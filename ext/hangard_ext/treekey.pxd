"""What keyblock and treenode need of treekey: limits, comparison, and the check of packed keys."""

from libc.stdint cimport uint8_t
from libc.string cimport memcmp


cdef enum:
    PART_BYTES_MAX = 257     # 0x80, 255 bytes of text, 0x00
    KEY_BYTES_MAX = 514      # a nested key: two parts
    DIGEST_BYTES = 32


cdef inline const uint8_t* start_of(const unsigned char[::1] blob) noexcept:
    return &blob[0] if blob.shape[0] else <const uint8_t*>b""


cdef inline int compare_bytes(const uint8_t* a, size_t a_bytes,
                              const uint8_t* b, size_t b_bytes) noexcept nogil:
    """memcmp order; a prefix comes before what it begins."""
    cdef int order = memcmp(a, b, a_bytes if a_bytes < b_bytes else b_bytes)
    if order != 0:
        return order
    return (a_bytes > b_bytes) - (a_bytes < b_bytes)


cdef inline size_t shared_bytes(const uint8_t* a, size_t a_bytes,
                                const uint8_t* b, size_t b_bytes) noexcept nogil:
    """How many leading bytes a and b have in common."""
    cdef size_t limit = a_bytes if a_bytes < b_bytes else b_bytes
    cdef size_t i = 0
    while i < limit and a[i] == b[i]:
        i += 1
    return i


cdef Py_ssize_t part_bytes(const uint8_t* key, size_t available) noexcept nogil
cdef int check_packed(const unsigned char[::1] blob, const unsigned int[::1] ends) except -1
