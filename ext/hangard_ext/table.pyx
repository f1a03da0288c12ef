"""A table in memory from digest to spec, and the first rows of equal digests in a batch.

Shapes   digests, specs: (n, 32) uint8, C order; found: (n,) uint8.
Errors   ValueError for arrays of another shape, MemoryError.
Source   open addressing with linear probing (Knuth, TAOCP volume 3, section 6.4). A slot is
         8 bytes: 32 bits of the digest and the number of its entry; entries of 64 bytes lie dense
         in the order in which they came. So an absent digest costs one cache line, a present one
         two, and a batch waits for memory once in a group instead of once a digest.

Every call works without the GIL and under the table's own lock; threads may share a table.
"""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcmp, memcpy

import numpy as np

cdef extern from "<pthread.h>" nogil:
    ctypedef struct pthread_mutex_t:
        pass
    int pthread_mutex_init(pthread_mutex_t *, void *)
    int pthread_mutex_destroy(pthread_mutex_t *)
    int pthread_mutex_lock(pthread_mutex_t *)
    int pthread_mutex_unlock(pthread_mutex_t *)

cdef extern from "digestorder.h" nogil:
    ctypedef struct sort_item:
        uint64_t head
        const uint8_t *digest
    uint64_t digest_head(const uint8_t *)
    bint digest_equal(const uint8_t *, const uint8_t *)
    int digest_sort(const uint8_t *, size_t, size_t, sort_item *)
    void prefetch(const void *)

cdef enum:
    DIGEST = 32
    ENTRY = 64
    GROUP = 32
    SLOTS_MIN = 64
    ROOM_MIN = 32


cdef Py_ssize_t checked_rows(const uint8_t[:, ::1] array, str name, Py_ssize_t n) except -1:
    """The number of rows of an array (n, 32); n < 0 takes any."""
    if array.shape[1] != DIGEST or (n >= 0 and array.shape[0] != n):
        wanted = "n" if n < 0 else n
        raise ValueError(f"{name} is ({wanted}, 32), not ({array.shape[0]}, {array.shape[1]})")
    return array.shape[0]


cdef struct Slots:
    uint64_t *slots  # 0: empty; else low 32 bits of the head << 32 | number of the entry + 1
    uint64_t mask
    int shift  # the slot of a head is its highest bits


cdef inline uint64_t slot_of(const Slots *table, uint64_t head) noexcept nogil:
    return head >> table.shift


cdef inline uint64_t number_of(uint64_t value) noexcept nogil:
    """The number of the entry that a slot in use names."""
    return <uint64_t>(<uint32_t>value) - <uint64_t>1


cdef inline uint64_t slot_value(uint64_t head, uint64_t number) noexcept nogil:
    return (head << 32) | (number + 1)


cdef int slots_init(Slots *table, uint64_t entries) noexcept nogil:
    """Empty slots, at least two for each of `entries`. -1: no memory."""
    cdef uint64_t size = SLOTS_MIN
    table.shift = 64 - 6
    while size < 2 * entries:
        size *= 2
        table.shift -= 1
    table.mask = size - 1
    table.slots = <uint64_t *>calloc(size, sizeof(uint64_t))
    return 0 if table.slots != NULL else -1


cdef inline uint64_t probe(
    const Slots *table, const uint8_t *entries, size_t stride, const uint8_t *digest
) noexcept nogil:
    """The slot that names this digest, or the empty slot where it belongs."""
    cdef uint64_t head = digest_head(digest)
    cdef uint64_t slot = slot_of(table, head), value
    while True:
        value = table.slots[slot]
        if value == 0:
            return slot
        if <uint32_t>(value >> 32) == <uint32_t>head:
            if digest_equal(entries + number_of(value) * stride, digest):
                return slot
        slot = (slot + 1) & table.mask


