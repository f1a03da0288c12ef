"""From staged changes to a commit.

Everything here runs on the one LMDB writer's thread, a group of operations at a time: every commit
of the group is planned (rebased if its branch moved, nodes appended to the log), then all files are
synced once, then one transaction names it all, then all callers are answered. Commits of a group
build on each other's heads before those are durable; if the group fails, none of them happened.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from hangard.db.tables import WriteTables
from hangard.db.writer import Operation
from hangard.encoding.objects import (
    KIND_COMMIT,
    KIND_SCHEMA,
    KIND_TREE,
    commit_digest,
    encode_commit,
    encode_schema,
    encode_tree,
    schema_digest,
    tree_digest,
)
from hangard.encoding.records import HEADS, ReflogEntry, SessionRecord
from hangard.errors import HeadMoved, NothingStaged, UnknownRevision
from hangard.limits import INDEX_SMALL_ENTRIES_MAX
from hangard.model.commit import Author, Commit, Digest, Tree
from hangard.model.schema import Schema
from hangard.repository.branches import CreateBranch, DeleteBranch
from hangard.repository.clock import Clock
from hangard.repository.conflicts import Conflicts, Strategy
from hangard.repository.nodes import Nodes
from hangard.repository.objects import Objects
from hangard.repository.rebasing import Rebase
from hangard.repository.session import Session, Snapshot
from hangard.repository.storage import Checkpoint, Storage
from hangard.wire.messages import CommitRequest, CommitResult

Heads = dict[str, Digest | None]


@dataclass(slots=True)
class Group:
    """What the operations of one group share.

    ``heads`` are the branch heads as they stand in the group's plan, ``commits`` those it plans,
    ``trees`` theirs, ``schemas`` those it stores; ``checkpoint`` is what storage wants named by the
    same transaction.
    """

    heads: Heads
    checkpoint: Checkpoint | None = None
    commits: dict[Digest, Commit] = field(default_factory=dict)
    trees: dict[Digest, Tree] = field(default_factory=dict)
    schemas: dict[Digest, Schema] = field(default_factory=dict)
    _written_in: WriteTables | None = None

    def write_checkpoint(self, tables: WriteTables) -> None:
        """Name new index entries and files, once a transaction (a spoilt one starts again)."""
        if self.checkpoint is not None and self._written_in is not tables:
            self._written_in = tables
            self.checkpoint.write(tables)


class PlannedOperation(ABC):
    """An operation that makes commits, and is planned before its group's transaction begins.

    Operations are planned in the order of the group, so that each sees the heads that those before
    it leave. One that is planned brings the group's checkpoint into its transaction.
    """

    branch: str

    def hold(self) -> None:
        """Keep still what it takes, until ``release``; called for all of a group before storage
        begins on what becomes durable with them, so that they take nothing that comes later."""
        return

    @abstractmethod
    def prepare(self, group: Group) -> None:
        """Plan it, and enter the new head in the group; never raises: ``check`` does."""

    @property
    @abstractmethod
    def head(self) -> Digest | None:
        """The commit that the branch will be at, or that is made; None if planning failed."""

    def update(self, heads: Heads) -> None:
        """Enter what became durable in the heads of branches."""
        heads[self.branch] = self.head

    @abstractmethod
    def settle(self) -> None:
        """The transaction is durable."""

    @abstractmethod
    def release(self) -> None:
        """Give back what ``prepare`` held; may be called twice."""


@dataclass(slots=True)
class Plan:
    """A commit as it will be written."""

    snapshot: Snapshot
    commit: Commit
    digest: Digest
    tree: Tree
    schemas: dict[str, Schema]  # of the tree's columns
    records: list[tuple[bytes, bytes]]  # kind byte and record of each object
    result: CommitResult


class CommitOperation(PlannedOperation):
    """One commit on its way through the writer."""

    def __init__(
        self,
        request: CommitRequest,
        session: Session,
        *,
        store: Nodes,
        objects: Objects,
        clock: Clock,
    ) -> None:
        self.session = session
        self.branch = session.branch
        self._request = request
        self._store = store
        self._objects = objects
        self._clock = clock
        self._group: Group | None = None
        self._error: Exception | None = None
        self._held = False
        self.plan: Plan | None = None

    @property
    def is_bulk(self) -> bool:
        """Whether it is better not to hold many small commits up with this one."""
        return self.session.staged_total > INDEX_SMALL_ENTRIES_MAX

    def hold(self) -> None:
        self.session.hold().acquire()
        self._held = True

    def prepare(self, group: Group) -> None:
        """Plan the commit; an error is kept for ``check``, so that the group goes on without."""
        self._group, self._error, self.plan = group, None, None
        self.branch = self.session.branch  # it may have been renamed meanwhile
        try:
            self.plan = self._planned(group)
            group.heads[self.branch] = self.plan.digest
            group.commits[self.plan.digest] = self.plan.commit
            group.trees[self.plan.digest] = self.plan.tree
        except Exception as error:
            self._error = error
            self.release()

    def check(self, tables: WriteTables) -> None:
        """Errors: those of planning; HeadMoved if the branch is not as planned."""
        if self._error is not None:
            raise self._error
        assert self.plan is not None
        check_head(tables, self.branch, self.plan.result.parent)

    def apply(self, tables: WriteTables) -> CommitResult:
        assert self.plan is not None
        assert self._group is not None
        self._group.write_checkpoint(tables)
        plan, request = self.plan, self._request
        for kind, record in plan.records:
            tables.put_object(kind, record)
        parent = plan.result.parent or b""
        tables.put_ref(_ref(self.branch), plan.digest)
        title = plan.commit.message.split("\n", 1)[0]
        tables.append_reflog(
            ReflogEntry(
                plan.commit.time_ns,
                _ref(self.branch),
                parent,
                plan.digest,
                f"commit: {title}",
                str(plan.commit.author),
            )
        )
        tables.put_command(
            request.command_id,
            commit=plan.digest,
            parent=parent,
            branch=self.branch,
            rebased=plan.result.rebased,
        )
        tables.put_session(session_record(self.session, plan.snapshot, plan.digest, self.branch))
        return plan.result

    @property
    def head(self) -> Digest | None:
        return self.plan.digest if self.plan is not None else None

    def settle(self) -> None:
        """The transaction is durable: the session goes on from its new commit."""
        if self.plan is not None:
            self.session.settle(self.plan.digest, self.plan.tree, self.plan.schemas)

    def release(self) -> None:
        """Let the session's changes move again; may be called twice."""
        if self._held:
            self._held = False
            self.session.hold().release()

    def _planned(self, group: Group) -> Plan:
        session, request = self.session, self._request
        session.check_contains(request.last_sequence)
        if session.branch not in group.heads:
            raise UnknownRevision(
                f"branch {session.branch!r} was deleted; the session keeps its changes",
                code="branch-deleted",
            )
        head = group.heads[session.branch]
        snapshot = session.snapshot()
        if not snapshot.columns and not request.allow_empty:
            raise nothing_staged(session)
        records: list[tuple[bytes, bytes]] = []

        def store_schema(schema: Schema) -> Digest:
            record = encode_schema(schema)
            digest = schema_digest(record)
            group.schemas[digest] = schema
            records.append((KIND_SCHEMA, record))
            return digest

        def load_schema(digest: Digest) -> Schema:
            return group.schemas.get(digest) or self._objects.schema(digest)

        theirs = snapshot.base_tree
        if head is None:
            theirs = {}
        elif head != snapshot.base:
            theirs = group.trees[head] if head in group.trees else self._objects.commit_tree(head)
        strategy = Strategy(request.strategy)
        strategy.check_columns({*snapshot.base_tree, *theirs, *snapshot.columns})
        if request.strategy_head not in (None, head):
            raise HeadMoved(f"branch {session.branch!r} moved again; try again", head=head)
        conflicts = Conflicts(strategy)
        rebase = Rebase(self._store, load_schema, store_schema, conflicts)
        tree = rebase.apply(snapshot.base_tree, theirs, snapshot.columns)
        conflicts.raise_if_any(
            f"{session.branch!r} moved, and both sides changed {{}}; nothing was committed. Commit"
            " again with strategy='ours' (the session's values), 'theirs' (the branch's values) or"
            " a choice for each key",
            code="commit-conflict",
            branch=session.branch,
            base=snapshot.base,
            head=head,
        )
        if tree == theirs and head == snapshot.base and not request.allow_empty:
            raise nothing_staged(session)
        tree_record = encode_tree(tree)
        commit = Commit(
            parents=(head,) if head else (),
            tree=tree_digest(tree_record),
            author=Author(request.author_name, request.author_email),
            message=request.message,
            time_ns=self._clock.now_ns(),
            metadata=tuple(sorted(request.metadata)),
        )
        commit_record = encode_commit(commit)
        digest = commit_digest(commit_record)
        result = CommitResult(
            digest=digest,
            branch=session.branch,
            parent=head,
            rebased=head != snapshot.base,
        )
        records += [(KIND_TREE, tree_record), (KIND_COMMIT, commit_record)]
        schemas = {name: load_schema(entry.schema) for name, entry in tree.items()}
        return Plan(snapshot, commit, digest, tree, schemas, records, result)


