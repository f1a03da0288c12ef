"""A writer against the repository itself: what a daemon's client does, without a daemon."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from hangard_ext.codec import read_row
from hangard_ext.recordspec import unpack_one
from hangard_ext.treekey import decode_key, encode_keys

from hangard.errors import Corrupt
from hangard.model.directory import data_path, directory_of
from hangard.model.schema import Schema, make_schema
from hangard.repository.changes import ColumnChange, Deletion
from hangard.repository.repository import Repository
from hangard.repository.session import Session
from hangard.tree.diff import diff
from hangard.tree.store import EMPTY_ROOT
from hangard.wire.messages import CommitRequest, CommitResult

Array = npt.NDArray[Any]


class Writer:
    """One session and the stream of its only client."""

    def __init__(self, repository: Repository, session: Session | None = None, **opening: Any):
        self.repository = repository
        self.session = session or repository.open_session(**opening)
        self.sequence = self.session.attach()
        self.sent = 0

    def column(self, name: str, shape: Any = (4,), dtype: Any = "u1", backend: str = "10") -> None:
        schema = make_schema(dtype=dtype, shape=shape, backend=backend)
        self.apply(ColumnChange(name, schema, create=True))

    def put(self, column: str, samples: Mapping[Any, Array] | tuple[Any, Array]) -> None:
        if isinstance(samples, tuple):
            keys, rows = samples
        else:
            keys, rows = list(samples), np.stack(list(samples.values()))
        blob, ends = encode_keys(keys)
        schema = self.session.schema(column)
        rows = np.ascontiguousarray(rows)
        flat = rows.view(np.uint8).reshape(len(ends), schema.sample_bytes)
        self.apply(
            self.repository.prepare_rows(
                self.session.id, column, blob, ends, rows.dtype.str, rows.shape[1:], flat
            )
        )

    def delete(self, column: str, *keys: Any) -> None:
        self.apply(Deletion(column, *encode_keys(keys)))

    def apply(self, change: Any) -> None:
        self.repository.apply(self.session.id, self.sequence, change)
        self.sent = self.sequence
        self.sequence += 1

    def request(self, message: str = "a commit", **fields: Any) -> CommitRequest:
        return CommitRequest(
            session=self.session.id,
            command_id=fields.pop("command_id", None) or secrets.token_bytes(16),
            message=message,
            author_name="Ada",
            author_email="ada@example.org",
            last_sequence=fields.pop("last_sequence", self.sent),
            epoch=self.repository.epoch,
            **fields,
        )

    def commit(self, message: str = "a commit", **fields: Any) -> CommitResult:
        return self.repository.commit(self.session.id, self.request(message, **fields))


def read_commit(repository: Repository, commit: bytes | None) -> dict[str, dict[Any, Array]]:
    """Every sample of a commit, through the index and the files, each checked."""
    if commit is None:
        return {}
    tree = repository._objects.commit_tree(commit)
    result: dict[str, dict[Any, Array]] = {}
    for name, entry in tree.items():
        schema = repository._objects.schema(entry.schema)
        result[name] = {}
        for key, digest in all_entries(repository, entry.root).items():
            result[name][key] = read_digest(repository, schema, digest)
    return result


def all_entries(repository: Repository, root: bytes) -> dict[Any, bytes]:
    """Key to digest of a column's tree."""
    changes = diff(repository._nodes, EMPTY_ROOT, root)
    return {decode_key(key): after for key, _, after in changes}


def read_digest(repository: Repository, schema: Schema, digest: bytes) -> Array:
    """One sample by its digest."""
    specs, found = repository._storage.find_many(np.frombuffer(digest, np.uint8).reshape(1, 32))
    if not found[0]:
        raise Corrupt(f"digest {digest.hex()} is not in the index")
    spec = specs[0].tobytes()
    code, _, _, segment, *_ = unpack_one(spec)
    content = (directory_of(repository.path) / data_path(code, segment)).read_bytes()
    out = np.empty(schema.sample_bytes, np.uint8)
    if not read_row(content, spec, schema.sample_bytes, out):
        raise Corrupt(f"digest {digest.hex()} does not match its checksum")
    return out.view(schema.numpy_dtype).reshape(schema.shape)


def open_new(path: Path) -> Repository:
    """A new repository at ``path``, open."""
    Repository.create(path)
    return Repository.open(path)