@cython.final
@cython.auto_pickle(False)
cdef class Table:
    """Digest -> spec, the newest kept; see the module."""

    cdef Slots table
    cdef uint8_t *entries
    cdef uint64_t count
    cdef uint64_t room
    cdef pthread_mutex_t lock

    def __cinit__(self):
        pthread_mutex_init(&self.lock, NULL)
        self.count = 0
        self.room = ROOM_MIN
        self.entries = <uint8_t *>malloc(ROOM_MIN * ENTRY)
        if self.entries == NULL or slots_init(&self.table, ROOM_MIN):
            raise MemoryError()

    def __dealloc__(self):
        free(self.table.slots)
        free(self.entries)
        pthread_mutex_destroy(&self.lock)

    def __len__(self):
        return self.count

    @property
    def memory_bytes(self):
        """Bytes held by slots and entries."""
        return (self.table.mask + 1) * sizeof(uint64_t) + self.room * ENTRY

    cdef int make_room(self, uint64_t more) noexcept nogil:
        """Room for `more` entries; the table is unchanged if there is no memory (-1)."""
        cdef uint64_t wanted = self.count + more, number, slot, head
        cdef uint8_t *entries
        cdef Slots larger
        if wanted <= self.room:
            return 0
        if wanted > <uint64_t>0xFFFFFFFE:
            return -1
        wanted = max(wanted, self.room + self.room // 2)
        if 2 * wanted > self.table.mask + 1:
            if slots_init(&larger, wanted):
                return -1
            for number in range(self.count):
                head = digest_head(self.entries + number * ENTRY)
                slot = slot_of(&larger, head)
                while larger.slots[slot] != 0:
                    slot = (slot + 1) & larger.mask
                larger.slots[slot] = slot_value(head, number)
            free(self.table.slots)
            self.table = larger
        entries = <uint8_t *>realloc(self.entries, wanted * ENTRY)
        if entries == NULL:
            return -1
        self.entries = entries
        self.room = wanted
        return 0

    def add_many(
        self,
        const uint8_t[:, ::1] digests not None,
        const uint8_t[:, ::1] specs not None,
        bint replace=True,
    ):
        """Add entries, the last of equal digests winning; returns how many digests were new.

        With `replace` false a digest that is already there, or earlier in the batch, keeps its spec.
        """
        cdef Py_ssize_t n = checked_rows(digests, "digests", -1), begin, end, i
        cdef uint64_t slot, value, new
        cdef const uint8_t *digest
        cdef uint8_t *entry
        cdef int failed = 0
        checked_rows(specs, "specs", n)
        if n == 0:
            return 0
        with nogil:
            pthread_mutex_lock(&self.lock)
            new = self.count
            failed = self.make_room(n)
            if not failed:
                for begin from 0 <= begin < n by GROUP:
                    end = min(begin + GROUP, n)
                    for i in range(begin, end):
                        prefetch(
                            self.table.slots + slot_of(&self.table, digest_head(&digests[i, 0]))
                        )
                    for i in range(begin, end):
                        digest = &digests[i, 0]
                        slot = probe(&self.table, self.entries, ENTRY, digest)
                        value = self.table.slots[slot]
                        if value == 0:
                            self.table.slots[slot] = slot_value(digest_head(digest), self.count)
                            entry = self.entries + self.count * ENTRY
                            memcpy(entry, digest, DIGEST)
                            memcpy(entry + DIGEST, &specs[i, 0], DIGEST)
                            self.count += 1
                        elif replace:
                            entry = self.entries + number_of(value) * ENTRY
                            memcpy(entry + DIGEST, &specs[i, 0], DIGEST)
            new = self.count - new
            pthread_mutex_unlock(&self.lock)
        if failed:
            raise MemoryError(f"no memory for {n} more entries")
        return new

    def find_many(
        self,
        const uint8_t[:, ::1] digests not None,
        uint8_t[:, ::1] out_specs not None,
        uint8_t[::1] out_found not None,
    ):
        """Fill specs and found flags of the digests that are here; returns how many.

        Rows whose flag is already set are passed over, rows that are absent are left as they are:
        so tables and runs can be asked in turn with the same arrays.
        """
        cdef Py_ssize_t n = checked_rows(digests, "digests", -1), begin, end, i
        cdef uint64_t values[GROUP]
        cdef uint64_t head, slot, value, hits = 0
        checked_rows(out_specs, "out_specs", n)
        if out_found.shape[0] != n:
            raise ValueError(f"out_found is ({n},), not ({out_found.shape[0]},)")
        with nogil:
            pthread_mutex_lock(&self.lock)
            for begin from 0 <= begin < n by GROUP:
                end = min(begin + GROUP, n)
                for i in range(begin, end):
                    if not out_found[i]:
                        prefetch(
                            self.table.slots + slot_of(&self.table, digest_head(&digests[i, 0]))
                        )
                for i in range(begin, end):
                    values[i - begin] = 0
                    if out_found[i]:
                        continue
                    # The first slot with the same bits is almost always the right one.
                    head = digest_head(&digests[i, 0])
                    slot = slot_of(&self.table, head)
                    value = self.table.slots[slot]
                    while value != 0 and <uint32_t>(value >> 32) != <uint32_t>head:
                        slot = (slot + 1) & self.table.mask
                        value = self.table.slots[slot]
                    values[i - begin] = value
                    if value != 0:
                        prefetch(self.entries + number_of(value) * ENTRY)
                for i in range(begin, end):
                    if values[i - begin] == 0:
                        continue
                    slot = probe(&self.table, self.entries, ENTRY, &digests[i, 0])
                    value = self.table.slots[slot]
                    if value != 0:
                        memcpy(
                            &out_specs[i, 0],
                            self.entries + number_of(value) * ENTRY + DIGEST,
                            DIGEST,
                        )
                        out_found[i] = 1
                        hits += 1
            pthread_mutex_unlock(&self.lock)
        return hits

    def find(self, bytes digest not None):
        """The spec of one digest, or None."""
        cdef const uint8_t *at = digest
        cdef uint8_t spec[DIGEST]
        cdef uint64_t value
        if len(digest) != DIGEST:
            raise ValueError(f"a digest has 32 bytes, not {len(digest)}")
        with nogil:
            pthread_mutex_lock(&self.lock)
            value = self.table.slots[probe(&self.table, self.entries, ENTRY, at)]
            if value != 0:
                memcpy(spec, self.entries + number_of(value) * ENTRY + DIGEST, DIGEST)
            pthread_mutex_unlock(&self.lock)
        return spec[:DIGEST] if value != 0 else None

    cdef void remove(self, uint64_t slot) noexcept nogil:
        """Empty one slot: later entries of its chain move up, the last entry takes its place."""
        cdef uint64_t number = number_of(self.table.slots[slot])
        cdef uint64_t hole = slot, home, value, last = self.count - <uint64_t>1
        cdef uint64_t mask = self.table.mask
        while True:
            slot = (slot + 1) & mask
            value = self.table.slots[slot]
            if value == 0:
                break
            home = slot_of(
                &self.table, digest_head(self.entries + number_of(value) * ENTRY)
            )
            if ((slot - home) & mask) >= ((slot - hole) & mask):
                self.table.slots[hole] = value
                hole = slot
        self.table.slots[hole] = 0
        if number != last:
            slot = slot_of(&self.table, digest_head(self.entries + last * ENTRY))
            while number_of(self.table.slots[slot]) != last:
                slot = (slot + 1) & mask
            self.table.slots[slot] += number - last
            memcpy(self.entries + number * ENTRY, self.entries + last * ENTRY, ENTRY)
        self.count = last

    def discard_many(
        self, const uint8_t[:, ::1] digests not None, const uint8_t[:, ::1] specs=None
    ):
        """Remove the digests that are here; with `specs` only where the spec is still that one.

        Returns how many were removed.
        """
        cdef Py_ssize_t n = checked_rows(digests, "digests", -1), i
        cdef uint64_t slot, value, removed = 0
        cdef bint compare = specs is not None
        if compare:
            checked_rows(specs, "specs", n)
        with nogil:
            pthread_mutex_lock(&self.lock)
            for i in range(n):
                if i + GROUP < n:
                    prefetch(
                        self.table.slots + slot_of(&self.table, digest_head(&digests[i + GROUP, 0]))
                    )
                slot = probe(&self.table, self.entries, ENTRY, &digests[i, 0])
                value = self.table.slots[slot]
                if value == 0:
                    continue
                if compare and memcmp(
                    self.entries + number_of(value) * ENTRY + DIGEST, &specs[i, 0], DIGEST
                ):
                    continue
                self.remove(slot)
                removed += 1
            pthread_mutex_unlock(&self.lock)
        return removed

    def clear(self):
        """Remove everything and give the memory back."""
        cdef Slots fresh
        cdef uint8_t *entries
        if slots_init(&fresh, ROOM_MIN):
            raise MemoryError()
        entries = <uint8_t *>malloc(ROOM_MIN * ENTRY)
        if entries == NULL:
            free(fresh.slots)
            raise MemoryError()
        with nogil:
            pthread_mutex_lock(&self.lock)
            free(self.table.slots)
            free(self.entries)
            self.table = fresh
            self.entries = entries
            self.room = ROOM_MIN
            self.count = 0
            pthread_mutex_unlock(&self.lock)

    def items(self):
        """All entries, sorted by digest: (digests (n, 32), specs (n, 32)), copies."""
        cdef uint64_t i, room, count
        cdef uint8_t[:, ::1] digests, specs
        cdef sort_item *items
        cdef int failed
        while True:
            room = self.count
            digest_array = np.empty((room, DIGEST), dtype=np.uint8)
            spec_array = np.empty((room, DIGEST), dtype=np.uint8)
            digests, specs = digest_array, spec_array
            items = <sort_item *>malloc((room + 1) * sizeof(sort_item))
            if items == NULL:
                raise MemoryError()
            failed = 0
            with nogil:
                pthread_mutex_lock(&self.lock)
                count = self.count
                if count <= room:
                    failed = digest_sort(self.entries, count, ENTRY, items)
                    if not failed:
                        for i in range(count):
                            memcpy(&digests[i, 0], items[i].digest, DIGEST)
                            memcpy(&specs[i, 0], items[i].digest + DIGEST, DIGEST)
                pthread_mutex_unlock(&self.lock)
                free(items)
            if failed:
                raise MemoryError()
            if count <= room:
                return digest_array[:count], spec_array[:count]


def first_occurrences(const uint8_t[:, ::1] digests not None):
    """Which rows of a batch are the first with their digest.

    Returns (firsts (m,) int64: their rows, ascending; inverse (n,) int64: for each row, which of
    the firsts it equals), so that ``digests[firsts][inverse]`` is `digests`.
    """
    cdef Py_ssize_t n = checked_rows(digests, "digests", -1), i, begin, end
    cdef int64_t[::1] firsts, inverse
    cdef uint64_t slot, value
    cdef int64_t m = 0
    cdef Slots table
    cdef const uint8_t *base
    if n > <Py_ssize_t>0xFFFFFFFE:
        raise OverflowError(f"{n} rows in one batch")
    first_array = np.empty(n, dtype=np.int64)
    inverse_array = np.empty(n, dtype=np.int64)
    if n == 0:
        return first_array, inverse_array
    firsts, inverse = first_array, inverse_array
    if slots_init(&table, n):
        raise MemoryError()
    base = &digests[0, 0]
    with nogil:
        for begin from 0 <= begin < n by GROUP:
            end = min(begin + GROUP, n)
            for i in range(begin, end):
                prefetch(table.slots + slot_of(&table, digest_head(base + i * DIGEST)))
            for i in range(begin, end):
                slot = probe(&table, base, DIGEST, base + i * DIGEST)
                value = table.slots[slot]
                if value == 0:
                    # The entry's number is its row; `inverse` of that row holds its place.
                    table.slots[slot] = slot_value(digest_head(base + i * DIGEST), i)
                    firsts[m] = i
                    inverse[i] = m
                    m += 1
                else:
                    inverse[i] = inverse[number_of(value)]
        free(table.slots)
    return first_array[:m], inverse_array