class MakeCheckpoint:
    """Make what the index holds durable without a commit."""

    group: Group | None = None

    def check(self, tables: WriteTables) -> None:
        """Always possible."""

    def apply(self, tables: WriteTables) -> None:
        assert self.group is not None
        self.group.write_checkpoint(tables)


@dataclass(slots=True)
class GroupCommit:
    """The writer's hooks: what happens before a group's transaction and after it."""

    storage: Storage
    heads: Heads
    checkpointed: Callable[[Checkpoint], None]
    _group: Group = field(init=False)

    def before_group(self, operations: Sequence[Operation]) -> None:
        """Plan the commits, then make their bytes durable. Errors: NoSpace, Corrupt, to all."""
        self._group = Group(dict(self.heads))
        planned = [item for item in operations if isinstance(item, PlannedOperation)]
        wanted = [item for item in operations if isinstance(item, MakeCheckpoint)]
        for item in wanted:
            item.group = self._group
        for operation in planned:
            operation.hold()
        if planned:
            self.storage.begin_run()
        try:
            for operation in planned:
                operation.prepare(self._group)
            if wanted or any(operation.head is not None for operation in planned):
                self._group.checkpoint = self.storage.checkpoint()
        finally:
            self.storage.drop_run()

    def after_group(self, operations: Sequence[Operation], durable: Sequence[bool]) -> None:
        """Take over what became durable (one flag for each operation), and let sessions go on."""
        pairs = list(zip(operations, durable, strict=True))
        for operation, written in pairs:
            if written and isinstance(operation, PlannedOperation):
                operation.update(self.heads)
            elif written and isinstance(operation, CreateBranch):
                self.heads[operation.name] = operation.commit or None
            elif written and isinstance(operation, DeleteBranch):
                self.heads.pop(operation.name, None)
        planned = [(item, done) for item, done in pairs if isinstance(item, PlannedOperation)]
        # The last comes first, and each is called whatever the others raise.
        with ExitStack() as last:
            for item, _ in planned:
                last.callback(item.release)
            # Only these write the checkpoint into the transaction; others may be durable without.
            if any(
                written and isinstance(operation, (PlannedOperation, MakeCheckpoint))
                for operation, written in pairs
            ):
                last.callback(self._note_checkpoint)
            for item, written in reversed(planned):
                if written:
                    last.callback(item.settle)

    def _note_checkpoint(self) -> None:
        checkpoint = self._group.checkpoint
        if checkpoint is not None:
            self.storage.checkpointed(checkpoint)
            self.checkpointed(checkpoint)


