"""A bounded cache of tree nodes, and the search of keys through it.

Search costs no Python call but for a node that is not cached, which the callable `get` brings.
Shapes   packed keys as in treekey; digests (n, 32) uint8.
Units    sizes in bytes; a cached node counts with NODE_OVERHEAD_BYTES for its places in the tables.
Source   open addressing on the digest itself, which is evenly spread; eviction by CLOCK, which costs a
         hit one store where LRU costs the relinking of a list. A search in a large cache waits for
         memory, not for instructions: so a slot is one cache line, and the lines of a node that the
         search will touch are asked for together.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.ref cimport Py_DECREF, Py_INCREF, PyObject
from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy, memset
from posix.stdlib cimport posix_memalign

cimport cython
import numpy as np

from hangard_ext.treekey cimport DIGEST_BYTES, check_packed, start_of
from hangard_ext.treenode cimport *

cdef extern from *:
    void __builtin_prefetch(const void*) noexcept nogil

cdef enum:
    OVERHEAD_BYTES = 128     # slot, two table places at half load, header of the bytes object
    SLOTS_MIN = 64
    SLOTS_MAX = 1 << 30

NODE_OVERHEAD_BYTES = OVERHEAD_BYTES

cdef uint8_t[DIGEST_BYTES] ZERO_DIGEST    # a C static: zeros


cdef struct Slot:
    uint8_t[DIGEST_BYTES] digest
    PyObject* node                        # bytes, a reference of the cache's own
    uint32_t node_bytes
    bint recent
    uint8_t[16] filled                    # to 64 bytes


cdef struct Path:
    NodeView[LEVEL_MAX + 1] views         # root first
    uint32_t[LEVEL_MAX + 1] low_index     # the entry before each node begins: in which node of the path,
    int[LEVEL_MAX + 1] low_depth          # -1 when nothing lies before it
    bint[LEVEL_MAX + 1] is_last
    int depth                             # of the leaf; -1 before the first descent


@cython.final
cdef class NodeCache:
    """Nodes by digest, at most `cache_bytes_max` bytes of them.

    get      digest -> node bytes; called for nodes that are not cached, its errors pass through.
    get_many the same for a list of digests, as a list; by default `get` for one after the other.
    Errors   ValueError when what `get` returns is no node, or not of the level that its parent needs.
    """

    cdef object source
    cdef object source_many
    cdef readonly size_t cache_bytes_max
    cdef readonly size_t cached_bytes
    cdef readonly uint64_t hits
    cdef readonly uint64_t misses
    cdef Slot* slots
    cdef int32_t* table                   # slot numbers, -1 where free; twice as many places as slots
    cdef uint32_t n
    cdef uint32_t size
    cdef uint32_t hand

    def __cinit__(self, get, size_t cache_bytes_max, get_many=None):
        self.source = get
        self.source_many = get_many
        self.cache_bytes_max = cache_bytes_max
        self.resize(SLOTS_MIN)

    def __dealloc__(self):
        self.drop_all()
        free(self.slots)
        free(self.table)

    def __len__(self):
        return self.n

    def clear(self):
        """Forget all nodes."""
        self.drop_all()

    cdef void drop_all(self):
        cdef uint32_t i
        for i in range(self.n):
            Py_DECREF(<object>self.slots[i].node)
        self.n = 0
        self.hand = 0
        self.cached_bytes = 0
        if self.table != NULL:
            memset(self.table, 0xFF, 2 * self.size * sizeof(int32_t))

    # ---- table

    cdef int resize(self, uint32_t size) except -1:
        cdef void* slots = NULL
        cdef int32_t* table = <int32_t*>malloc(2 * size * sizeof(int32_t))
        cdef uint32_t i
        if table == NULL or posix_memalign(&slots, sizeof(Slot), size * sizeof(Slot)):
            free(table)
            raise MemoryError()
        if self.n:
            memcpy(slots, self.slots, self.n * sizeof(Slot))
        free(self.slots)
        free(self.table)
        self.slots = <Slot*>slots
        self.table = table
        self.size = size
        memset(table, 0xFF, 2 * size * sizeof(int32_t))
        for i in range(self.n):
            table[self.place_of(self.slots[i].digest)] = <int32_t>i
        return 0

    cdef inline uint32_t home_of(self, const uint8_t* digest) noexcept nogil:
        return <uint32_t>le64(digest) & (2 * self.size - 1)

    cdef inline uint32_t place_of(self, const uint8_t* digest) noexcept nogil:
        """The place in the table that holds the digest, or the free one where it belongs."""
        cdef uint32_t place = self.home_of(digest)
        while self.table[place] >= 0 and memcmp(
                self.slots[self.table[place]].digest, digest, DIGEST_BYTES) != 0:
            place = (place + 1) & (2 * self.size - 1)
        return place

    cdef void evict(self, uint32_t slot) noexcept:
        cdef uint32_t mask = 2 * self.size - 1
        cdef uint32_t hole = self.place_of(self.slots[slot].digest)
        cdef uint32_t place = hole
        cdef uint32_t home
        cdef PyObject* node = self.slots[slot].node
        self.table[hole] = -1
        # Move back what only stands further on because the place was taken: no tombstones needed.
        while True:
            place = (place + 1) & mask
            if self.table[place] < 0:
                break
            home = self.home_of(self.slots[self.table[place]].digest)
            if ((place - home) & mask) >= ((place - hole) & mask):
                self.table[hole] = self.table[place]
                self.table[place] = -1
                hole = place
        self.n -= 1
        if slot != self.n:
            self.table[self.place_of(self.slots[self.n].digest)] = <int32_t>slot
            self.slots[slot] = self.slots[self.n]
        self.cached_bytes -= len(<bytes>node) + OVERHEAD_BYTES
        Py_DECREF(<object>node)

    cdef int keep(self, const uint8_t* digest, bytes node) except -1:
        cdef size_t cost = len(node) + OVERHEAD_BYTES
        cdef Slot* slot
        if cost > self.cache_bytes_max or self.table[self.place_of(digest)] >= 0:
            return 0
        while self.cached_bytes + cost > self.cache_bytes_max or self.n >= SLOTS_MAX:
            if self.hand >= self.n:
                self.hand = 0
            if self.slots[self.hand].recent:
                self.slots[self.hand].recent = False
                self.hand += 1
            else:
                self.evict(self.hand)
        if self.n == self.size:
            self.resize(2 * self.size)
        slot = &self.slots[self.n]
        memcpy(slot.digest, digest, DIGEST_BYTES)
        Py_INCREF(node)
        slot.node = <PyObject*>node
        slot.node_bytes = <uint32_t>len(node)
        slot.recent = False
        self.table[self.place_of(digest)] = <int32_t>self.n
        self.n += 1
        self.cached_bytes += cost
        return 0

    cdef int check_and_keep(self, const uint8_t* digest, bytes node) except -1:
        cdef int fault
        if node is None:
            raise ValueError("node: None instead of bytes")
        fault = fault_of(<const uint8_t*>PyBytes_AS_STRING(node), len(node))
        if fault:
            raise fault_error(fault)
        return self.keep(digest, node)

    cdef bytes load(self, const uint8_t* digest, int level):
        """A node whose structure is sound, of `level` unless that is -1."""
        cdef int32_t slot = self.table[self.place_of(digest)]
        cdef bytes node
        cdef const uint8_t* start
        if slot >= 0:
            self.hits += 1
            self.slots[slot].recent = True
            start = <const uint8_t*>PyBytes_AS_STRING(<object>self.slots[slot].node)
            __builtin_prefetch(start)                 # header and ends
            __builtin_prefetch(start + 64)
            start += self.slots[slot].node_bytes
            __builtin_prefetch(start - 64)            # suffixes
            __builtin_prefetch(start - 128)
            node = <bytes>self.slots[slot].node
        else:
            self.misses += 1
            node = self.source(PyBytes_FromStringAndSize(<const char*>digest, DIGEST_BYTES))
            self.check_and_keep(digest, node)
        if level >= 0 and (<const uint8_t*>PyBytes_AS_STRING(node))[1] != level:
            raise ValueError(f"node: not of level {level}, which its parent needs")
        return node

    # ---- use

    def get(self, bytes digest not None):
        """The node's bytes, from the cache or from the source."""
        if len(digest) != DIGEST_BYTES:
            raise ValueError(f"a digest has {DIGEST_BYTES} bytes, not {len(digest)}")
        return self.load(<const uint8_t*>PyBytes_AS_STRING(digest), -1)

    def get_many(self, list digests not None):
        """The nodes' bytes, a list; those that are not cached come by one call of the source."""
        cdef list nodes = []
        cdef list places = []
        cdef list missing = []
        cdef list brought
        cdef bytes digest
        cdef int32_t slot
        cdef Py_ssize_t i
        for digest in digests:
            if digest is None or len(digest) != DIGEST_BYTES:
                raise ValueError(f"a digest has {DIGEST_BYTES} bytes: {digest!r}")
            slot = self.table[self.place_of(<const uint8_t*>PyBytes_AS_STRING(digest))]
            if slot >= 0:
                self.slots[slot].recent = True
                nodes.append(<bytes>self.slots[slot].node)
            else:
                places.append(len(nodes))
                missing.append(digest)
                nodes.append(None)
        self.hits += <uint64_t>(len(nodes) - len(missing))
        self.misses += <uint64_t>len(missing)
        if missing:
            if self.source_many is None:
                brought = [self.source(digest) for digest in missing]
            else:
                brought = self.source_many(missing)
            if brought is None or len(brought) != len(missing):
                raise ValueError(f"the source has not one node for each of {len(missing)} digests")
            for i in range(len(missing)):
                digest = missing[i]
                self.check_and_keep(<const uint8_t*>PyBytes_AS_STRING(digest), brought[i])
                nodes[places[i]] = brought[i]
        return nodes

    def add_many(self, const unsigned char[:, ::1] digests, const unsigned char[::1] blob,
                 const unsigned long long[::1] ends):
        """Keep nodes that were just written: node i is blob[ends[i-1]:ends[i]]."""
        cdef Py_ssize_t i
        cdef uint64_t begin = 0
        cdef const uint8_t* start = start_of(blob)
        cdef int fault
        if digests.shape[0] != ends.shape[0] or digests.shape[1] != DIGEST_BYTES:
            raise ValueError(f"digests of shape {(digests.shape[0], digests.shape[1])} for "
                             f"{ends.shape[0]} nodes")
        for i in range(ends.shape[0]):
            if ends[i] < begin or ends[i] > <uint64_t>blob.shape[0]:
                raise ValueError("ends of nodes do not fit the blob")
            fault = fault_of(start + begin, ends[i] - begin)
            if fault:
                raise fault_error(fault)
            self.keep(&digests[i, 0],
                      PyBytes_FromStringAndSize(<const char*>start + begin, ends[i] - begin))
            begin = ends[i]

    def find(self, bytes root not None, bytes key not None):
        """Digest under an encoded key in the tree of this root, or None. Zero root: an empty tree."""
        cdef const uint8_t* digest = <const uint8_t*>PyBytes_AS_STRING(root)
        cdef const uint8_t* wanted = <const uint8_t*>PyBytes_AS_STRING(key)
        cdef size_t size = len(key)
        cdef bytes node
        cdef NodeView view
        cdef int level = -1
        cdef uint32_t i
        cdef bint found
        if is_empty(root):
            return None
        while True:
            node = self.load(digest, level)
            view_checked(&view, <const uint8_t*>PyBytes_AS_STRING(node))
            i = find_entry(&view, wanted, size, &found)
            if i == view.n:
                return None
            digest = digest_at(&view, i)
            if view.level == 0:
                return PyBytes_FromStringAndSize(<const char*>digest, DIGEST_BYTES) if found else None
            level = view.level - 1

    def find_many(self, bytes root not None, const unsigned char[::1] blob,
                  const unsigned int[::1] ends):
        """Digests under many encoded keys: (digests (n, 32), found (n,) bool); zeros where absent.

        Any order; for ascending keys each node is visited once.
        """
        cdef Py_ssize_t n = ends.shape[0]
        cdef Py_ssize_t i
        cdef uint32_t begin = 0
        cdef Path path
        cdef list nodes = []
        cdef uint32_t entry
        cdef bint hit
        cdef const uint8_t* start = start_of(blob)
        check_packed(blob, ends)
        digests_array = np.zeros((n, DIGEST_BYTES), np.uint8)
        found_array = np.zeros(n, np.bool_)
        cdef unsigned char[:, ::1] digests = digests_array
        cdef unsigned char[::1] found = found_array.view(np.uint8)
        if is_empty(root):
            return digests_array, found_array
        path.depth = -1
        for i in range(n):
            self.descend(&path, nodes, root, start + begin, ends[i] - begin)
            entry = find_entry(&path.views[path.depth], start + begin, ends[i] - begin, &hit)
            if hit:
                found[i] = True
                memcpy(&digests[i, 0], digest_at(&path.views[path.depth], entry), DIGEST_BYTES)
            begin = ends[i]
        return digests_array, found_array

    cdef int descend(self, Path* path, list nodes, bytes root,
                     const uint8_t* key, size_t size) except -1:
        """Make the path end in the leaf where the key belongs, beginning as low as possible."""
        cdef int depth = path.depth
        cdef NodeView* view
        cdef bytes node
        cdef uint32_t i
        cdef bint hit
        if depth < 0:
            node = self.load(<const uint8_t*>PyBytes_AS_STRING(root), -1)
            nodes.append(node)
            view_checked(&path.views[0], <const uint8_t*>PyBytes_AS_STRING(node))
            path.low_depth[0] = -1
            path.is_last[0] = True
            depth = 0
        while depth and not covers(path, depth, key, size):
            depth -= 1
        if depth + 1 < len(nodes):
            del nodes[depth + 1:]
        while path.views[depth].level:
            view = &path.views[depth]
            i = min(find_entry(view, key, size, &hit), view.n - 1)
            path.is_last[depth + 1] = path.is_last[depth] and i == view.n - 1
            path.low_depth[depth + 1] = depth if i else path.low_depth[depth]
            path.low_index[depth + 1] = i - 1 if i else path.low_index[depth]
            path.depth = -1               # the path is whole again only after the load
            node = self.load(digest_at(view, i), <int>view.level - 1)
            nodes.append(node)
            depth += 1
            view_checked(&path.views[depth], <const uint8_t*>PyBytes_AS_STRING(node))
        path.depth = depth
        return 0


cdef inline bint covers(const Path* path, int depth, const uint8_t* key, size_t size) noexcept nogil:
    """Whether the key belongs below this node of the path."""
    cdef const NodeView* view = &path.views[depth]
    if not path.is_last[depth] and compare_entry(view, view.n - 1, key, size) < 0:
        return False
    return path.low_depth[depth] < 0 or compare_entry(
        &path.views[path.low_depth[depth]], path.low_index[depth], key, size) < 0


cdef inline bint is_empty(bytes root) except -1:
    if len(root) != DIGEST_BYTES:
        raise ValueError(f"a root has {DIGEST_BYTES} bytes, not {len(root)}")
    return memcmp(PyBytes_AS_STRING(root), ZERO_DIGEST, DIGEST_BYTES) == 0
