"""The layout of a run, for those who search, write and merge runs; see runs.pyx for the format."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef extern from "crc32c.h" nogil:
    uint32_t hangard_crc32c(uint32_t value, const void *data, size_t n)

cdef extern from "digestorder.h" nogil:
    ctypedef struct sort_item:
        uint64_t head
        const uint8_t *digest
    uint64_t digest_head(const uint8_t *)
    uint64_t digest_range(uint64_t head, uint64_t n)
    uint64_t digest_fraction(uint64_t head, uint64_t n)
    bint digest_equal(const uint8_t *, const uint8_t *)
    int digest_sort(const uint8_t *, size_t, size_t, sort_item *)
    void prefetch(const void *)
    uint32_t load_le32(const uint8_t *)
    uint64_t load_le64(const uint8_t *)
    void store_le32(uint8_t *, uint32_t)
    void store_le64(uint8_t *, uint64_t)


cdef enum:
    DIGEST = 32
    HEADER = 4096
    FOOTER = 64
    BLOCK = 8192
    SPECS = 4096  # offset of the specs in a block
    LINE = 64
    BITS = 7


cdef inline uint64_t padded(uint64_t size) noexcept nogil:
    return (size + 63) & ~<uint64_t>63


cdef struct View:
    # A run where it lies in memory; its bounds were checked.
    const uint8_t *blocks
    const uint8_t *filter
    const uint8_t *directory
    const uint8_t *checksums
    uint64_t entries
    uint64_t lines
    uint64_t buckets


cdef inline const uint8_t *digest_at(const View *run, uint64_t entry) noexcept nogil:
    return run.blocks + (entry >> 7) * <uint64_t>BLOCK + (entry & 127) * <uint64_t>DIGEST


cdef inline bint block_is_good(const View *view, uint64_t block) noexcept nogil:
    return load_le32(view.checksums + 4 * block) == hangard_crc32c(
        0, view.blocks + block * <uint64_t>BLOCK, BLOCK
    )


cdef inline Py_ssize_t checked_rows(
    const uint8_t[:, ::1] array, str name, Py_ssize_t n
) except -1:
    """The number of rows of an array (n, 32); n < 0 takes any."""
    if array.shape[1] != DIGEST or (n >= 0 and array.shape[0] != n):
        wanted = "n" if n < 0 else n
        raise ValueError(f"{name} is ({wanted}, 32), not ({array.shape[0]}, {array.shape[1]})")
    return array.shape[0]


cdef class Run:
    cdef Py_buffer buffer
    cdef bint has_buffer
    cdef View view
    cdef readonly uint32_t number
    cdef readonly uint64_t sequence

    cdef int open_view(self) except -1
