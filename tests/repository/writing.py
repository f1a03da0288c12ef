"""A writer against the repository itself: what a daemon's client does, without a daemon."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from hangard_ext.treekey import encode_keys

from hangard.model.schema import make_schema
from hangard.reading.snapshot import RepositoryReader
from hangard.repository.changes import ColumnChange, Deletion, Prepared
from hangard.repository.repository import Repository
from hangard.repository.session import Session
from hangard.wire.messages import CommitRequest, CommitResult

Array = npt.NDArray[Any]


class Writer:
    """One session and the stream of its only client."""

    def __init__(self, repository: Repository, session: Session | None = None, **opening: Any):
        self.repository = repository
        self.session = session or repository.open_session(**opening)
        self.sequence = self.session.attach()
        self.sent = 0

    def column(
        self,
        name: str,
        shape: Any = (4,),
        dtype: Any = "u1",
        backend: str = "10",
        **options: Any,
    ) -> None:
        schema = make_schema(dtype=dtype, shape=shape, backend=backend, backend_options=options)
        self.apply(ColumnChange(name, schema, create=True))

    def put(self, column: str, samples: Mapping[Any, Array] | tuple[Any, Array]) -> None:
        self.apply(self.prepare(column, samples))

    def prepare(self, column: str, samples: Mapping[Any, Array] | tuple[Any, Array]) -> Prepared:
        if isinstance(samples, tuple):
            keys, rows = samples
        else:
            keys, rows = list(samples), np.stack(list(samples.values()))
        blob, ends = encode_keys(keys)
        schema = self.session.schema(column)
        rows = np.ascontiguousarray(rows)
        flat = rows.view(np.uint8).reshape(len(ends), schema.sample_bytes)
        return self.repository.prepare_rows(
            self.session.id, column, blob, ends, rows.dtype.str, rows.shape[1:], flat
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
    """Every sample of a commit, read as another process would, each checked."""
    with RepositoryReader(repository.path) as reader:
        checkout = reader.checkout_commit(commit)
        return {name: dict(column.items()) for name, column in checkout.items()}


def open_new(path: Path) -> Repository:
    """A new repository at ``path``, open."""
    Repository.create(path)
    return Repository.open(path)
