"""Commits as ``log`` lists them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from hangard.model.commit import Author, Commit, Digest


class CommitDigest(bytes):
    """The 32 bytes that name a commit; printed, they are 64 hexadecimal digits."""

    __slots__ = ()

    def __str__(self) -> str:
        return self.hex()

    def __repr__(self) -> str:
        return f"CommitDigest({self.hex()})"

    @classmethod
    def or_none(cls, digest: Digest | None) -> CommitDigest | None:
        """None stays None: a branch without a commit."""
        return cls(digest) if digest else None


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One commit. ``time_ns`` is nanoseconds since the epoch, UTC."""

    digest: CommitDigest
    parents: tuple[CommitDigest, ...]
    author: Author
    message: str
    time_ns: int
    metadata: Mapping[str, str]

    @classmethod
    def of(cls, digest: Digest, commit: Commit) -> LogEntry:
        return cls(
            CommitDigest(digest),
            tuple(map(CommitDigest, commit.parents)),
            commit.author,
            commit.message,
            commit.time_ns,
            dict(commit.metadata),
        )

    @property
    def time(self) -> datetime:
        """The time of the commit, UTC."""
        return datetime.fromtimestamp(self.time_ns / 1e9, UTC)
