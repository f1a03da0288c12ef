"""A repository that Hangar 0.5.2 made, and small ones written as it writes them.

The first is the truth about the format: five commits with a merge, columns of every kind, and
beside it what each of its commits holds. The small ones have what it has not: damage, keys and
samples that Hangar should have refused, columns that go and come back.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import blosc2
import lmdb
import numpy as np
import xxhash

GOLDEN = Path(__file__).parents[1] / "golden"
FILES = ("branch", "ref", "hash", "stage_ref", "stage_hash")
MAP_BYTES = 10 * 1024 * 1024


def unpack(folder: Path) -> Path:
    """The repository of Hangar 0.5.2, in a new folder."""
    with tarfile.open(GOLDEN / "hangar-repository.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    return folder / "hangar-a"


def expected() -> dict[str, Any]:
    """What it holds: ``branches``, ``commits`` (columns and samples of each), ``log``."""
    with lzma.open(GOLDEN / "hangar-repository.expected.json.xz") as file:
        return json.load(file)


def key_text(key: int | str) -> str:
    """A key as the expected content has it."""
    return f"i:{key}" if isinstance(key, int) else f"s:{key}"


def summary(sample: Any) -> list[Any]:
    """A sample as the expected content has it."""
    if isinstance(sample, np.ndarray):
        digest = hashlib.sha256(np.ascontiguousarray(sample).tobytes()).hexdigest()
        return [sample.dtype.name, list(sample.shape), digest]
    payload = sample.encode() if isinstance(sample, str) else sample
    return [type(sample).__name__, len(payload), hashlib.sha256(payload).hexdigest()]


def _hex(*parts: bytes) -> str:
    return hashlib.blake2b(b"".join(parts), digest_size=20).hexdigest()


@dataclass
class HangarWriter:
    """Writes a repository of Hangar: uint8 columns in format 10, one file a commit."""

    folder: Path
    version: str = "0.5.2"
    lock: str = "LOCK_AVAILABLE"
    branches: dict[str, str] = field(default_factory=dict)
    records: dict[str, dict[bytes, bytes]] = field(default_factory=lambda: {f: {} for f in FILES})
    files: int = 0

    def schema(self, shape: Any, **changed: Any) -> str:
        """Store a schema; its digest."""
        fields = {
            "column_layout": "flat",
            "column_type": "ndarray",
            "schema_hasher_tcode": "1",
            "data_hasher_tcode": "0",
            "schema_type": "fixed_shape",
            "shape": shape,
            "dtype": "uint8",
            "backend": "10",
            "backend_options": {},
        } | changed
        text = repr(fields).replace(" ", "").encode()
        digest = "1=" + hashlib.blake2b(text, digest_size=6).hexdigest()
        self.records["hash"][f"s:{digest}".encode()] = text
        return digest

    def samples(self, samples: Mapping[str, np.ndarray]) -> dict[str, str]:
        """Store samples of one shape in a new file; digests by key."""
        arrays = list(samples.values())
        self.files += 1
        uid = f"file{self.files:04}"
        folder = self.folder / ".hangar" / "data" / "10"
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / f"{uid}.npy", np.stack(arrays))
        result = {}
        for row, (key, array) in enumerate(samples.items()):
            shape = " ".join(map(str, array.shape))
            numbers = np.array([*array.shape, array.dtype.num], "<i4").tobytes()
            digest = "0=" + _hex(array.tobytes(), numbers)
            checksum = xxhash.xxh64_hexdigest(array.tobytes())
            self.records["hash"][f"h:{digest}".encode()] = (
                f"10:{uid}:{checksum}:{row}:{shape}".encode()
            )
            result[key] = digest
        return result

    def commit(
        self, branch: str, records: Mapping[str, str], *parents: str, message: str = "a commit"
    ) -> str:
        """Store a commit that has these records; its digest."""
        parent = " << ".join(parents).encode()
        fields = {
            "commit_time": 1_600_000_000.25 + len(self.records["ref"]),
            "commit_message": message,
            "commit_user": "Ada Example",
            "commit_email": "ada@example.org",
        }
        spec = json.dumps(fields, separators=(",", ":")).encode()
        lines = [f"{key} {value}".encode() for key, value in sorted(records.items())]
        each = "".join(_hex(line) for line in lines).encode()
        parts = sorted((_hex(parent), _hex(spec), _hex(each)))
        digest = "a=" + _hex("".join(parts).encode())
        ref = self.records["ref"]
        ref[digest.encode()] = parent
        ref[f"{digest}:spec".encode()] = _frame(spec)
        ref[f"{digest}:ref".encode()] = _frame(b"$".join(lines))
        self.branches[branch] = digest
        return digest

    def close(self) -> Path:
        """Write the LMDB files; the path of the repository."""
        branch = self.records["branch"]
        for name, head in self.branches.items():
            branch[f"branch:{name}".encode()] = head.encode()
        branch[b"head"] = b"branch:" + next(iter(self.branches)).encode()
        branch[b"software_version"] = self.version.encode()
        branch[b"writerlock:"] = self.lock.encode()
        (self.folder / ".hangar").mkdir(parents=True, exist_ok=True)
        for name, records in self.records.items():
            write_lmdb(self.folder / ".hangar" / f"{name}.lmdb", records)
        return self.folder


def write_lmdb(path: Path, records: Mapping[bytes, bytes]) -> None:
    """Put records into an LMDB file of Hangar's kind."""
    env = lmdb.open(
        str(path), subdir=False, lock=False, map_size=MAP_BYTES, lib_version=0, readonly=False
    )
    with env, env.begin(write=True) as txn:
        for key, value in records.items():
            txn.put(key, value)


def _frame(content: bytes) -> bytes:
    return blosc2.compress(content, typesize=1) if content else bytes(12) + b"\x10\0\0\0"
