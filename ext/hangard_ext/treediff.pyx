"""The differences of two prolly trees, in the order of their keys.

Both trees are walked together. Two subtrees with the same digest, met at the front of both walks,
hold the same entries and are passed over; else the higher one, or both, are opened. Trees of
different height and shifted boundaries meet again at the next common node, as the cut sees to.

children_apart tells beforehand, for nodes side by side, what such a walk is going to open beneath.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcmp, memcpy

cimport cython
import numpy as np

from hangard_ext.treekey cimport DIGEST_BYTES, KEY_BYTES_MAX
from hangard_ext.treenode cimport *

cdef uint8_t[DIGEST_BYTES] ZERO_DIGEST    # a C static: zeros


@cython.final
cdef class _Walk:
    """What of one tree still lies ahead: a stack of nodes, the next entry of each."""

    cdef object get
    cdef list nodes
    cdef NodeView[LEVEL_MAX + 1] views
    cdef uint32_t[LEVEL_MAX + 1] index
    cdef int depth                        # nodes on the stack

    def __cinit__(self, get, bytes root not None):
        if len(root) != DIGEST_BYTES:
            raise ValueError(f"a root has {DIGEST_BYTES} bytes, not {len(root)}")
        self.get = get
        self.nodes = []
        if root != bytes(DIGEST_BYTES):
            self.push(<const uint8_t*>PyBytes_AS_STRING(root), -1)

    cdef int push(self, const uint8_t* digest, int level) except -1:
        cdef bytes node = self.get(PyBytes_FromStringAndSize(<const char*>digest, DIGEST_BYTES))
        cdef const uint8_t* start
        cdef int fault
        if node is None:
            raise ValueError("node: None instead of bytes")
        start = <const uint8_t*>PyBytes_AS_STRING(node)
        fault = fault_of(start, len(node))
        if fault:
            raise fault_error(fault)
        if level >= 0 and start[1] != level:
            raise ValueError(f"node: not of level {level}, which its parent needs")
        self.nodes.append(node)
        view_checked(&self.views[self.depth], start)
        self.index[self.depth] = 0
        self.depth += 1
        return 0

    cdef bint settle(self) noexcept:
        """Drop finished nodes; False at the end of the tree."""
        while self.depth and self.index[self.depth - 1] == self.views[self.depth - 1].n:
            self.depth -= 1
            self.nodes.pop()
        return self.depth > 0

    cdef int open_next(self) except -1:
        """Replace the subtree ahead by its own entries."""
        cdef NodeView* view = &self.views[self.depth - 1]
        cdef uint32_t i = self.index[self.depth - 1]
        self.index[self.depth - 1] += 1
        return self.push(digest_at(view, i), <int>view.level - 1)


@cython.final
cdef class TreeDiff:
    """An iterator over blocks of differences of the trees with roots a and b.

    get      digest -> node bytes, for both trees.
    Yields   (blob, ends (n,) uint32, digests_a (n, 32), digests_b (n, 32)): encoded keys ascending;
             zero digests where a side lacks the key. Blocks have `block_entries` entries or fewer.
    Errors   ValueError for what is no node; after an error the iterator ends.
    """

    cdef _Walk a
    cdef _Walk b
    cdef uint32_t block_entries
    cdef bytearray blob
    cdef object ends_array, digests_a_array, digests_b_array
    cdef unsigned int[::1] ends
    cdef unsigned char[:, ::1] digests_a
    cdef unsigned char[:, ::1] digests_b
    cdef uint32_t n

    def __cinit__(self, get, bytes root_a not None, bytes root_b not None, uint32_t block_entries=4096):
        if block_entries == 0:
            raise ValueError("a block has at least one entry")
        self.block_entries = block_entries
        if root_a != root_b:
            self.a = _Walk(get, root_a)
            self.b = _Walk(get, root_b)

    def __iter__(self):
        return self

    def __next__(self):
        cdef _Walk a = self.a
        cdef _Walk b = self.b
        if a is None:
            raise StopIteration
        self.a = None                     # put back when the block is complete
        self.begin_block()
        while self.n < self.block_entries and self.step(a, b):
            pass
        if self.n == 0:
            raise StopIteration
        self.a = a
        return (bytes(self.blob), self.ends_array[: self.n], self.digests_a_array[: self.n],
                self.digests_b_array[: self.n])

    cdef int begin_block(self) except -1:
        self.n = 0
        self.blob = bytearray()
        self.ends = self.ends_array = np.empty(self.block_entries, np.uint32)
        shape = (self.block_entries, DIGEST_BYTES)
        self.digests_a = self.digests_a_array = np.empty(shape, np.uint8)
        self.digests_b = self.digests_b_array = np.empty(shape, np.uint8)
        return 0

    cdef bint step(self, _Walk a, _Walk b) except -1:
        """Compare what lies ahead on both sides and advance; False at the end of both."""
        cdef bint has_a = a.settle()
        cdef bint has_b = b.settle()
        cdef int top_a = a.depth - 1
        cdef int top_b = b.depth - 1
        cdef NodeView* view_a
        cdef NodeView* view_b
        cdef uint8_t[KEY_BYTES_MAX] key
        cdef size_t size
        cdef int order
        if not has_a or not has_b:
            return self.step_one_sided(a, b, has_a, has_b)
        view_a, view_b = &a.views[top_a], &b.views[top_b]
        if view_a.level or view_b.level:
            if view_a.level == view_b.level and memcmp(
                    digest_at(view_a, a.index[top_a]), digest_at(view_b, b.index[top_b]), DIGEST_BYTES) == 0:
                a.index[top_a] += 1
                b.index[top_b] += 1
                return True
            order = <int>view_a.level - <int>view_b.level
            if order >= 0:
                a.open_next()
            if order <= 0:
                b.open_next()
            return True
        size = copy_key(view_b, b.index[top_b], key)
        order = compare_entry(view_a, a.index[top_a], key, size)
        if order < 0:
            self.emit(a, None)
        elif order > 0:
            self.emit(None, b)
        elif memcmp(digest_at(view_a, a.index[top_a]), digest_at(view_b, b.index[top_b]), DIGEST_BYTES) != 0:
            self.emit(a, b)
        else:
            a.index[top_a] += 1
            b.index[top_b] += 1
        return True

    cdef bint step_one_sided(self, _Walk a, _Walk b, bint has_a, bint has_b) except -1:
        cdef _Walk walk = a if has_a else b
        if not has_a and not has_b:
            return False
        if walk.views[walk.depth - 1].level:
            walk.open_next()
        else:
            self.emit(a if has_a else None, b if has_b else None)
        return True

    cdef int emit(self, _Walk a, _Walk b) except -1:
        """Append the entry ahead on one side, or on both, and pass it."""
        cdef _Walk walk = b if a is None else a
        cdef uint8_t[KEY_BYTES_MAX] key
        cdef size_t size = copy_key(&walk.views[walk.depth - 1], walk.index[walk.depth - 1], key)
        self.blob += PyBytes_FromStringAndSize(<const char*>key, size)
        self.ends[self.n] = <unsigned int>len(self.blob)
        self.take_digest(a, &self.digests_a[self.n, 0])
        self.take_digest(b, &self.digests_b[self.n, 0])
        self.n += 1
        return 0

    cdef void take_digest(self, _Walk walk, uint8_t* out) noexcept:
        cdef const uint8_t* digest = ZERO_DIGEST
        if walk is not None:
            digest = digest_at(&walk.views[walk.depth - 1], walk.index[walk.depth - 1])
            walk.index[walk.depth - 1] += 1
        memcpy(out, digest, DIGEST_BYTES)


@cython.final
cdef class _Row:
    """The entries of nodes of one level that follow each other."""

    cdef list nodes
    cdef Py_ssize_t at
    cdef NodeView view                    # of the node `at`
    cdef uint32_t index

    def __cinit__(self, list nodes not None, int level):
        cdef bytes node
        cdef int fault
        for node in nodes:
            if node is None:
                raise ValueError("node: None instead of bytes")
            fault = fault_of(<const uint8_t*>PyBytes_AS_STRING(node), len(node))
            if fault:
                raise fault_error(fault)
            if (<const uint8_t*>PyBytes_AS_STRING(node))[1] != level:
                raise ValueError(f"node: not of level {level}, as the first one is")
        self.nodes = nodes
        self.at = -1
        self.view.n = 0

    cdef bint settle(self):
        """Go to the next node where one is finished; False at the end."""
        while self.index == self.view.n:
            if self.at + 1 >= len(self.nodes):
                return False
            self.at += 1
            self.index = 0
            view_checked(&self.view, <const uint8_t*>PyBytes_AS_STRING(<bytes>self.nodes[self.at]))
        return True

    cdef bytes take(self):
        cdef const uint8_t* digest = digest_at(&self.view, self.index)
        self.index += 1
        return PyBytes_FromStringAndSize(<const char*>digest, DIGEST_BYTES)


def children_apart(list a not None, list b not None):
    """The entries that only one of two rows of nodes has, in the order of their keys.

    a, b     nodes of one level, each row ascending; either may be empty.
    Returns  (digests, marks): a list of n digests and n bytes, bit 0 set for an entry of b, bit 1
             where both rows are through with the same keys after it.
    Errors   ValueError for what is no node, or of another level than the first.
    """
    cdef list digests = []
    cdef bytearray marks = bytearray()
    cdef bytes first = a[0] if a else b[0] if b else None
    cdef int level = first[1] if first is not None and len(first) > 1 else 0
    cdef _Row row_a = _Row(a, level)
    cdef _Row row_b = _Row(b, level)
    cdef uint8_t[KEY_BYTES_MAX] key
    cdef size_t size
    cdef bint has_a, has_b
    cdef int order
    while True:
        has_a, has_b = row_a.settle(), row_b.settle()
        if not has_a and not has_b:
            return digests, bytes(marks)
        if not has_a or not has_b:
            order = -1 if has_a else 1
        elif memcmp(digest_at(&row_a.view, row_a.index), digest_at(&row_b.view, row_b.index),
                    DIGEST_BYTES) == 0:
            row_a.index += 1
            row_b.index += 1
            if marks:
                marks[len(marks) - 1] |= 2
            continue
        else:
            size = copy_key(&row_b.view, row_b.index, key)
            order = compare_entry(&row_a.view, row_a.index, key, size)
        if order <= 0:
            digests.append(row_a.take())
            marks.append(0)
        if order >= 0:
            digests.append(row_b.take())
            marks.append(1 if order else 3)
