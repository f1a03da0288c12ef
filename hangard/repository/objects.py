"""Commits, trees and schemas by digest, out of LMDB; the few in use are remembered."""

from __future__ import annotations

from functools import lru_cache

from hangard.db.environment import WritableEnvironment
from hangard.errors import Corrupt
from hangard.model.commit import Commit, Digest, Tree
from hangard.model.schema import Schema
from hangard.wire.messages import CommitResult

OBJECTS_CACHED_MAX = 1024


class Objects:
    """Errors of all: Corrupt (``missing-object``), if what a ref or tree names is not there."""

    def __init__(self, env: WritableEnvironment) -> None:
        self._env = env
        self.commit = lru_cache(OBJECTS_CACHED_MAX)(self._commit)
        self.tree = lru_cache(OBJECTS_CACHED_MAX)(self._tree)
        self.schema = lru_cache(OBJECTS_CACHED_MAX)(self._schema)

    def forget(self) -> None:
        """Some may have been deleted."""
        for remembered in (self.commit, self.tree, self.schema):
            remembered.cache_clear()

    def commit_tree(self, digest: Digest) -> Tree:
        """The tree of a commit."""
        return self.tree(self.commit(digest).tree)

    def schemas(self, tree: Tree) -> dict[str, Schema]:
        """The schemas of a tree's columns by name."""
        return {name: self.schema(entry.schema) for name, entry in tree.items()}

    def find_result(self, command: bytes) -> CommitResult | None:
        """What a commit command did, None if it was never carried out, or too long ago."""
        with self._env.read() as tables:
            known = tables.command(command)
        if known is None:
            return None
        return CommitResult(
            digest=known.commit,
            branch=known.branch,
            parent=known.parent or None,
            rebased=known.rebased,
        )

    def _commit(self, digest: Digest) -> Commit:
        with self._env.read() as tables:
            found = tables.find_commit(digest)
        if found is None:
            raise _missing("commit", digest)
        return found

    def _tree(self, digest: Digest) -> Tree:
        with self._env.read() as tables:
            found = tables.find_tree(digest)
        if found is None:
            raise _missing("tree", digest)
        return found

    def _schema(self, digest: Digest) -> Schema:
        with self._env.read() as tables:
            found = tables.find_schema(digest)
        if found is None:
            raise _missing("schema", digest)
        return found


def _missing(kind: str, digest: Digest) -> Corrupt:
    return Corrupt(f"{kind} {digest.hex()} is missing", code="missing-object", digest=digest)
