"""Run files of the index: sorted digests with their specs, written once, searched where they lie.

Shapes   digests, specs: (n, 32) uint8, C order; found: (n,) uint8.
Errors   ValueError for bytes that are no run, for a damaged one, and for arrays of a wrong shape or
         order; OverflowError above RUN_ENTRIES_MAX; MemoryError.
Format   version 1, little-endian, permanent; n entries, `lines` lines of the filter, `buckets`
         buckets of the directory, ``pad`` = zeros up to a multiple of 64 bytes:

    offset          size              content
    0               8                 magic b"HGDRUN\\0\\0"
    8               4                 u32 version (1)
    12              4                 u32 number of the run
    16              4080              zeros
    4096            8192 a block      ceil(n / 128) blocks of 128 digests, then their 128 specs; the
                                      last one filled up with zeros
    ...             64 * lines        filter
    ...             4 * buckets + 4   directory, u32 each, pad
    ...             4 a block         CRC32C of each block, u32 each, pad
    length - 64     64                footer

    offset in the footer
    0               8                 u64 entries (n)
    8               8                 u64 sequence: of two runs the higher one is newer
    16              4                 u32 lines
    20              4                 u32 buckets
    24              4                 u32 CRC32C of the filter
    28              4                 u32 CRC32C of the directory with its padding
    32              4                 u32 CRC32C of the block checksums with their padding
    36              16                zeros
    52              4                 u32 CRC32C of the 16 bytes at 0 and the footer up to here
    56              8                 magic b"HGDRUNE\\0"

`head` is the first 8 bytes of a digest, big-endian. Digests are uniform, so no hash is computed:
line = head * lines >> 64, bucket = head * buckets >> 64. The directory holds the number of the
first entry of each bucket, and n at its end. In its line a digest has 7 bits: the lowest 63 bits
of its bytes 8 to 15 (little-endian), 9 bits each; bit b is bit b % 8 of byte b / 8.

About 10 bits of filter and a bucket of 8 digests an entry: 1 % of the absent digests pass the
filter, a present one costs a line of the directory, one or two of digests and one of specs. Blocks
keep the two columns near each other, which spares a cold reader a page fault; the footer lies at
the end so that a run is written front to back.

Look-ups check every bound but no checksum: a damaged digest is not found, and a damaged spec leads
to bytes whose own CRC32C fails. `Run.verify` and merges check the checksums.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy

import numpy as np

RUN_MAGIC = b"HGDRUN\0\0"
RUN_FOOTER_MAGIC = b"HGDRUNE\0"
RUN_VERSION = 1

cdef enum:
    GROUP = 64
    WALK_MAX = 64

cdef const uint8_t *MAGIC = b"HGDRUN\0\0"
cdef const uint8_t *FOOTER_MAGIC = b"HGDRUNE\0"


cdef inline bint in_line(const uint8_t *line, const uint8_t *digest) noexcept nogil:
    cdef uint64_t bits = load_le64(digest + 8)
    cdef int i
    cdef uint32_t bit
    for i in range(BITS):
        bit = <uint32_t>(bits >> (9 * i)) & 511
        if not (line[bit >> 3] >> (bit & 7)) & 1:
            return False
    return True


cdef inline int compare(const View *run, uint64_t entry, uint64_t head, const uint8_t *digest) noexcept nogil:
    """How the entry's digest lies to the one asked for: < 0, 0, > 0."""
    cdef const uint8_t *at = digest_at(run, entry)
    cdef uint64_t other = digest_head(at)
    if other != head:
        return -1 if other < head else 1
    return memcmp(at, digest, DIGEST)


cdef inline uint64_t guess(const View *run, uint64_t head, uint64_t low, uint64_t high) noexcept nogil:
    return low + digest_range(digest_fraction(head, run.buckets), high - low)


cdef uint64_t search(
    const View *run, uint64_t head, const uint8_t *digest, uint64_t low, uint64_t high
) noexcept nogil:
    """The entry of a digest between low and high, or run.entries."""
    cdef uint64_t middle
    cdef int order
    while high - low > WALK_MAX:
        middle = low + (high - low) // 2
        order = compare(run, middle, head, digest)
        if order == 0:
            return middle
        if order < 0:
            low = middle + 1
        else:
            high = middle
    if low == high:
        return run.entries
    middle = guess(run, head, low, high)
    order = compare(run, middle, head, digest)
    while order < 0:
        middle += 1
        if middle == high:
            return run.entries
        order = compare(run, middle, head, digest)
        if order > 0:
            return run.entries
    while order > 0:
        if middle == low:
            return run.entries
        middle -= 1
        order = compare(run, middle, head, digest)
        if order < 0:
            return run.entries
    return middle