def session_record(
    session: Session, snapshot: Snapshot, base: Digest | None, branch: str
) -> SessionRecord:
    """The session as LMDB keeps it, once a commit has consumed what ``snapshot`` covers.

    ``branch`` as the operation was planned: a rename behind it in its group writes another.
    """
    renews = session.wants_new_journal
    return SessionRecord(
        session.id,
        branch,
        base or b"",
        session.opened_ns,
        session.used_ns,
        session.exclusive,
        session.user,
        session.pid,
        0 if renews else snapshot.journal_bytes,
        dict(snapshot.streams),
        session.generation + renews,
    )


def check_head(tables: WriteTables, branch: str, expected: Digest | None) -> None:
    """Errors: HeadMoved, if the branch is gone or not where the plan of its group has it."""
    stored = tables.ref(_ref(branch))
    if stored is None or (stored or None) != expected:
        raise HeadMoved(
            f"branch {branch!r} changed while the commit was written; try again",
            branch=branch,
            head=stored or None,
        )


def nothing_staged(session: Session) -> NothingStaged:
    """The error of a commit without a change."""
    return NothingStaged(
        f"nothing to commit: session {session.id} holds no change against its base",
        session=session.id,
    )


def _ref(branch: str) -> str:
    return HEADS.decode() + branch
