"""Tree nodes for the writing side: found through the index, read from the log, kept a while."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from pathlib import Path

import numpy as np
import numpy.typing as npt
from hangard_ext.digest import crc32c
from hangard_ext.recordspec import unpack_one

from hangard.errors import Corrupt
from hangard.limits import CACHE_BYTES_MAX, KIB
from hangard.model.commit import Digest
from hangard.model.directory import data_path
from hangard.repository.storage import Bytes, Storage

LOGS_OPEN_MAX = 64
NODE_BYTES_MEAN = 2 * KIB
NODES_CACHED_MAX = CACHE_BYTES_MAX // NODE_BYTES_MEAN


class Nodes:
    """The node store over which commits edit trees. Thread-safe."""

    def __init__(self, directory: Path, storage: Storage) -> None:
        self._directory = directory
        self._storage = storage
        self._lock = threading.Lock()
        self._cache: OrderedDict[Digest, bytes] = OrderedDict()
        self._logs: OrderedDict[str, int] = OrderedDict()

    def get(self, digest: Digest) -> bytes:
        """One node. Errors: Corrupt (``missing-node``, ``damaged-node``)."""
        with self._lock:
            node = self._cache.get(digest)
            if node is not None:
                self._cache.move_to_end(digest)
                return node
            node = self._read(digest)
            self._remember(digest, node)
            return node

    def put_many(self, digests: Bytes, blob: bytes, ends: npt.NDArray[np.uint64]) -> None:
        """Store nodes that are not stored yet. Errors: NoSpace."""
        _, found = self._storage.find_many(digests)
        starts = [0, *ends[:-1].tolist()] if len(ends) else []
        pairs = list(zip(starts, ends.tolist(), strict=True))
        with self._lock:
            for row, (start, end) in zip(digests, pairs, strict=True):
                self._remember(row.tobytes(), blob[start:end])
        if found.any():
            absent = np.flatnonzero(~found)
            pieces = [blob[slice(*pairs[position])] for position in absent.tolist()]
            digests = np.ascontiguousarray(digests[absent])
            blob = b"".join(pieces)
            ends = np.cumsum([len(piece) for piece in pieces], dtype=np.uint64)
        if len(digests):
            self._storage.write_nodes(digests, blob, ends)

    def close(self) -> None:
        """Close the logs; the cache goes with the object."""
        with self._lock:
            for fd in self._logs.values():
                os.close(fd)
            self._logs.clear()

    def _read(self, digest: Digest) -> bytes:
        specs, found = self._storage.find_many(np.frombuffer(digest, np.uint8).reshape(1, 32))
        if not found[0]:
            raise Corrupt(f"tree node {digest.hex()} is missing", code="missing-node")
        code, _, _, number, offset, length, _, checksum, _ = unpack_one(specs[0].tobytes())
        path = data_path(code, number)
        node = os.pread(self._log(path), length, offset)
        if len(node) != length or crc32c(node) != checksum:
            raise Corrupt(
                f"tree node {digest.hex()} at {path}:{offset} is damaged", code="damaged-node"
            )
        return node

    def _log(self, path: str) -> int:
        fd = self._logs.get(path)
        if fd is None:
            if len(self._logs) >= LOGS_OPEN_MAX:
                os.close(self._logs.popitem(last=False)[1])
            fd = self._logs[path] = os.open(self._directory / path, os.O_RDONLY | os.O_CLOEXEC)
        self._logs.move_to_end(path)
        return fd

    def _remember(self, digest: Digest, node: bytes) -> None:
        self._cache[digest] = node
        self._cache.move_to_end(digest)
        while len(self._cache) > NODES_CACHED_MAX:
            self._cache.popitem(last=False)
