"""Merging runs into one, piece by piece. Format: runs.

Errors   ValueError for a run with a damaged block, and for too many runs; OverflowError, MemoryError.
"""

cimport cython
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from hangard_ext.runs cimport DIGEST, SPECS, Run, View, block_is_good, digest_at, digest_head

import numpy as np

from hangard_ext.runwriter import RunWriter

RUNS_MERGED_MAX = 64  # at once

cdef enum:
    MERGED = 64
    PIECE_ENTRIES = 16384


cdef struct Cursor:
    const View *view
    uint64_t entry
    uint64_t head
    Py_ssize_t run


@cython.final
@cython.auto_pickle(False)
cdef class Merger:
    """The entries of several runs in ascending order, of equal digests that of the last run."""

    cdef tuple runs
    cdef Cursor cursors[MERGED]
    cdef Py_ssize_t count
    cdef Cursor damaged

    def __cinit__(self, tuple runs):
        cdef Run run
        cdef Cursor *cursor
        if len(runs) > MERGED:
            raise ValueError(f"{len(runs)} runs at once, {RUNS_MERGED_MAX} are allowed")
        self.runs = runs
        for i, member in enumerate(runs):
            run = <Run?>member
            cursor = &self.cursors[self.count]
            cursor.view = &run.view
            cursor.run = i
            self.count += 1
            if not self.enter(self.count - 1):
                raise self.damage()

    cdef object damage(self):
        return ValueError(
            f"block {self.damaged.entry // 128} of run {self.runs[self.damaged.run].number} is damaged"
        )

    cdef bint enter(self, Py_ssize_t i) noexcept nogil:
        """Read the cursor's entry, dropping a cursor at its end; False if its block is damaged."""
        cdef Cursor *cursor = &self.cursors[i]
        if cursor.entry == cursor.view.entries:
            self.count -= 1
            while i < self.count:
                self.cursors[i] = self.cursors[i + 1]
                i += 1
            return True
        if cursor.entry % 128 == 0 and not block_is_good(cursor.view, cursor.entry // 128):
            self.damaged = cursor[0]
            return False
        cursor.head = digest_head(digest_at(cursor.view, cursor.entry))
        return True

    cdef Py_ssize_t lowest(self) noexcept nogil:
        """The cursor of the next entry; equal ones of older runs are passed. -1: damage."""
        cdef Py_ssize_t best = 0, i = 1
        cdef int order
        while i < self.count:
            if self.cursors[i].head < self.cursors[best].head:
                best = i
            elif self.cursors[i].head == self.cursors[best].head:
                order = memcmp(
                    digest_at(self.cursors[i].view, self.cursors[i].entry),
                    digest_at(self.cursors[best].view, self.cursors[best].entry),
                    DIGEST,
                )
                if order < 0:
                    best = i
                elif order == 0:
                    # Cursors stay in the order of the runs, so the later one is the newer.
                    self.cursors[best].entry += 1
                    if not self.enter(best):
                        return -1
                    best, i = 0, 0
            i += 1
        return best

    def read(self, Py_ssize_t n):
        """The next n entries or fewer: (digests (m, 32), specs (m, 32)); none at the end."""
        cdef Py_ssize_t m = 0, best = 0
        cdef uint8_t[:, ::1] digests, specs
        cdef const uint8_t *at
        digest_array = np.empty((n, DIGEST), dtype=np.uint8)
        spec_array = np.empty((n, DIGEST), dtype=np.uint8)
        digests, specs = digest_array, spec_array
        with nogil:
            while m < n and self.count:
                best = self.lowest()
                if best < 0:
                    break
                at = digest_at(self.cursors[best].view, self.cursors[best].entry)
                memcpy(&digests[m, 0], at, DIGEST)
                memcpy(&specs[m, 0], at + SPECS, DIGEST)
                m += 1
                self.cursors[best].entry += 1
                if not self.enter(best):
                    best = -1
                    break
        if best < 0:
            raise self.damage()
        return digest_array[:m], spec_array[:m]


def merge_runs(runs, uint32_t number=0):
    """The bytes of the run that replaces `runs`, given from the oldest to the newest, in pieces.

    Of equal digests the newest entry stays. Its sequence is the highest of theirs. A piece is
    about 1 MiB, the last one holds filter and directory (2 bytes an entry).
    """
    runs = tuple(runs)
    merger = Merger(runs)
    writer = RunWriter(
        number, max((run.sequence for run in runs), default=0), sum(len(run) for run in runs)
    )
    while True:
        digests, specs = merger.read(PIECE_ENTRIES)
        if not len(digests):
            break
        yield writer.add(digests, specs)
    yield writer.finish()
