"""Writing run files: entries in ascending order in, the bytes of the file out. Format: runs.

Shapes   digests, specs: (n, 32) uint8, C order.
Errors   ValueError for arrays of a wrong shape or order; OverflowError above RUN_ENTRIES_MAX;
         MemoryError.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy, memset

from hangard_ext.runs cimport (
    BITS,
    BLOCK,
    DIGEST,
    FOOTER,
    HEADER,
    LINE,
    SPECS,
    checked_rows,
    digest_equal,
    digest_head,
    digest_range,
    digest_sort,
    hangard_crc32c,
    load_le64,
    padded,
    sort_item,
    store_le32,
    store_le64,
)

import numpy as np

RUN_ENTRIES_MAX = 1 << 26  # what the format is meant for; merges stop far below

cdef const uint8_t *MAGIC = b"HGDRUN\0\0"
cdef const uint8_t *FOOTER_MAGIC = b"HGDRUNE\0"


@cython.final
@cython.auto_pickle(False)
cdef class RunWriter:
    """The bytes of a run, piece by piece, from entries that come in ascending order.

    `entries_max` bounds what will be added and sizes filter and directory, so it should be close.
    """

    cdef readonly uint32_t number
    cdef readonly uint64_t sequence
    cdef readonly uint64_t entries
    cdef uint64_t entries_max
    cdef uint64_t lines
    cdef uint64_t buckets
    cdef uint8_t *filter
    cdef uint32_t *directory
    cdef uint8_t *checksums
    cdef uint8_t block[BLOCK]
    cdef uint8_t header[HEADER]
    cdef uint8_t last[DIGEST]
    cdef bint finished

    def __cinit__(self, uint32_t number, uint64_t sequence, uint64_t entries_max):
        if entries_max > <uint64_t>RUN_ENTRIES_MAX:
            raise OverflowError(f"a run holds {RUN_ENTRIES_MAX} entries, not {entries_max}")
        self.number = number
        self.sequence = sequence
        self.entries_max = entries_max
        self.lines = max(<uint64_t>1, (entries_max * 10 + 511) // 512)
        self.buckets = max(<uint64_t>1, entries_max // 8)
        self.filter = <uint8_t *>calloc(self.lines, LINE)
        self.directory = <uint32_t *>calloc(self.buckets + 1, 4)
        self.checksums = <uint8_t *>calloc(1, padded(4 * ((entries_max + 127) // 128)) + 1)
        if self.filter == NULL or self.directory == NULL or self.checksums == NULL:
            raise MemoryError()
        memset(self.header, 0, HEADER)
        memcpy(self.header, MAGIC, 8)
        store_le32(self.header + 8, 1)
        store_le32(self.header + 12, number)

    def __dealloc__(self):
        free(self.filter)
        free(self.directory)
        free(self.checksums)

    cdef void set_bits(self, uint64_t head, const uint8_t *digest) noexcept nogil:
        cdef uint8_t *line = self.filter + digest_range(head, self.lines) * <uint64_t>LINE
        cdef uint64_t bits = load_le64(digest + 8)
        cdef uint32_t bit
        cdef int i
        for i in range(BITS):
            bit = <uint32_t>(bits >> (9 * i)) & 511
            line[bit >> 3] |= <uint8_t>1 << (bit & 7)

    cdef void close_block(self) noexcept nogil:
        store_le32(
            self.checksums + (self.entries - 1) // 128 * 4, hangard_crc32c(0, self.block, BLOCK)
        )

    def add(self, const uint8_t[:, ::1] digests not None, const uint8_t[:, ::1] specs not None):
        """Add entries above all that were added; returns the next bytes of the file, maybe none."""
        cdef Py_ssize_t n = checked_rows(digests, "digests", -1), i
        cdef uint64_t size, place, head
        cdef uint8_t *out
        cdef const uint8_t *last = self.last if self.entries else NULL
        cdef bint ascending = True
        checked_rows(specs, "specs", n)
        if self.finished:
            raise ValueError("the run is finished")
        if self.entries + n > self.entries_max:
            raise ValueError(f"{self.entries + n} entries in a run announced for {self.entries_max}")
        with nogil:
            for i in range(n):
                if last != NULL and memcmp(last, &digests[i, 0], DIGEST) >= 0:
                    ascending = False
                    break
                last = &digests[i, 0]
        if not ascending:
            raise ValueError("digests of a run must ascend, each one once")
        size = 0 if self.entries else HEADER
        if n == 0:
            return b""
        result = PyBytes_FromStringAndSize(
            NULL, size + (self.entries % 128 + <uint64_t>n) // 128 * <uint64_t>BLOCK
        )
        out = <uint8_t *>PyBytes_AS_STRING(result)
        with nogil:
            memcpy(out, self.header, size)
            out += size
            for i in range(n):
                place = self.entries % 128
                memcpy(self.block + place * <uint64_t>DIGEST, &digests[i, 0], DIGEST)
                memcpy(self.block + SPECS + place * <uint64_t>DIGEST, &specs[i, 0], DIGEST)
                head = digest_head(&digests[i, 0])
                self.set_bits(head, &digests[i, 0])
                self.directory[digest_range(head, self.buckets) + 1] += 1
                self.entries += 1
                if place == 127:
                    self.close_block()
                    memcpy(out, self.block, BLOCK)
                    out += BLOCK
                    memset(self.block, 0, BLOCK)
            memcpy(self.last, &digests[n - 1, 0], DIGEST)
        return result

    def finish(self):
        """The rest of the file's bytes: last block, filter, directory, checksums, footer."""
        cdef uint64_t begin = 0 if self.entries else HEADER
        cdef uint64_t tail = BLOCK if self.entries % 128 else 0
        cdef uint64_t directory = padded(4 * (self.buckets + 1))
        cdef uint64_t checksums = padded(4 * ((self.entries + 127) // 128))
        cdef uint64_t size, i
        cdef uint32_t total = 0
        cdef uint8_t *out
        cdef uint8_t *filter_at
        cdef uint8_t *directory_at
        cdef uint8_t *footer
        if self.finished:
            raise ValueError("the run is finished")
        size = begin + tail + self.lines * <uint64_t>LINE + directory + checksums + FOOTER
        result = PyBytes_FromStringAndSize(NULL, size)
        out = <uint8_t *>PyBytes_AS_STRING(result)
        with nogil:
            memset(out, 0, size)
            memcpy(out, self.header, begin)
            if tail:
                self.close_block()
                memcpy(out + begin, self.block, BLOCK)
            filter_at = out + begin + tail
            directory_at = filter_at + self.lines * <uint64_t>LINE
            footer = directory_at + directory + checksums
            memcpy(filter_at, self.filter, self.lines * <uint64_t>LINE)
            for i in range(self.buckets + 1):
                total += self.directory[i]
                store_le32(directory_at + 4 * i, total)
            memcpy(directory_at + directory, self.checksums, 4 * ((self.entries + 127) // 128))
            store_le64(footer, self.entries)
            store_le64(footer + 8, self.sequence)
            store_le32(footer + 16, <uint32_t>self.lines)
            store_le32(footer + 20, <uint32_t>self.buckets)
            store_le32(
                footer + 24, hangard_crc32c(0, filter_at, self.lines * <uint64_t>LINE)
            )
            store_le32(footer + 28, hangard_crc32c(0, directory_at, directory))
            store_le32(footer + 32, hangard_crc32c(0, directory_at + directory, checksums))
            store_le32(
                footer + 52, hangard_crc32c(hangard_crc32c(0, self.header, 16), footer, 52)
            )
            memcpy(footer + 56, FOOTER_MAGIC, 8)
        self.finished = True
        return result


def sort_entries(const uint8_t[:, ::1] digests not None, const uint8_t[:, ::1] specs not None):
    """The entries sorted by digest, of equal digests the last: (digests (m, 32), specs (m, 32)).

    Returns the arguments themselves where they ascend already.
    """
    cdef uint64_t n = checked_rows(digests, "digests", -1), i, m = 0, row
    cdef bint ascending = True
    cdef int failed
    cdef sort_item *items
    cdef uint8_t[:, ::1] out_digests, out_specs
    checked_rows(specs, "specs", n)
    with nogil:
        i = 1
        while ascending and i < n:
            ascending = memcmp(&digests[i - 1, 0], &digests[i, 0], DIGEST) < 0
            i += 1
    if ascending:
        return np.asarray(digests), np.asarray(specs)
    digest_array = np.empty((n, DIGEST), dtype=np.uint8)
    spec_array = np.empty((n, DIGEST), dtype=np.uint8)
    out_digests, out_specs = digest_array, spec_array
    items = <sort_item *>malloc(n * sizeof(sort_item))
    if items == NULL:
        raise MemoryError()
    with nogil:
        failed = digest_sort(&digests[0, 0], n, DIGEST, items)
        if not failed:
            for i in range(n):
                if i + 1 < n and digest_equal(items[i].digest, items[i + 1].digest):
                    continue
                row = <uint64_t>(items[i].digest - &digests[0, 0]) // <uint64_t>DIGEST
                memcpy(&out_digests[m, 0], items[i].digest, DIGEST)
                memcpy(&out_specs[m, 0], &specs[row, 0], DIGEST)
                m += 1
        free(items)
    if failed:
        raise MemoryError()
    return digest_array[:m], spec_array[:m]


def encode_run(digests, specs, uint32_t number=0, uint64_t sequence=0):
    """A whole run file as bytes; entries in any order, of equal digests the last wins."""
    digests, specs = sort_entries(digests, specs)
    writer = RunWriter(number, sequence, len(digests))
    return b"".join((writer.add(digests, specs), writer.finish()))
