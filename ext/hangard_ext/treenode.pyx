"""Nodes of the prolly tree: their bytes, where they are cut, and search in one of them.

Format   node, version 1, permanent; all numbers little-endian, nothing aligned:

             offset        size   what
             0             u8     version, 1
             1             u8     level, 0 for a leaf
             2             u16    n, entries, at least 1
             4             u16    p, bytes that all keys share at their begin (n = 1: the whole key)
             6             u16    0
             8             8 n    level > 0 only: samples below each child, u64
             ..            2 n    end of each key's suffix, counted from the first suffix, u16
             ..            32 n   digest of each sample (level 0) or child node
             ..            p      the shared begin of the keys
             ..                   the suffixes, one after the other, up to the last end

         Keys are encoded keys (treekey), strictly ascending. The key of a child is its last key.

Cut      A node ends after the entry for which, e being the entry's bytes (key + 34, at level > 0
         key + 42) and sum the bytes of all entries since the node's begin, this one included,

             sum >= NODE_CUT_BYTES_MIN and (hash >> 32) * (1024 + e) < e << 32      (chance e / (1024 + e))
             or sum > NODE_BYTES_MAX - 8 - 556                                      (forced: hard maximum)

         hash is entry_hash(level, key) below and never sees the value, so changing a value moves no
         boundary. The rule sees nothing before the node's begin, so two sequences that once begin a
         node at the same entry cut alike from there on. The level is hashed because keys that reach
         level n have passed the test of level n - 1. The last node of a level ends with the level.
Units    bytes. Nodes have 2 KiB on average (before the shared begin is cut off), whatever the length
         of the keys: 1 KiB without a cut, then 1 KiB on average until one. A larger minimum makes sizes
         more even (an edit rewrites sum(size**2) / sum(size) = 2.5 KiB a level; 3.2 KiB with a minimum
         of 512), a smaller one makes two sequences meet again sooner.
Source   prolly trees: Noms, Dolt. entry_hash: the finaliser of SplitMix64 (Steele, Lea, Flood 2014;
         constants of Stafford's variant 13) chained over 8-byte words; not cryptographic: whoever picks
         keys to defeat it gets nodes between the minimum and the hard maximum.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

cimport cython
import numpy as np

from hangard_ext.treekey cimport (
    DIGEST_BYTES, KEY_BYTES_MAX, part_bytes, shared_bytes, start_of,
)
from hangard_ext.treenode cimport *

NODE_VERSION = VERSION
NODE_CUT_BYTES_MIN = CUT_BYTES_MIN
NODE_BYTES_MAX = BYTES_MAX
NODE_LEVEL_MAX = LEVEL_MAX

cdef uint8_t[DIGEST_BYTES] ZERO_DIGEST    # a C static: zeros


def entry_hash(int level, const unsigned char[::1] key):
    """The permanent 64-bit hash of (level, encoded key) that decides about cuts.

    state = mix((level + 1) * 0x9E3779B97F4A7C15 + size); then, for each 8 bytes of the key as a
    little-endian word (the last one filled up with zeros), state = mix(state ^ word).
    """
    return hash_of(level, start_of(key), key.shape[0])


# ---- decode

cdef int fault_of(const uint8_t* node, size_t size) noexcept nogil:
    """0 when every offset in the node lies within its `size` bytes, else the number of a fault."""
    cdef NodeView view
    cdef uint32_t i, end, previous
    cdef size_t fixed
    if size < HEADER_BYTES:
        return 1
    if node[0] != VERSION or le16(node + 6) != 0:
        return 2
    if node[1] > LEVEL_MAX or le16(node + 2) == 0:
        return 3
    view_checked(&view, node)
    fixed = HEADER_BYTES + <size_t>view.n * (END_BYTES + (BRANCH_ROW_BYTES if view.level else DIGEST_BYTES))
    if fixed + view.prefix_bytes > size:
        return 1
    previous = 0
    for i in range(view.n):
        end = suffix_end(&view, i)
        if end < previous or not 0 < view.prefix_bytes + end - previous <= KEY_BYTES_MAX:
            return 4
        previous = end
    if fixed + view.prefix_bytes + previous != size:
        return 1
    return 0


cdef object fault_error(int fault):
    return ValueError("node: " + {
        1: "its length does not fit its entries",
        2: "unknown version",
        3: "impossible level or number of entries",
        4: "impossible ends of keys",
        5: "keys are not strictly ascending",
        6: "a key is not a canonical key of this column",
        7: "the shared begin of the keys is not the longest one",
        8: "an entry without a digest",
        9: "an entry without samples below it",
        10: "it should have been cut earlier",
    }[fault])


@cython.final
cdef class Node:
    """A decoded node: bytes whose structure is sound, so that no access leaves them.

    Errors   ValueError when `data` is no node, or none of `level`. Order and content of the keys
             are not looked at: that is check_node's work, for bytes from outside.
    """

    def __cinit__(self, bytes data not None, level=None):
        cdef const uint8_t* start = <const uint8_t*>PyBytes_AS_STRING(data)
        cdef int fault = fault_of(start, len(data))
        if fault:
            raise fault_error(fault)
        self.data = data
        view_checked(&self.view, start)
        if level is not None and self.view.level != level:
            raise ValueError(f"node: level {self.view.level} where {level} was expected")

    @property
    def level(self):
        return self.view.level

    def __len__(self):
        return self.view.n

    @property
    def count(self):
        """Samples at or below this node."""
        cdef uint64_t total = 0
        cdef uint32_t i
        for i in range(self.view.n):
            total += count_at(&self.view, i)
        return total

    @property
    def last_key(self):
        return self.key(self.view.n - 1)

    cdef uint32_t index(self, Py_ssize_t i) except? 0xFFFFFFFF:
        if not 0 <= i < <Py_ssize_t>self.view.n:
            raise IndexError(f"entry {i} of {self.view.n}")
        return <uint32_t>i

    def key(self, Py_ssize_t i):
        cdef uint8_t[KEY_BYTES_MAX] key
        cdef size_t size = copy_key(&self.view, self.index(i), key)
        return PyBytes_FromStringAndSize(<char*>key, size)

    def digest(self, Py_ssize_t i):
        return PyBytes_FromStringAndSize(<char*>digest_at(&self.view, self.index(i)), DIGEST_BYTES)

    def row(self, Py_ssize_t i):
        """What a NodeWriter takes beside the key: digest, and at level > 0 the count as u64."""
        cdef bytes digest = self.digest(i)
        return digest if self.view.level == 0 else digest + self.view.counts[8 * i:8 * i + 8]

    def search(self, const unsigned char[::1] key):
        """Index of the first entry whose key is not below `key`; len(self) when all are."""
        cdef bint found
        return find_entry(&self.view, start_of(key), key.shape[0], &found)

    def find(self, const unsigned char[::1] key):
        """Digest of the entry with exactly this key, or None."""
        cdef bint found
        cdef uint32_t i = find_entry(&self.view, start_of(key), key.shape[0], &found)
        return self.digest(i) if found else None

    def block(self, Py_ssize_t begin=0):
        """Entries from `begin` on as (blob, ends (n,) uint32, digests (n, 32) uint8)."""
        cdef NodeView* view = &self.view
        cdef uint32_t n = view.n
        cdef uint32_t first = <uint32_t>min(max(begin, 0), n)
        cdef uint32_t m = n - first
        cdef uint32_t i
        cdef size_t used = 0
        ends_array = np.empty(m, np.uint32)
        digests_array = np.empty((m, DIGEST_BYTES), np.uint8)
        if m == 0:
            return b"", ends_array, digests_array
        cdef unsigned int[::1] ends = ends_array
        cdef unsigned char[:, ::1] digests = digests_array
        blob = PyBytes_FromStringAndSize(
            NULL, m * view.prefix_bytes + suffix_end(view, n - 1) - suffix_begin(view, first))
        cdef uint8_t* out = <uint8_t*>PyBytes_AS_STRING(blob)
        for i in range(m):
            used += copy_key(view, first + i, out + used)
            ends[i] = <unsigned int>used
        memcpy(&digests[0, 0], digest_at(view, first), m * DIGEST_BYTES)
        return blob, ends_array, digests_array


def check_node(bytes data not None, bint nested):
    """Check a node that comes from outside, all but what needs its neighbours.

    Errors   ValueError unless keys are canonical for the column's layout and strictly ascending, the
             shared begin is the longest, digests and counts are not zero, and no entry but the last
             one would have ended the node.
    """
    cdef const uint8_t* start = <const uint8_t*>PyBytes_AS_STRING(data)
    cdef int fault = fault_of(start, len(data))
    if fault == 0:
        fault = content_fault(start, nested)
    if fault:
        raise fault_error(fault)


cdef int content_fault(const uint8_t* node, bint nested) noexcept nogil:
    cdef NodeView view
    cdef uint8_t[KEY_BYTES_MAX] first
    cdef uint8_t[KEY_BYTES_MAX] key
    cdef size_t size = 0
    cdef size_t first_size, sum_bytes
    cdef Py_ssize_t part, second
    cdef uint32_t i
    view_checked(&view, node)
    first_size = copy_key(&view, 0, first)
    sum_bytes = 0
    for i in range(view.n):
        size = copy_key(&view, i, key)
        if i and compare_entry(&view, i - 1, key, size) >= 0:
            return 5
        part = part_bytes(key, size)
        second = part_bytes(key + part, size - part) if part and nested else 0
        if part == 0 or (nested and second == 0) or <size_t>(part + second) != size:
            return 6
        if memcmp(digest_at(&view, i), ZERO_DIGEST, DIGEST_BYTES) == 0:
            return 8
        if count_at(&view, i) == 0:
            return 9
        sum_bytes += entry_bytes_of(view.level, size)
        if i + 1 < view.n and cuts(view.level, key, size, entry_bytes_of(view.level, size), sum_bytes):
            return 10
    if shared_bytes(first, first_size, key, size) != view.prefix_bytes:
        return 7
    return 0
