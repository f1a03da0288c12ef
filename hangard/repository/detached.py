"""Commits that no branch is moved for: parents, author and time are the caller's.

An import stages what a commit of elsewhere changed against its first parent in a session that
stands on that parent, and commits it so; the session goes on from there. Nothing but the session
names such a commit until a branch is put on it (hangard.repository.publishing).
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

from hangard.db.tables import WriteTables
from hangard.encoding.objects import encode_schema, schema_digest
from hangard.limits import INDEX_SMALL_ENTRIES_MAX
from hangard.model.commit import Author, Digest
from hangard.model.names import check_other_name
from hangard.model.schema import Schema
from hangard.repository.branches import check_commit
from hangard.repository.clock import Clock
from hangard.repository.committing import Group, Heads, PlannedOperation, session_record
from hangard.repository.conflicts import Conflicts, Strategy
from hangard.repository.nodes import Nodes
from hangard.repository.objects import Objects
from hangard.repository.publishing import PreparedCommit, prepare_commit
from hangard.repository.rebasing import Rebase
from hangard.repository.session import Session, Snapshot
from hangard.wire.messages import CommitRequest, CommitResult


class DetachedTips:
    """When such commits were made in this life: their own times say nothing of it, and gc shall
    find them young. Those that others go on from are not kept. Thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._made_ns: dict[Digest, int] = {}

    def add(self, commit: Digest, parents: Iterable[Digest]) -> None:
        """One was made."""
        with self._lock:
            for parent in parents:
                self._made_ns.pop(parent, None)
            self._made_ns[commit] = self._clock.now_ns()

    def younger(self, than_ns: int) -> list[Digest]:
        """Those that were made after that time; the others are forgotten."""
        with self._lock:
            self._made_ns = {
                commit: made_ns for commit, made_ns in self._made_ns.items() if made_ns > than_ns
            }
            return list(self._made_ns)


class DetachedCommit(PlannedOperation):
    """One such commit on its way through the writer."""

    def __init__(
        self,
        request: CommitRequest,
        session: Session,
        *,
        store: Nodes,
        objects: Objects,
        tips: DetachedTips,
    ) -> None:
        """Errors: InvalidRequest (``invalid-name``) for a name that no other tool gives."""
        assert request.detached is not None
        for name in request.detached.names:
            check_other_name(name)
        self.session = session
        self.branch = session.branch
        self._request = request
        self._detached = request.detached
        self._store = store
        self._objects = objects
        self._tips = tips
        self._group: Group | None = None
        self._error: Exception | None = None
        self._held = False
        self._plan: tuple[Snapshot, PreparedCommit] | None = None

    @property
    def is_bulk(self) -> bool:
        """Whether it is better not to hold many small commits up with this one."""
        return self.session.staged_total > INDEX_SMALL_ENTRIES_MAX

    def hold(self) -> None:
        self.session.hold().acquire()
        self._held = True

    def prepare(self, group: Group) -> None:
        """Plan it; an error is kept for ``check``, so that the group goes on without."""
        self._group, self._error, self._plan = group, None, None
        try:
            self._plan = self._planned(group)
            prepared = self._plan[1]
            group.commits[prepared.digest] = prepared.commit
            group.trees[prepared.digest] = prepared.tree
            group.schemas.update(prepared.schemas)
        except Exception as error:
            self._error = error
            self.release()

    def check(self, tables: WriteTables) -> None:
        """Errors: those of planning; UnknownRevision for a parent that is not there."""
        if self._error is not None:
            raise self._error
        for parent in self._detached.parents:
            check_commit(tables, parent)

    def apply(self, tables: WriteTables) -> CommitResult:
        assert self._plan is not None
        assert self._group is not None
        self._group.write_checkpoint(tables)
        snapshot, prepared = self._plan
        for kind, record in prepared.records:
            tables.put_object(kind, record)
        for name in self._detached.names:
            tables.put_other_name(name, prepared.digest)
        parent = self._detached.parents[0] if self._detached.parents else None
        tables.put_command(
            self._request.command_id,
            commit=prepared.digest,
            parent=parent or b"",
            branch=self.branch,
        )
        tables.put_session(session_record(self.session, snapshot, prepared.digest, self.branch))
        return CommitResult(digest=prepared.digest, branch=self.branch, parent=parent)

    @property
    def head(self) -> Digest | None:
        return self._plan[1].digest if self._plan is not None else None

    def update(self, heads: Heads) -> None:
        """No branch is moved."""

    def settle(self) -> None:
        """The session goes on from the commit."""
        if self._plan is not None:
            prepared = self._plan[1]
            self._tips.add(prepared.digest, self._detached.parents)
            schemas = self._objects.schemas(prepared.tree)
            self.session.settle(prepared.digest, prepared.tree, schemas)

    def release(self) -> None:
        """Let the session's changes move again; may be called twice."""
        if self._held:
            self._held = False
            self.session.hold().release()

    def _planned(self, group: Group) -> tuple[Snapshot, PreparedCommit]:
        request, detached = self._request, self._detached
        self.session.check_contains(request.last_sequence)
        snapshot = self.session.snapshot()
        new: list[Schema] = []

        def store_schema(schema: Schema) -> Digest:
            new.append(schema)
            return schema_digest(encode_schema(schema))

        def load_schema(digest: Digest) -> Schema:
            return group.schemas.get(digest) or self._objects.schema(digest)

        # On its own base, where nothing can conflict.
        rebase = Rebase(self._store, load_schema, store_schema, Conflicts(Strategy(None)))
        tree = rebase.apply(snapshot.base_tree, snapshot.base_tree, snapshot.columns)
        prepared = prepare_commit(
            tree,
            new,
            parents=detached.parents,
            author=Author(request.author_name, request.author_email),
            message=request.message,
            time_ns=detached.time_ns,
            metadata=dict(request.metadata),
        )
        return snapshot, prepared
