"""Commits made elsewhere than in a session, put on a branch: by merges, reverts, imports.

Who publishes writes the nodes and samples through Storage first, on any thread, then hands over the
records of the commits and where the branch must be. Like a session's commit it joins a group of
the writer: what Storage wrote becomes durable before the transaction that names it, and with that
transaction records, head, reflog entry and command id all exist, or none.

    commit = prepare_commit(tree, schemas, parents=(head,), author=..., message=..., time_ns=...)
    publisher.publish("main", exactly(Publication(head, commit.digest, (commit,))),
                      command_id=secrets.token_bytes(16), action="merge: dev", user=str(author))
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from hangard.db.tables import WriteTables
from hangard.db.writer import Writer
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
from hangard.encoding.records import HEADS, ReflogEntry
from hangard.errors import Corrupt, HeadMoved, InvalidRequest, UnknownRevision
from hangard.model.commit import Author, Commit, Digest, Tree
from hangard.model.names import check_ref_name
from hangard.model.schema import Schema
from hangard.repository.branches import CreateBranch, check_commit
from hangard.repository.clock import Clock
from hangard.repository.committing import Group, PlannedOperation, check_head, session_record
from hangard.repository.objects import Objects
from hangard.repository.session import Session, Snapshot
from hangard.repository.storage import Storage
from hangard.wire.messages import CommitResult


@dataclass(frozen=True, slots=True)
class PreparedCommit:
    """A commit with all its records, not stored yet."""

    digest: Digest
    commit: Commit
    tree: Tree
    schemas: Mapping[Digest, Schema]  # those that may be new
    records: tuple[tuple[bytes, bytes], ...]  # kind byte and record of each object


def prepare_commit(
    tree: Tree,
    schemas: Iterable[Schema] = (),
    *,
    parents: tuple[Digest, ...],
    author: Author,
    message: str,
    time_ns: int,
    metadata: Mapping[str, str] | None = None,
) -> PreparedCommit:
    """The records of a commit. ``schemas`` are those that the tree names and that may be new.

    Errors: as those of hangard.encoding.objects.
    """
    stored = {}
    records: list[tuple[bytes, bytes]] = []
    for schema in schemas:
        record = encode_schema(schema)
        stored[schema_digest(record)] = schema
        records.append((KIND_SCHEMA, record))
    tree_record = encode_tree(tree)
    commit = Commit(
        parents=parents,
        tree=tree_digest(tree_record),
        author=author,
        message=message,
        time_ns=time_ns,
        metadata=tuple(sorted((metadata or {}).items())),
    )
    record = encode_commit(commit)
    records += [(KIND_TREE, tree_record), (KIND_COMMIT, record)]
    return PreparedCommit(commit_digest(record), commit, tree, stored, tuple(records))


@dataclass(frozen=True, slots=True)
class Publication:
    """A branch moves from ``before`` (None: it has no commit) to ``head``.

    ``commits`` are those that are not stored yet, parents first; none for a fast-forward.
    ``sources`` are commits that they took something from: gc must not have taken them meanwhile.
    """

    before: Digest | None
    head: Digest
    commits: tuple[PreparedCommit, ...] = ()
    sources: tuple[Digest, ...] = ()


class Planner(Protocol):
    """Says what is published on a branch whose head is this; called on the writer's thread, where
    the group may hold commits that no table has yet. What it raises is the answer."""

    def __call__(self, head: Digest | None, group: Group, /) -> Publication: ...


def exactly(publication: Publication) -> Planner:
    """Publish this if the branch is where it must be; else HeadMoved: compute it again."""

    def plan(head: Digest | None, group: Group) -> Publication:
        if head != publication.before:
            raise HeadMoved("the branch has moved meanwhile; try again", head=head)
        return publication

    return plan


class PublishOperation(PlannedOperation):
    """One publication on its way through the writer.

    ``session`` is one without staged changes that goes on from the new head.
    """

    def __init__(
        self,
        branch: str,
        plan: Planner,
        *,
        command_id: bytes,
        action: str,
        user: str,
        time_ns: int,
        objects: Objects,
        create: bool = False,
        session: Session | None = None,
    ) -> None:
        self.branch = branch
        self.session = session
        self._plan = plan
        self._command_id = command_id
        self._reflog = ReflogEntry(time_ns, _ref(branch), b"", b"", action, user)
        self._objects = objects
        self._create = create
        self._creation: CreateBranch | None = None
        self._group: Group | None = None
        self._publication: Publication | None = None
        self._snapshot: Snapshot | None = None
        self._error: Exception | None = None
        self._held = False

    def prepare(self, group: Group) -> None:
        """Plan it on the branch's head; an error is kept for ``check``."""
        self._group, self._error, self._publication = group, None, None
        try:
            if self.session is not None:
                self.session.hold().acquire()
                self._held = True
                self._snapshot = clean_snapshot(self.session)
            head = self._expected(group)
            publication = self._plan(head, group)
            for prepared in publication.commits:
                group.commits[prepared.digest] = prepared.commit
                group.trees[prepared.digest] = prepared.tree
                group.schemas.update(prepared.schemas)
            group.heads[self.branch] = publication.head
            self._publication = publication
        except Exception as error:
            self._error = error
            self.release()

    def check(self, tables: WriteTables) -> None:
        """Errors: those of planning; HeadMoved; UnknownRevision for a parent that is not there."""
        if self._error is not None:
            raise self._error
        publication = self._publication
        assert publication is not None
        if self._creation is not None:
            self._creation.check(tables)
        else:
            check_head(tables, self.branch, publication.before)
        new = {prepared.digest for prepared in publication.commits}
        named = {parent for prepared in publication.commits for parent in prepared.commit.parents}
        named.update(publication.sources, [publication.head])
        for digest in sorted(named - new):
            check_commit(tables, digest)

    def apply(self, tables: WriteTables) -> CommitResult:
        publication, group = self._publication, self._group
        assert publication is not None
        assert group is not None
        group.write_checkpoint(tables)
        for prepared in publication.commits:
            for kind, record in prepared.records:
                tables.put_object(kind, record)
        before = publication.before or b""
        if publication.head != before:
            tables.put_ref(_ref(self.branch), publication.head)
            entry = self._reflog
            tables.append_reflog(
                ReflogEntry(
                    entry.time_ns, entry.ref, before, publication.head, entry.action, entry.user
                )
            )
        tables.put_command(
            self._command_id, commit=publication.head, parent=before, branch=self.branch
        )
        if self.session is not None:
            assert self._snapshot is not None
            tables.put_session(
                session_record(self.session, self._snapshot, publication.head, self.branch)
            )
        return CommitResult(digest=publication.head, branch=self.branch, parent=publication.before)

    @property
    def head(self) -> Digest | None:
        return self._publication.head if self._publication is not None else None

    def settle(self) -> None:
        """The session goes on from the new head."""
        publication = self._publication
        if self.session is not None and publication is not None:
            tree = self._objects.commit_tree(publication.head)
            self.session.settle(publication.head, tree, self._objects.schemas(tree))

    def release(self) -> None:
        """Let the session's changes move again; may be called twice."""
        if self._held and self.session is not None:
            self._held = False
            self.session.hold().release()

    def _expected(self, group: Group) -> Digest | None:
        if self.branch in group.heads:
            return group.heads[self.branch]
        if not self._create:
            raise UnknownRevision(f"there is no branch {self.branch!r}", code="unknown-branch")
        self._creation = CreateBranch(self.branch, b"", self._reflog.time_ns)
        return None


