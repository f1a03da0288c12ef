"""A repository opened for reading, without its daemon: refs, objects, history, trees, samples."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from pathlib import Path

from hangard_ext.treecache import NodeCache

from hangard.encoding.records import CREATED_VERSION, HEADS, TAGS, ReflogEntry
from hangard.errors import Closed, Corrupt, UnknownRevision
from hangard.limits import CACHE_BYTES_MAX
from hangard.model.commit import ColumnEntry, Commit, Digest, Tag
from hangard.model.diff import MergeConflict
from hangard.model.schema import Schema
from hangard.reading import revisions
from hangard.reading.ancestry import MergeBase, find_merge_base
from hangard.reading.checkout import TreeReader
from hangard.reading.conflicts import find_conflicts
from hangard.reading.differences import ColumnChanges, column_changes
from hangard.reading.environment import Environment, acquire
from hangard.reading.format import checked_directory
from hangard.reading.locations import StoredLocations
from hangard.reading.mapping import MappedFiles
from hangard.reading.nodes import StoredNodes
from hangard.reading.reflog import movements
from hangard.reading.samples import SampleReader
from hangard.tree.store import MemoryNodes

COMMITS_CACHED_MAX = 4096
TREES_CACHED_MAX = 64
SCHEMAS_CACHED_MAX = 1024

_open_readers: weakref.WeakSet[RepositoryReader] = weakref.WeakSet()


class RepositoryReader:
    """A repository opened for reading. Many threads may use one; a forked child may go on with it.

    ``cache_bytes_max`` bounds what it keeps of tree nodes and locations together; ``verify``
    compares the checksum of every sample read.

    Errors: NoRepository; Unavailable (``newer-format``); Corrupt; PermissionDenied; Busy
    (``readers-full``): then the daemon may still answer over HTTP.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        cache_bytes_max: int = CACHE_BYTES_MAX,
        verify: bool = True,
    ) -> None:
        self.directory = checked_directory(path)
        self._env = acquire(self.directory)
        self._closed = False
        self._cache_bytes_max = cache_bytes_max
        self.files = MappedFiles(self.directory)
        self.locations = StoredLocations(
            self._env, self.directory, cache_bytes_max=cache_bytes_max // 2
        )
        self.samples = SampleReader(
            self.locations, self.files, self.shape, verify=verify, is_purged=self.is_purged
        )
        self.nodes = self._new_nodes()
        self._commit = lru_cache(maxsize=COMMITS_CACHED_MAX)(self._read_commit)
        self._tree = lru_cache(maxsize=TREES_CACHED_MAX)(self._read_tree)
        self._schema = lru_cache(maxsize=SCHEMAS_CACHED_MAX)(self._read_schema)
        self._checkouts: weakref.WeakSet[TreeReader] = weakref.WeakSet()
        _open_readers.add(self)

    def __enter__(self) -> RepositoryReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def path(self) -> Path:
        """The directory that holds ``.hangard``."""
        return self.directory.parent

    def is_purged(self, digest: Digest) -> bool:
        """Whether the sample with this digest was erased."""
        with self._env.read() as tables:
            return tables.is_purged(digest)

    @property
    def env(self) -> Environment:
        """The database, for short transactions."""
        return self._env

    def close(self) -> None:
        """Closes its checkouts; views handed out stay valid. May be called twice."""
        if not self._closed:
            self._closed = True
            _open_readers.discard(self)
            for checkout in list(self._checkouts):
                checkout.close()
            self.files.close()
            self.locations.forget_all()
            self._env.release()

    # Refs

    def head(self) -> str:
        """The branch that ``HEAD`` names."""
        with self._env.read() as tables:
            return tables.head()

    def branches(self) -> dict[str, Digest | None]:
        """By name; None for a branch that has no commit yet."""
        with self._env.read() as tables:
            return {
                name.removeprefix(HEADS.decode()): digest or None
                for name, digest in tables.refs(HEADS)
            }

    def tags(self) -> dict[str, Digest]:
        with self._env.read() as tables:
            return {name.removeprefix(TAGS.decode()): digest for name, digest in tables.refs(TAGS)}

    def branch(self, name: str) -> Digest | None:
        """The commit of a branch, None before its first. Errors: UnknownRevision."""
        with self._env.read() as tables:
            digest = tables.ref(HEADS.decode() + name) if name.isascii() else None
        if digest is None:
            raise revisions.unknown(name)
        return digest or None

    def resolve(self, revision: str | bytes) -> Digest:
        """The commit that a revision names (hangard.reading.revisions). Errors: UnknownRevision."""
        with self._env.read() as tables:
            return revisions.resolve(revision, tables, self.commit)

    def tag(self, name: str) -> Tag | None:
        """The tag object of a tag; None if it has none. Errors: UnknownRevision."""
        with self._env.read() as tables:
            if not name.isascii() or tables.ref(TAGS.decode() + name) is None:
                raise UnknownRevision(f"there is no tag {name[:80]!r}", code="unknown-tag")
            return tables.find_annotation(name)

    def reflog(self, ref: str | None = None, limit: int = 1000) -> list[ReflogEntry]:
        """The latest movements of refs, newest first; of one ref (``main``, ``tags/v1``, ``HEAD``
        for HEAD's branch), or of all. Errors: UnknownRevision."""
        with self._env.read() as tables:
            entries = tables.reflog()
            if ref is not None:
                entries = movements(entries, revisions.find_ref(ref, tables))
            return list(islice(entries, limit))

    def created_version(self) -> str:
        """The version of hangard that made the repository; empty before that was recorded."""
        with self._env.read() as tables:
            return (tables.find_meta(CREATED_VERSION) or b"").decode()

    def config(self) -> dict[str, str]:
        with self._env.read() as tables:
            return tables.config()

    # Objects. Errors: UnknownRevision for a commit that is not here, Corrupt for what it names.

    def commit(self, digest: Digest) -> Commit:
        return self._commit(digest)

    def tree(self, digest: Digest) -> dict[str, ColumnEntry]:
        """Columns by name, in the order of their names; not to be changed."""
        return self._tree(digest)

    def schema(self, digest: Digest) -> Schema:
        return self._schema(digest)

    def shape(self, number: int) -> tuple[int, ...]:
        """The interned shape with this number."""
        with self._env.read() as tables:
            shape = tables.find_shape(number)
        if shape is None:
            raise Corrupt(f"shape {number} is not in the repository", code="missing-shape")
        return shape

    def log(self, revision: str | bytes = "HEAD") -> Iterator[tuple[Digest, Commit]]:
        """The history of a revision, newest first."""
        return revisions.history([self.resolve(revision)], self.commit)

    # Contents

    def checkout(self, revision: str | bytes = "HEAD") -> TreeReader:
        """The columns of a commit."""
        return self.checkout_commit(self.resolve(revision))

    def checkout_commit(self, commit: Digest | None) -> TreeReader:
        """The columns of a commit; of None, as a branch before its first commit: none."""
        self.check_open()
        checkout = TreeReader(self, commit)
        self._checkouts.add(checkout)
        return checkout

    def diff(self, before: str | bytes, after: str | bytes) -> Iterator[ColumnChanges]:
        """What changed from one revision to the other, column by column."""
        trees = [self.commit_tree(self.resolve(end)) for end in (before, after)]
        return column_changes(trees[0], trees[1], self.schema, self.nodes)

    def merge_base(self, ours: str | bytes, theirs: str | bytes) -> MergeBase:
        """Where two histories met last. Errors: UnknownRevision."""
        return find_merge_base(
            self.commit,
            self.commit_tree,
            self.schema,
            MemoryNodes(self.nodes),
            self.resolve(ours),
            self.resolve(theirs),
        )

    def conflicts(self, ours: str | bytes, theirs: str | bytes) -> list[MergeConflict]:
        """What a merge of the second revision into the first would conflict in: all of it, by
        column and key. Errors: UnknownRevision."""
        nodes = MemoryNodes(self.nodes)  # keeps those of a base that is no commit
        ends = self.resolve(ours), self.resolve(theirs)
        base = find_merge_base(self.commit, self.commit_tree, self.schema, nodes, *ends)
        return find_conflicts(
            base.columns,
            self.commit_tree(ends[0]),
            self.commit_tree(ends[1]),
            schema=self.schema,
            nodes=nodes,
            undecided=base.undecided,
        )

    def commit_tree(self, commit: Digest) -> dict[str, ColumnEntry]:
        """The columns of a commit by name; not to be changed."""
        return self.tree(self.commit(commit).tree)

    def _read_commit(self, digest: Digest) -> Commit:
        with self._env.read() as tables:
            commit = tables.find_commit(digest) if len(digest) == 32 else None
        if commit is None:
            raise revisions.unknown(digest.hex())
        return commit

    def _read_tree(self, digest: Digest) -> dict[str, ColumnEntry]:
        with self._env.read() as tables:
            tree = tables.find_tree(digest)
        if tree is None:
            raise Corrupt(f"tree {digest.hex()} is missing", code="missing-object", digest=digest)
        return tree

    def _read_schema(self, digest: Digest) -> Schema:
        with self._env.read() as tables:
            schema = tables.find_schema(digest)
        if schema is None:
            raise Corrupt(f"schema {digest.hex()} is missing", code="missing-object", digest=digest)
        return schema

    def _new_nodes(self) -> NodeCache:
        stored = StoredNodes(self.locations, self.files)
        return NodeCache(stored.get, self._cache_bytes_max // 2, stored.get_many)

    def check_open(self) -> None:
        """Errors: Closed (``reader-closed``)."""
        if self._closed:
            raise Closed("the repository has been closed", code="reader-closed")

    def _after_fork(self) -> None:
        # Another thread of the parent may have held a lock within the caches. Most children never
        # read, so marks of the child's own wait until it does.
        self.locations.forget_all(self._take_marks)
        self.nodes.clear()

    def _take_marks(self) -> None:
        for checkout in list(self._checkouts):
            checkout.take_mark()


def _after_fork_in_child() -> None:
    for reader in list(_open_readers):
        reader._after_fork()


os.register_at_fork(after_in_child=_after_fork_in_child)