cdef uint64_t find_in(
    const View *run, const uint8_t *digests, uint64_t n, uint8_t *specs, uint8_t *found
) noexcept nogil:
    """Fill specs and flags of the digests in this run whose flag is not set; returns how many.

    In passes over a group, each of which touches one kind of memory that the pass before has
    prefetched: filter, directory, digests, specs.
    """
    cdef uint64_t rows[GROUP]
    cdef uint64_t heads[GROUP]
    cdef uint64_t lows[GROUP]
    cdef uint64_t highs[GROUP]
    cdef uint64_t begin, end, i, j, left, kept, low, high, hits = 0
    cdef const uint8_t *at
    if run.entries == 0:
        return 0
    for begin from 0 <= begin < n by GROUP:
        end = min(begin + <uint64_t>GROUP, n)
        left = 0
        for i in range(begin, end):
            if not found[i]:
                rows[left] = i
                heads[left] = digest_head(digests + i * <uint64_t>DIGEST)
                prefetch(run.filter + digest_range(heads[left], run.lines) * <uint64_t>LINE)
                left += 1
        kept = 0
        for j in range(left):
            at = run.filter + digest_range(heads[j], run.lines) * <uint64_t>LINE
            if in_line(at, digests + rows[j] * <uint64_t>DIGEST):
                rows[kept] = rows[j]
                heads[kept] = heads[j]
                prefetch(run.directory + digest_range(heads[j], run.buckets) * <uint64_t>4)
                kept += 1
        left, kept = kept, 0
        for j in range(left):
            at = run.directory + digest_range(heads[j], run.buckets) * <uint64_t>4
            low, high = load_le32(at), load_le32(at + 4)
            if low < high and high <= run.entries:  # else empty, or a damaged directory
                rows[kept] = rows[j]
                heads[kept] = heads[j]
                lows[kept] = low
                highs[kept] = high
                prefetch(digest_at(run, guess(run, heads[j], low, high)))
                kept += 1
        left, kept = kept, 0
        for j in range(left):
            low = search(
                run, heads[j], digests + rows[j] * <uint64_t>DIGEST, lows[j], highs[j]
            )
            if low < run.entries:
                rows[kept] = rows[j]
                lows[kept] = low
                prefetch(digest_at(run, low) + SPECS)
                kept += 1
        for j in range(kept):
            memcpy(specs + rows[j] * <uint64_t>DIGEST, digest_at(run, lows[j]) + SPECS, DIGEST)
            found[rows[j]] = 1
        hits += kept
    return hits


