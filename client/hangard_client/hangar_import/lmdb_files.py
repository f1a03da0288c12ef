"""LMDB files, read without liblmdb: every offset is checked against the file's length.

Hangar opens its files without locks, and liblmdb believes what a page says: a damaged or cut-off
file would end this process with a signal. Here it is an error that names the file.

Format   LMDB's data version 1, little-endian, one unnamed database of plain keys
Source   LMDB's mdb.c, MDB_page, MDB_node and MDB_meta

    page     0  u64 number | 10 u16 flags (1 branch, 2 leaf, 4 overflow, 8 meta) | 12 u16 lower |
             14 u16 upper, or 12 u32 pages of an overflow | 16 u16 offset of each node
    node     0  u16, u16, u16: child page (branch), or u32 length of the value and u16 flags
             (1: the value is the number of its overflow page) | 6 u16 length of the key | 8 key
    meta     16 u32 magic | 20 u32 version | 40 u32 page size | 88 main database: 92 u16 flags,
             94 u16 depth, 128 u64 root | 144 u64 transaction
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from hangard_client.hangar_import.records import damaged

MAGIC: Final = 0xBEEFC0DE
VERSION: Final = 1
NO_PAGE: Final = 2**64 - 1
PAGE_HEADER_BYTES: Final = 16
NODE_HEADER_BYTES: Final = 8
META_BYTES: Final = 152
DEPTH_MAX: Final = 32
BRANCH, LEAF, OVERFLOW = 1, 2, 4
BIG_DATA: Final = 1

_META = struct.Struct("<II8xQ")  # at 16
_PAGE = struct.Struct("<HHH")  # at 10: flags, lower, upper
_NODE = struct.Struct("<HHHH")
_U64 = struct.Struct("<Q")


class LmdbFile:
    """One file. Its content is that of the newest transaction when it was opened.

    Errors of all methods: Corrupt (``damaged-source``), OSError.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            size = os.fstat(fd).st_size
            if size < META_BYTES:
                raise self._damaged("header", f"it has {size} bytes only")
            self._data = mmap.mmap(fd, size, access=mmap.ACCESS_READ)
        finally:
            os.close(fd)
        try:
            self._root, self._page_bytes = self._open()
        except BaseException:
            self._data.close()
            raise
        self._pages = len(self._data) // self._page_bytes

    def get(self, key: bytes) -> bytes | None:
        """The value of a key; None if there is none."""
        number = self._root
        for _ in range(DEPTH_MAX):
            if number == NO_PAGE:
                return None
            start, is_leaf, count = self._page(number)
            low, high = (0, count) if is_leaf else (1, count)  # a branch's first key is empty
            while low < high:
                middle = (low + high) // 2
                if self._key(start, middle) <= key:
                    low = middle + 1
                else:
                    high = middle
            if is_leaf:
                found = low > 0 and self._key(start, low - 1) == key
                return self._value(start, low - 1) if found else None
            number = self._child(start, low - 1)
        raise self._damaged("tree", f"it is deeper than {DEPTH_MAX} pages")

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """All keys, rising, with their values."""
        seen = 0
        stack = [self._root] if self._root != NO_PAGE else []
        while stack:
            seen += 1
            if seen > self._pages:
                raise self._damaged("tree", "its pages form a circle")
            start, is_leaf, count = self._page(stack.pop())
            if is_leaf:
                for i in range(count):
                    yield self._key(start, i), self._value(start, i)
            else:
                stack.extend(self._child(start, i) for i in reversed(range(count)))

    def close(self) -> None:
        """May be called twice."""
        self._data.close()

    def _open(self) -> tuple[int, int]:
        """Number of the root page, and the size of a page."""
        newest, result = -1, (NO_PAGE, 0)
        offset = 0
        for _ in range(2):
            if len(self._data) < offset + META_BYTES:
                raise self._damaged("header", "it is cut off")
            magic, version, _ = _META.unpack_from(self._data, offset + 16)
            (page_bytes,) = struct.unpack_from("<I", self._data, offset + 40)
            flags, _ = struct.unpack_from("<HH", self._data, offset + 92)
            (root,) = _U64.unpack_from(self._data, offset + 128)
            (number,) = _U64.unpack_from(self._data, offset + 144)
            sizes = (1 << bits for bits in range(9, 17))
            if magic != MAGIC or version != VERSION or page_bytes not in sizes or flags:
                raise self._damaged("header", "it is no LMDB file of Hangar")
            if number > newest:
                newest, result = number, (root, page_bytes)
            offset = page_bytes
        return result

    def _page(self, number: int) -> tuple[int, bool, int]:
        """Offset of a page, whether it is a leaf, and how many nodes it has."""
        if number >= self._pages:
            raise self._damaged(f"page {number}", f"the file ends after {self._pages} pages")
        start = number * self._page_bytes
        flags, lower, upper = _PAGE.unpack_from(self._data, start + 10)
        if flags & (BRANCH | LEAF | OVERFLOW) not in (BRANCH, LEAF):
            raise self._damaged(f"page {number}", "it is neither branch nor leaf")
        if not PAGE_HEADER_BYTES <= lower <= upper <= self._page_bytes:
            raise self._damaged(f"page {number}", "its header is impossible")
        return start, bool(flags & LEAF), (lower - PAGE_HEADER_BYTES) // 2

    def _node(self, start: int, index: int) -> tuple[int, tuple[int, ...]]:
        """Offset of a node, and its header."""
        place = start + PAGE_HEADER_BYTES + 2 * index
        offset = int.from_bytes(self._data[place : place + 2], "little")
        if offset + NODE_HEADER_BYTES > self._page_bytes:
            raise self._damaged(f"page {start // self._page_bytes}", "a node lies outside")
        header = _NODE.unpack_from(self._data, start + offset)
        if offset + NODE_HEADER_BYTES + header[3] > self._page_bytes:
            raise self._damaged(f"page {start // self._page_bytes}", "a key lies outside")
        return start + offset, header

    def _key(self, start: int, index: int) -> bytes:
        node, header = self._node(start, index)
        first = node + NODE_HEADER_BYTES
        return self._data[first : first + header[3]]

    def _child(self, start: int, index: int) -> int:
        _, (low, middle, high, _) = self._node(start, index)
        return int(low | middle << 16 | high << 32)

    def _value(self, start: int, index: int) -> bytes:
        node, (low, high, flags, key_bytes) = self._node(start, index)
        length = low | high << 16
        first = node + NODE_HEADER_BYTES + key_bytes
        end = start + self._page_bytes
        if flags & BIG_DATA:
            number = int.from_bytes(self._data[first : first + 8], "little")
            if first + 8 > end or number >= self._pages:
                raise self._damaged(f"page {start // self._page_bytes}", "a value lies outside")
            first, end = number * self._page_bytes + PAGE_HEADER_BYTES, len(self._data)
        if first + length > end:
            raise self._damaged(f"page {start // self._page_bytes}", "a value is cut off")
        return self._data[first : first + length]

    def _damaged(self, record: str, why: str) -> Exception:
        return damaged(self.path, record, why)
