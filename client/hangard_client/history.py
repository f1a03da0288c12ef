"""Commits as ``log`` lists them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from hangard.model.commit import Author, Commit, Digest


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One commit. ``time_ns`` is nanoseconds since the epoch, UTC."""

    digest: Digest
    parents: tuple[Digest, ...]
    author: Author
    message: str
    time_ns: int
    metadata: Mapping[str, str]

    @classmethod
    def of(cls, digest: Digest, commit: Commit) -> LogEntry:
        return cls(
            digest,
            commit.parents,
            commit.author,
            commit.message,
            commit.time_ns,
            dict(commit.metadata),
        )

    @property
    def time(self) -> datetime:
        """The time of the commit, UTC."""
        return datetime.fromtimestamp(self.time_ns / 1e9, UTC)
