"""Tree nodes for the writing side: found through the index, read from the log, kept a while."""

from __future__ import annotations

import os
from collections import OrderedDict
from pathlib import Path

import numpy as np
import numpy.typing as npt
from hangard_ext.digest import crc32c
from hangard_ext.recordspec import unpack_one
from hangard_ext.treecache import NodeCache

from hangard.errors import Corrupt
from hangard.limits import CACHE_BYTES_MAX
from hangard.model.commit import Digest
from hangard.model.directory import data_path
from hangard.repository.storage import Storage
from hangard.tree.search import find_many
from hangard.tree.store import Digests, Ends

LOGS_OPEN_MAX = 64


class Nodes:
    """The node store over which commits and merges edit trees. For one thread at a time."""

    def __init__(self, directory: Path, storage: Storage) -> None:
        self._directory = directory
        self._storage = storage
        self._cache = NodeCache(self._read, CACHE_BYTES_MAX, self._read_many)
        self._logs: OrderedDict[str, int] = OrderedDict()

    def get(self, digest: Digest) -> bytes:
        """One node. Errors: Corrupt (``missing-node``, ``damaged-node``)."""
        return self._cache.get(digest)

    def get_many(self, digests: list[Digest]) -> list[bytes]:
        """Many nodes. Errors: as get."""
        return self._cache.get_many(digests)

    def find_many(self, root: Digest, blob: bytes, ends: Ends) -> Digests:
        """Digests (n, 32) of packed keys under a root, zeros for absent ones. Errors: Corrupt."""
        return find_many(self._cache, root, blob, ends)[0]

    def put_many(self, digests: Digests, blob: bytes, ends: npt.NDArray[np.uint64]) -> None:
        """Store nodes that are not stored yet. Errors: NoSpace."""
        self._cache.add_many(digests, blob, ends)
        found = self._storage.find_used(digests)
        if found.any():
            absent = np.flatnonzero(~found)
            starts = np.concatenate([np.zeros(1, np.uint64), ends[:-1]])
            pieces = [blob[int(starts[i]) : int(ends[i])] for i in absent]
            digests = np.ascontiguousarray(digests[absent])
            blob = b"".join(pieces)
            ends = np.cumsum([len(piece) for piece in pieces], dtype=np.uint64)
        if len(digests):
            self._storage.write_nodes(digests, blob, ends)

    def close(self) -> None:
        """Close the logs; the cache goes with the object."""
        for fd in self._logs.values():
            os.close(fd)
        self._logs.clear()

    def _read(self, digest: Digest) -> bytes:
        return self._read_many([digest])[0]

    def _read_many(self, digests: list[Digest]) -> list[bytes]:
        nodes = []
        for digest, spec in zip(digests, self._locate(digests), strict=True):
            try:
                nodes.append(self._read_at(digest, spec))
            except FileNotFoundError:
                # gc moved it between the look-up and the opening
                nodes.append(self._read_at(digest, self._locate([digest])[0]))
        return nodes

    def _locate(self, digests: list[Digest]) -> list[bytes]:
        rows = np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 32)
        specs, found = self._storage.find_many(rows)
        if not found.all():
            absent = digests[int(found.argmin())]
            raise Corrupt(f"tree node {absent.hex()} is missing", code="missing-node")
        return [spec.tobytes() for spec in specs]

    def _read_at(self, digest: Digest, spec: bytes) -> bytes:
        code, _, _, number, offset, length, _, checksum, _ = unpack_one(spec)
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
