"""Where nodes come from and go to, and the words that all of hangard.tree uses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt
from hangard_ext.treenode import Node

from hangard.errors import Corrupt, HangardError
from hangard.model.commit import ZERO_DIGEST, Digest

EMPTY_ROOT: Digest = ZERO_DIGEST
"""The root of a tree without entries; in changes, the digest of a deleted entry."""

NODE_CONTEXT = "hangard node v1"
"""Derive-key context of a node's digest."""

DIGEST_BYTES = 32

Ends: TypeAlias = npt.NDArray[np.uint32]
Digests: TypeAlias = npt.NDArray[np.uint8]
Changes: TypeAlias = tuple[bytes, Ends, Digests]
"""Packed keys and a digest for each: (blob, ends (n,), digests (n, 32)); zero digest: deleted."""


class NodeSource(Protocol):
    """Brings nodes by digest."""

    def get(self, digest: Digest, /) -> bytes:
        """The node's bytes; whatever error the store has for an absent one."""


@runtime_checkable
class NodesSource(NodeSource, Protocol):
    """Brings many nodes at once for less than one by one."""

    def get_many(self, digests: list[Digest], /) -> list[bytes]:
        """The bytes of each, in order; whatever error the store has for an absent one."""


class NodeStore(NodeSource, Protocol):
    """Brings and keeps nodes. What was put can be got at once."""

    def put_many(self, digests: Digests, blob: bytes, ends: npt.NDArray[np.uint64], /) -> None:
        """Keep n nodes, node i being ``blob[ends[i-1]:ends[i]]``; nodes it has already are no
        error."""


class MemoryNodes:
    """A store over a source: what is put stays in memory, and goes with the object."""

    def __init__(self, source: NodeSource) -> None:
        self._source = source
        self._nodes: dict[Digest, bytes] = {}

    def get(self, digest: Digest, /) -> bytes:
        """Errors: those of the source."""
        known = self._nodes.get(digest)
        return known if known is not None else self._source.get(digest)

    def get_many(self, digests: list[Digest], /) -> list[bytes]:
        """Errors: those of the source."""
        missing = [digest for digest in digests if digest not in self._nodes]
        brought = dict(zip(missing, get_many(self._source, missing), strict=True))
        return [self._nodes.get(digest) or brought[digest] for digest in digests]

    def put_many(self, digests: Digests, blob: bytes, ends: npt.NDArray[np.uint64], /) -> None:
        """Keep n nodes."""
        begin = 0
        for digest, end in zip(digests, ends.tolist(), strict=True):
            self._nodes[digest.tobytes()] = blob[begin:end]
            begin = end


@dataclass(frozen=True, slots=True)
class SplitNodes:
    """Nodes come from one place and go to another."""

    source: NodeSource
    target: NodeStore

    def get(self, digest: Digest, /) -> bytes:
        """Errors: those of the source."""
        return self.source.get(digest)

    def get_many(self, digests: list[Digest], /) -> list[bytes]:
        """Errors: those of the source."""
        return get_many(self.source, digests)

    def put_many(self, digests: Digests, blob: bytes, ends: npt.NDArray[np.uint64], /) -> None:
        """Errors: those of the target."""
        self.target.put_many(digests, blob, ends)


def get_many(source: NodeSource, digests: list[Digest]) -> list[bytes]:
    """Nodes at once where the source can, else one by one."""
    if isinstance(source, NodesSource):
        return source.get_many(digests)
    return [source.get(digest) for digest in digests]


def read_node(source: NodeSource, digest: Digest, level: int | None = None) -> Node:
    """One node, decoded; of ``level`` unless that is None.

    Errors: Corrupt (``corrupt-node``), and those of the source.
    """
    data = source.get(digest)
    try:
        return Node(data, level)
    except ValueError as error:
        raise corrupt_node(error) from error


def corrupt_node(error: ValueError) -> HangardError:
    """What a ValueError of hangard_ext becomes; errors of the source stay what they are."""
    if isinstance(error, HangardError):
        return error
    return Corrupt(f"a tree cannot be read: {error}", code="corrupt-node")
