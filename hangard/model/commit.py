"""Commits, the trees they name, and the tags that name them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Digest = bytes
ZERO_DIGEST: Digest = bytes(32)


@dataclass(frozen=True, slots=True)
class Author:
    """Who made a commit."""

    name: str
    email: str

    def __str__(self) -> str:
        return f"{self.name} <{self.email}>"


@dataclass(frozen=True, slots=True)
class ColumnEntry:
    """One column in a tree: the digests of its schema and of the root of its samples' prolly
    tree."""

    schema: Digest
    root: Digest


Tree = Mapping[str, ColumnEntry]


@dataclass(frozen=True, slots=True)
class Commit:
    """An immutable commit. ``time_ns`` is nanoseconds since the epoch, UTC; ``metadata`` sorted
    pairs."""

    parents: tuple[Digest, ...]
    tree: Digest
    author: Author
    message: str
    time_ns: int
    metadata: tuple[tuple[str, str], ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Tag:
    """An immutable name of a commit, with who gave it, when and why. ``target`` is the commit's
    digest, ``time_ns`` nanoseconds since the epoch, UTC."""

    target: Digest
    name: str
    tagger: Author
    message: str
    time_ns: int
