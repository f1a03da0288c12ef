"""Everything that commits lead to: ancestors, trees, schemas, nodes, and the digests of samples.

A walk reads each object and node once, checks it, and goes on behind what is damaged. It serves
``verify``, which reports what the walk finds, and gc, which keeps what the walk meets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from hangard_ext.digest import digest_derived
from hangard_ext.treenode import Node, check_node

from hangard.encoding.records import HEADS, TAGS
from hangard.errors import Corrupt, NotFound
from hangard.model.commit import Digest
from hangard.model.findings import Finding
from hangard.model.schema import Schema
from hangard.reading.digestset import DigestSet
from hangard.reading.nodes import StoredNodes
from hangard.reading.tables import Bytes, ReadTables
from hangard.tree.store import EMPTY_ROOT, NODE_CONTEXT

GATHERED_MAX = 8192  # digests of leaves that are entered in the set at once

Leaf = Callable[["Place", Node], None]


class Reads(Protocol):
    """A database, open for reading or writing."""

    def read(self) -> AbstractContextManager[ReadTables]:
        """A read transaction."""


@dataclass(frozen=True, slots=True)
class Root:
    """Something that names a commit: ``heads/main``, ``reflog``, ``session 12ab``, ``reader``."""

    name: str
    commit: Digest


@dataclass(frozen=True, slots=True)
class Place:
    """The column of a commit in which a walk is; the first one that led there."""

    commit: Digest
    column: str

    def __str__(self) -> str:
        return f"column {self.column!r} of commit {self.commit.hex()[:16]}"


@dataclass(slots=True)
class _Step:
    """A node to visit, and what its parent says of it."""

    digest: Digest
    level: int | None = None
    last_key: bytes = b""
    count: int = 0


@dataclass(slots=True)
class Walk:
    """What was met so far. For one thread; ``visit`` may be called again with more roots.

    ``samples`` holds for each sample the position in ``types`` of a schema that fits it. ``leaf``
    is called with each leaf that is read. ``report`` gets what is missing or damaged.
    """

    env: Reads
    stored: StoredNodes
    report: Callable[[Finding], None]
    progress: Callable[[int], None] = lambda nodes: None
    leaf: Leaf | None = None
    objects: set[Digest] = field(default_factory=set)
    commits: int = 0
    nodes: DigestSet = field(default_factory=DigestSet)
    samples: DigestSet = field(default_factory=DigestSet)
    types: list[Schema] = field(default_factory=list)
    _schemas: dict[Digest, Schema] = field(default_factory=dict)
    _gathered: list[Bytes] = field(default_factory=list)
    _gathered_count: int = 0

    def visit(self, root: Root) -> None:
        """Walk everything that a root leads to and that was not met before."""
        waiting = [(root.commit, root.name)]
        while waiting:
            digest, named_by = waiting.pop()
            if digest in self.objects:
                continue
            self.objects.add(digest)
            waiting += [(parent, digest.hex()[:16]) for parent in self._commit(digest, named_by)]

    def _commit(self, digest: Digest, named_by: str) -> tuple[Digest, ...]:
        """Visit one commit; its parents."""
        try:
            with self.env.read() as tables:
                commit = tables.find_commit(digest)
        except Corrupt as error:
            self.report(Finding("damaged-commit", digest.hex(), f"named by {named_by}", str(error)))
            return ()
        if commit is None:
            self.report(Finding("missing-commit", digest.hex(), f"named by {named_by}"))
            return ()
        self.commits += 1
        if commit.tree not in self.objects:
            self.objects.add(commit.tree)
            self._tree(digest, commit.tree)
        return commit.parents

    def _tree(self, commit: Digest, digest: Digest) -> None:
        where = f"commit {commit.hex()[:16]}"
        try:
            with self.env.read() as tables:
                tree = tables.find_tree(digest)
        except Corrupt as error:
            self.report(Finding("damaged-tree", digest.hex(), where, str(error)))
            return
        if tree is None:
            self.report(Finding("missing-tree", digest.hex(), where))
            return
        for name, entry in tree.items():
            place = Place(commit, name)
            schema = self._schema(entry.schema, place)
            if schema is not None and entry.root != EMPTY_ROOT:
                self._column(place, schema, entry.root)

    def _schema(self, digest: Digest, place: Place) -> Schema | None:
        if digest in self._schemas:
            return self._schemas[digest]
        if digest in self.objects:
            return None  # it was reported
        self.objects.add(digest)
        try:
            with self.env.read() as tables:
                schema = tables.find_schema(digest)
        except Corrupt as error:
            self.report(Finding("damaged-schema", digest.hex(), str(place), str(error)))
            return None
        if schema is None:
            self.report(Finding("missing-schema", digest.hex(), str(place)))
            return None
        self._schemas[digest] = schema
        return schema

    def _column(self, place: Place, schema: Schema, root: Digest) -> None:
        """Every node of a column that was not visited yet, in the order of the keys."""
        number = self.type_number(schema)
        waiting = [_Step(root)]
        while waiting:
            step = waiting.pop()
            if not self.nodes.add(step.digest):
                continue
            node = self._node(step, place, schema.layout == "nested")
            if node is None:
                continue
            if len(self.nodes) % 64 == 0:
                self.progress(len(self.nodes))
            if node.level == 0:
                if self.leaf is not None:
                    self.leaf(place, node)
                self._gather(node.block()[2], number)
            else:
                waiting += reversed(list(_children(node)))
        self._enter(number)

    def _node(self, step: _Step, place: Place, nested: bool) -> Node | None:
        """The node, None if it is missing or damaged; what it says of itself is compared with what
        its parent says."""
        name = step.digest.hex()
        try:
            data = self.stored.get(step.digest)
        except (Corrupt, NotFound) as error:
            kind = "missing-node" if error.code == "missing-node" else "damaged-node"
            self.report(Finding(kind, name, str(place), str(error)))
            return None
        if digest_derived(NODE_CONTEXT, data) != step.digest:
            self.report(Finding("damaged-node", name, str(place), "its digest is another"))
            return None
        try:
            check_node(data, nested)
            node = Node(data, step.level)
        except ValueError as error:
            self.report(Finding("malformed-node", name, str(place), str(error)))
            return None
        if step.level is not None and (node.last_key != step.last_key or node.count != step.count):
            self.report(
                Finding("malformed-node", name, str(place), "its parent tells otherwise of it")
            )
        return node

    def type_number(self, schema: Schema) -> int:
        """The number of what samples of a column have in common, in ``types``."""
        kind = replace(schema, backend="", backend_options=(), layout="flat")
        if kind not in self.types:
            self.types.append(kind)
        return self.types.index(kind)

    def _gather(self, digests: Bytes, number: int) -> None:
        self._gathered.append(digests)
        self._gathered_count += len(digests)
        if self._gathered_count >= GATHERED_MAX:
            self._enter(number)

    def _enter(self, number: int) -> None:
        if self._gathered:
            self.samples.add_many(np.concatenate(self._gathered), number)
            self._gathered, self._gathered_count = [], 0


def _children(node: Node) -> Iterator[_Step]:
    for i in range(len(node)):
        # A row is the count below the child and its digest.
        row = node.row(i)
        yield _Step(
            node.digest(i), node.level - 1, node.key(i), int.from_bytes(row[32:40], "little")
        )


def stored_roots(env: Reads, tables: ReadTables | None = None, *, reflog_ns: int = 0) -> list[Root]:
    """What the database names: branches, tags, the reflog, sessions.

    ``tables``: within this transaction. Entries of the reflog before ``reflog_ns`` do not count.
    """
    with nullcontext(tables) if tables is not None else env.read() as tables:
        roots = [
            Root(name, digest)
            for prefix in (HEADS, TAGS)
            for name, digest in tables.refs(prefix)
            if digest
        ]
        for entry in tables.reflog():
            if entry.time_ns < reflog_ns:
                continue
            roots += [Root("reflog", digest) for digest in (entry.before, entry.after) if digest]
        for session in tables.sessions():
            if session.base:
                roots.append(Root(f"session {session.id}", session.base))
    unique: dict[Digest, Root] = {}
    for root in sorted(roots, key=lambda root: not root.name.startswith(HEADS.decode())):
        unique.setdefault(root.commit, root)
    return list(unique.values())