class Publisher:
    """Publishes on branches, one at a time. Thread-safe."""

    def __init__(
        self,
        writer: Writer,
        storage: Storage,
        objects: Objects,
        clock: Clock,
        check_lease: Callable[[str | None, str], None],
    ) -> None:
        self._writer = writer
        self._storage = storage
        self._objects = objects
        self._clock = clock
        self._check_lease = check_lease
        self._lock = threading.Lock()

    def publish(
        self,
        branch: str,
        plan: Planner,
        *,
        command_id: bytes,
        action: str,
        user: str = "",
        create: bool = False,
        session: Session | None = None,
        bulk: bool = False,
    ) -> CommitResult:
        """Move a branch to what ``plan`` gives; it survives a power cut when this returns.

        ``action`` and ``user`` are for the reflog; ``create`` makes the branch if it is not there;
        ``bulk`` lets small commits go first. A repeated ``command_id`` gets the first answer.
        Errors: HeadMoved and whatever else ``plan`` raises; UnknownRevision; AlreadyExists for a
        name that another branch shuts out; InvalidRequest (``invalid-name``, ``session-changed``);
        Busy (``exclusive-session``); NoSpace; Corrupt. After each nothing has changed.
        """
        if create:
            check_ref_name(branch)
        with self._lock:
            known = self._objects.find_result(command_id)
            if known is not None:
                return known
            self._check_lease(session.id if session is not None else None, branch)
            operation = PublishOperation(
                branch,
                plan,
                command_id=command_id,
                action=action,
                user=user,
                time_ns=self._clock.now_ns(),
                objects=self._objects,
                create=create,
                session=session,
            )
            try:
                result: CommitResult = self._writer.run(operation, bulk=bulk)
            except Corrupt as error:
                if error.code == "commit-failed":
                    self._storage.fail(error)
                raise
            return result


def clean_snapshot(session: Session) -> Snapshot:
    """What a session without staged changes is. Errors: InvalidRequest (``session-changed``)."""
    snapshot = session.snapshot()
    if snapshot.columns:
        raise InvalidRequest(
            f"session {session.id} holds changes that are not committed; commit or abort them"
            " first",
            code="session-changed",
            session=session.id,
        )
    return snapshot


def _ref(branch: str) -> str:
    return HEADS.decode() + branch
