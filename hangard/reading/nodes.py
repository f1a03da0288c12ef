"""Tree nodes out of log files."""

from __future__ import annotations

from mmap import mmap

import numpy as np
from hangard_ext.digest import crc32c
from hangard_ext.recordspec import CODEC_RAW, unpack_one

from hangard.errors import Corrupt
from hangard.model.commit import Digest
from hangard.model.directory import FORMAT_LOG
from hangard.reading.locations import Locations
from hangard.reading.mapping import SPEC_HEAD_BYTES, MappedFiles
from hangard.reading.tables import DIGEST_BYTES, SPEC_BYTES, digest_row


class StoredNodes:
    """``get`` and ``get_many`` of nodes over locations and mapped files, as hangard.tree wants
    them. Thread-safe.

    Each node is compared with its CRC32C. Errors: Corrupt (``missing-node``, ``damaged-node``).
    """

    def __init__(self, locations: Locations, files: MappedFiles) -> None:
        self._locations = locations
        self._files = files

    def get(self, digest: Digest) -> bytes:
        spec = self._locations.find(digest)
        node = None if spec is None else self._read(spec)
        return self._get_again(digest) if node is None else node

    def get_many(self, digests: list[Digest]) -> list[bytes]:
        """Their locations are looked up at once."""
        rows = np.frombuffer(b"".join(digests), dtype=np.uint8).reshape(-1, DIGEST_BYTES)
        specs, found = self._locations.find_many(rows)
        packed = specs.tobytes()
        mapped: dict[bytes, mmap] = {}
        nodes = []
        for i, (digest, is_found) in enumerate(zip(digests, found.tolist(), strict=True)):
            spec = packed[i * SPEC_BYTES : (i + 1) * SPEC_BYTES]
            node = self._read(spec, mapped) if is_found else None
            nodes.append(self._get_again(digest) if node is None else node)
        return nodes

    def _get_again(self, digest: Digest) -> bytes:
        """It was moved since its location was learnt, or is damaged."""
        self._locations.forget(digest_row(digest))
        spec = self._locations.find(digest)
        if spec is None:
            raise Corrupt(
                f"tree node {digest.hex()} is missing", code="missing-node", digest=digest
            )
        self._files.forget(spec)
        node = self._read(spec)
        if node is None:
            path, offset = self._files.path_of(spec), unpack_one(spec)[4]
            raise Corrupt(
                f"tree node {digest.hex()} at byte {offset} of {path} is damaged",
                code="damaged-node",
                digest=digest,
                file=str(path),
                offset=offset,
            )
        return node

    def _read(self, spec: bytes, known: dict[bytes, mmap] | None = None) -> bytes | None:
        """The node at a place, None if it is not there or does not match its checksum.

        ``known`` are files that were opened for the same call, by the heads of specs.
        """
        format_code, _, codec, _, offset, length, _, crc, _ = unpack_one(spec)
        if format_code != FORMAT_LOG or codec != CODEC_RAW:
            return None
        known = {} if known is None else known
        head = spec[:SPEC_HEAD_BYTES]
        mapped = known.get(head)
        if mapped is None:
            try:
                mapped = known[head] = self._files.of(spec)
            except FileNotFoundError:
                return None
        end = offset + length
        if end > len(mapped):
            longer = self._files.longer(spec, mapped)
            if longer is None or end > len(longer):
                return None
            mapped = known[head] = longer
        node = mapped[offset:end]
        return node if crc32c(node) == crc else None