@cython.final
@cython.auto_pickle(False)
cdef class Run:
    """A run over a buffer, usually a mapped file, which it keeps alive.

    The buffer must not change, and the file behind a mapping must be as long as the mapping.
    """

    def __cinit__(self, buffer):
        PyObject_GetBuffer(buffer, &self.buffer, PyBUF_SIMPLE)
        self.has_buffer = True
        self.open_view()

    def __dealloc__(self):
        if self.has_buffer:
            PyBuffer_Release(&self.buffer)

    cdef int open_view(self) except -1:
        cdef const uint8_t *at = <const uint8_t *>self.buffer.buf
        cdef uint64_t length = self.buffer.len, blocks
        cdef const uint8_t *footer
        cdef uint32_t crc
        if length < HEADER + FOOTER or memcmp(at, MAGIC, 8):
            raise ValueError(f"these {length} bytes are no run: its magic is missing")
        if load_le32(at + 8) != 1:
            raise ValueError(f"version {load_le32(at + 8)} of a run is not known")
        footer = at + length - FOOTER
        crc = hangard_crc32c(hangard_crc32c(0, at, 16), footer, 52)
        if memcmp(footer + 56, FOOTER_MAGIC, 8) or crc != load_le32(footer + 52):
            raise ValueError(f"the footer of a run of {length} bytes is cut off or damaged")
        self.number = load_le32(at + 12)
        self.sequence = load_le64(footer + 8)
        self.view.entries = load_le64(footer)
        self.view.lines = load_le32(footer + 16)
        self.view.buckets = load_le32(footer + 20)
        if self.view.entries > <uint64_t>0xFFFFFFFF or not self.view.lines or not self.view.buckets:
            raise ValueError("the footer of a run declares impossible sizes")
        blocks = (self.view.entries + 127) // 128
        self.view.blocks = at + HEADER
        self.view.filter = self.view.blocks + blocks * <uint64_t>BLOCK
        self.view.directory = self.view.filter + self.view.lines * <uint64_t>LINE
        self.view.checksums = self.view.directory + padded(4 * (self.view.buckets + 1))
        if self.view.checksums + padded(4 * blocks) != footer:
            raise ValueError(f"a run of {length} bytes does not have the length it declares")
        return 0

    def __len__(self):
        return self.view.entries

    @property
    def nbytes(self):
        """Length of the file, bytes."""
        return self.buffer.len

    def find_many(
        self,
        const uint8_t[:, ::1] digests not None,
        uint8_t[:, ::1] out_specs not None,
        uint8_t[::1] out_found not None,
    ):
        """Fill specs and found flags of the digests that are here; returns how many.

        Rows whose flag is already set are passed over, rows that are absent are left as they are.
        """
        return Runs((self,)).find_many(digests, out_specs, out_found)

    def items(self, uint64_t start=0, n=None):
        """At most n entries from number `start` on: (digests (m, 32), specs (m, 32)), copies."""
        cdef uint64_t i, first = min(start, self.view.entries), left = self.view.entries - first
        cdef uint64_t m = left if n is None else min(<uint64_t>n, left)
        cdef uint8_t[:, ::1] digests, specs
        digest_array = np.empty((m, DIGEST), dtype=np.uint8)
        spec_array = np.empty((m, DIGEST), dtype=np.uint8)
        digests, specs = digest_array, spec_array
        with nogil:
            for i in range(m):
                memcpy(&digests[i, 0], digest_at(&self.view, first + i), DIGEST)
                memcpy(&specs[i, 0], digest_at(&self.view, first + i) + SPECS, DIGEST)
        return digest_array, spec_array

    def verify(self):
        """Check every checksum; ValueError names what is damaged."""
        cdef const View *view = &self.view
        cdef const uint8_t *footer = <const uint8_t *>self.buffer.buf + self.buffer.len - FOOTER
        cdef uint64_t blocks = (view.entries + 127) // 128, i
        cdef bint filter, directory, checksums, good = True
        with nogil:
            filter = load_le32(footer + 24) == hangard_crc32c(
                0, view.filter, view.lines * <uint64_t>LINE
            )
            directory = load_le32(footer + 28) == hangard_crc32c(
                0, view.directory, padded(4 * (view.buckets + 1))
            )
            checksums = load_le32(footer + 32) == hangard_crc32c(
                0, view.checksums, padded(4 * blocks)
            )
            i = 0
            while good and i < blocks:
                good = block_is_good(view, i)
                i += 1
        for name, correct in (
            ("filter", filter), ("directory", directory), ("list of block checksums", checksums)
        ):
            if not correct:
                raise ValueError(f"the {name} of run {self.number} is damaged")
        if not good:
            raise ValueError(f"block {i - 1} of run {self.number} is damaged")


@cython.final
@cython.auto_pickle(False)
cdef class Runs:
    """Several runs, asked in the order given: put the newest first. Cheap to make, never changes."""

    cdef readonly tuple runs
    cdef View *views
    cdef Py_ssize_t count

    def __cinit__(self, runs):
        cdef Py_ssize_t i
        cdef Run run
        self.runs = tuple(runs)
        self.count = len(self.runs)
        self.views = <View *>malloc((self.count + 1) * sizeof(View))
        if self.views == NULL:
            raise MemoryError()
        for i in range(self.count):
            run = <Run?>self.runs[i]
            self.views[i] = run.view

    def __dealloc__(self):
        free(self.views)

    def __len__(self):
        return self.count

    def find_many(
        self,
        const uint8_t[:, ::1] digests not None,
        uint8_t[:, ::1] out_specs not None,
        uint8_t[::1] out_found not None,
    ):
        """Fill specs and found flags of the digests that are in a run; returns how many.

        Rows whose flag is already set are passed over, rows that are absent are left as they are.
        """
        cdef Py_ssize_t n = checked_rows(digests, "digests", -1), i
        cdef uint64_t hits = 0
        checked_rows(out_specs, "out_specs", n)
        if out_found.shape[0] != n:
            raise ValueError(f"out_found is ({n},), not ({out_found.shape[0]},)")
        if n == 0:
            return 0
        with nogil:
            for i in range(self.count):
                hits += find_in(
                    &self.views[i], &digests[0, 0], n, &out_specs[0, 0], &out_found[0]
                )
        return hits

    def find(self, bytes digest not None):
        """The spec of one digest, or None."""
        cdef const uint8_t *at = digest
        cdef uint8_t spec[DIGEST]
        cdef uint8_t found = 0
        cdef Py_ssize_t i
        if len(digest) != DIGEST:
            raise ValueError(f"a digest has 32 bytes, not {len(digest)}")
        with nogil:
            for i in range(self.count):
                if find_in(&self.views[i], at, 1, spec, &found):
                    break
        return spec[:DIGEST] if found else None
