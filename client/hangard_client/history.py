"""Commits as ``log`` lists them, tags, and movements of refs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

from hangard.errors import InvalidType
from hangard.model.commit import Author, Commit, Digest
from hangard.model.commit import Tag as StoredTag


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


Revision: TypeAlias = "str | bytes | LogEntry"
"""What names a commit: a branch, a tag, a digest or the beginning of one, any of them with ``~2``
and the like (hangard.reading.revisions), or an entry of the log."""


def plain_revision(revision: Any) -> str | bytes:
    """An entry of the log as its digest. Errors: InvalidType (``invalid-revision-type``)."""
    if isinstance(revision, LogEntry):
        revision = revision.digest
    if isinstance(revision, bytes):
        return bytes(revision)  # a message takes no subclass of bytes
    if not isinstance(revision, str):
        raise InvalidType(
            f"a revision is a str, a digest or an entry of the log, not {type(revision).__name__}",
            code="invalid-revision-type",
        )
    return revision


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


@dataclass(frozen=True, slots=True)
class History:
    """Commits, each after all its descendants, else the newest first; and what names them.

    ``head``  where it begins: the commit of the revision, None without one, or for all refs
    ``branches``, ``tags``  names by commit, of commits that are among the entries or not
    """

    head: CommitDigest | None
    entries: tuple[LogEntry, ...]
    branches: Mapping[bytes, tuple[str, ...]]
    tags: Mapping[bytes, tuple[str, ...]]

    @property
    def order(self) -> list[CommitDigest]:
        return [entry.digest for entry in self.entries]

    @property
    def ancestors(self) -> dict[CommitDigest, tuple[CommitDigest, ...]]:
        """Parents by commit."""
        return {entry.digest: entry.parents for entry in self.entries}


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag. ``time_ns`` is nanoseconds since the epoch, UTC; without a tag object (``tagger`` is
    None) nothing is known but the commit."""

    name: str
    commit: CommitDigest
    tagger: Author | None
    message: str
    time_ns: int

    @classmethod
    def of(cls, name: str, stored: StoredTag | None, commit: Digest) -> Tag:
        if stored is None:
            return cls(name, CommitDigest(commit), None, "", 0)
        return cls(name, CommitDigest(commit), stored.tagger, stored.message, stored.time_ns)

    @property
    def time(self) -> datetime:
        """When it was made, UTC."""
        return datetime.fromtimestamp(self.time_ns / 1e9, UTC)


@dataclass(frozen=True, slots=True)
class RefMovement:
    """One entry of the reflog. ``ref`` is a full name (``heads/main``); ``before`` and ``after``
    are None where the ref had no commit or was not there."""

    ref: str
    before: CommitDigest | None
    after: CommitDigest | None
    action: str
    user: str
    time_ns: int

    @property
    def time(self) -> datetime:
        """When it moved, UTC."""
        return datetime.fromtimestamp(self.time_ns / 1e9, UTC)
