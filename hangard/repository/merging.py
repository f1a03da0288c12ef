"""Merge, revert and cherry-pick: three trees brought together, and the result put on a branch.

All of it is computed on the caller's thread, beside commits, and published by compare-and-set. If
the branch moves each time, the last attempt is computed on the writer's thread, where nothing else
moves it.
Cost: O(differences of both sides from the base) and O(commits since it).
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass

from hangard.errors import Corrupt, HeadMoved, InvalidRequest, NothingStaged, UnknownRevision
from hangard.model.commit import Author, ColumnEntry, Commit, Digest, Tree
from hangard.model.diff import conflict_kind
from hangard.model.schema import Schema
from hangard.reading.ancestry import find_merge_base
from hangard.repository.clock import Clock
from hangard.repository.committing import Group, Heads
from hangard.repository.conflicts import Conflicts, Strategy
from hangard.repository.nodes import Nodes
from hangard.repository.objects import Objects
from hangard.repository.publishing import PreparedCommit, Publication, Publisher, prepare_commit
from hangard.repository.session import Session
from hangard.tree.columns import State, TreeMerge
from hangard.tree.diff import count_diff
from hangard.tree.store import EMPTY_ROOT, MemoryNodes, NodeStore, SplitNodes
from hangard.wire.merging import MergeRequest, MergeResult, Outcome
from hangard.wire.messages import CommitResult

ATTEMPTS_MAX = 3


@dataclass(frozen=True, slots=True)
class Lookup:
    """Commits, trees and schemas, also those of a group that is not written yet."""

    objects: Objects
    group: Group | None = None

    def commit(self, digest: Digest) -> Commit:
        known = self.group.commits.get(digest) if self.group is not None else None
        return known or self.objects.commit(digest)

    def tree(self, commit: Digest) -> Tree:
        """The tree of a commit."""
        known = self.group.trees.get(commit) if self.group is not None else None
        return known if known is not None else self.objects.commit_tree(commit)

    def schema(self, digest: Digest) -> Schema:
        known = self.group.schemas.get(digest) if self.group is not None else None
        return known or self.objects.schema(digest)


@dataclass(frozen=True, slots=True)
class Planned:
    """What a merge comes to on one head of its branch."""

    outcome: Outcome
    publication: Publication
    tree: Tree
    bases: tuple[Digest, ...] = ()
    conflicts: Conflicts | None = None


class Merger:
    """Carries out MergeRequests on a repository, one at a time. Thread-safe."""

    def __init__(
        self, nodes: Nodes, objects: Objects, heads: Heads, publisher: Publisher, clock: Clock
    ) -> None:
        self._nodes = nodes
        self._objects = objects
        self._heads = heads
        self._publisher = publisher
        self._clock = clock
        self._lock = threading.Lock()  # the nodes are for one thread

    def carry_out(self, request: MergeRequest, session: Session | None = None) -> MergeResult:
        """Do it, or say what it would do; durable when this returns.

        Errors: Conflict (``merge-conflict``); HeadMoved (only with ``strategy_head``);
        InvalidRequest (``not-fast-forward``, ``mainline``, ``invalid-strategy``,
        ``session-changed``, ``empty-message``); NothingStaged (``nothing-changes``);
        UnknownRevision; Busy (``exclusive-session``); NoSpace; Corrupt. After each nothing has
        changed.
        """
        with self._lock:
            known = self._objects.find_result(request.command_id)
            if known is not None:
                return _answered(known, request)
            self._check_commit(request.commit)
            if request.dry_run:
                return self._dry_run(request)
            if not request.message.strip() and not request.allow_empty_message:
                raise InvalidRequest("a commit needs a message", code="empty-message")
            return self._publish(request, session)

    def close(self) -> None:
        """Close the files of the nodes."""
        self._nodes.close()

    def _publish(self, request: MergeRequest, session: Session | None) -> MergeResult:
        for attempt in range(ATTEMPTS_MAX):
            head = self._head(request.branch)
            planned = self._plan(request, head, Lookup(self._objects), self._nodes)
            if planned.outcome == "up-to-date" and session is None:
                return _result(planned, request.branch)
            final = [planned]

            def plan(
                now: Digest | None,
                group: Group,
                final: list[Planned] = final,
                last: bool = attempt == ATTEMPTS_MAX - 1,
            ) -> Publication:
                if now != final[0].publication.before:
                    if not last:
                        raise HeadMoved("the branch moved during the merge", head=now)
                    final[0] = self._plan(request, now, Lookup(self._objects, group), self._nodes)
                return final[0].publication

            try:
                self._publisher.publish(
                    request.branch,
                    plan,
                    command_id=request.command_id,
                    action=f"{request.verb}: {request.message.partition(chr(10))[0]}",
                    user=request.user or str(_author(request)),
                    session=session,
                )
            except HeadMoved:
                if attempt == ATTEMPTS_MAX - 1 or request.strategy_head is not None:
                    raise
                continue
            return _result(final[0], request.branch)
        raise AssertionError("the last attempt answers")

    def _check_commit(self, digest: Digest) -> None:
        """Errors: UnknownRevision: that a request names it does not make it a missing object."""
        try:
            self._objects.commit(digest)
        except Corrupt as error:
            if error.code != "missing-object":
                raise
            raise UnknownRevision(f"there is no commit {digest.hex()}") from error

    def _head(self, branch: str) -> Digest | None:
        if branch not in self._heads:
            raise UnknownRevision(f"there is no branch {branch!r}", code="unknown-branch")
        return self._heads[branch]

    def _dry_run(self, request: MergeRequest) -> MergeResult:
        """Nodes that would be written stay in memory."""
        store = MemoryNodes(self._nodes)
        head = self._head(request.branch)
        lookup = Lookup(self._objects)
        planned = self._plan(request, head, lookup, store, dry_run=True)
        conflicts = planned.conflicts
        changes = {}
        if conflicts is None or not conflicts.total:
            changes = _changes(store, lookup.tree(head) if head else {}, planned.tree)
        return _result(planned, request.branch, changes, dry_run=True)

    def _plan(
        self,
        request: MergeRequest,
        head: Digest | None,
        lookup: Lookup,
        store: NodeStore,
        *,
        dry_run: bool = False,
    ) -> Planned:
        if request.strategy_head not in (None, head):
            raise HeadMoved(f"branch {request.branch!r} moved again; try again", head=head)
        commit = lookup.commit(request.commit)
        ours: Tree = lookup.tree(head) if head else {}
        if request.verb == "merge":
            return self._plan_merge(request, head, ours, lookup, store, dry_run)
        before = _before(request, commit, lookup)
        after = lookup.tree(request.commit)
        base, theirs = (before, after) if request.verb == "cherry-pick" else (after, before)
        conflicts, tree = self._merged(request, head, base, ours, theirs, lookup, store, dry_run)
        if tree == ours and not conflicts.total:
            raise NothingStaged(
                f"branch {request.branch!r} has nothing to change: what the {request.verb} of"
                f" {request.commit.hex()[:16]} comes to is there already",
                code="nothing-changes",
            )
        made = self._made(request, tree, (head,) if head else ())
        publication = Publication(head, made.digest, (made,), sources=(request.commit,))
        return Planned("commit", publication, tree, (), conflicts)

    def _plan_merge(
        self,
        request: MergeRequest,
        head: Digest | None,
        ours: Tree,
        lookup: Lookup,
        store: NodeStore,
        dry_run: bool,
    ) -> Planned:
        theirs = lookup.tree(request.commit)
        if head is None:
            return Planned("fast-forward", Publication(None, request.commit), theirs)
        memory = MemoryNodes(store)  # a base that is no commit needs no place on the disk
        base = find_merge_base(
            lookup.commit, lookup.tree, lookup.schema, memory, head, request.commit
        )
        if request.commit in base.commits:
            return Planned("up-to-date", Publication(head, head), ours, base.commits)
        if head in base.commits and request.ff != "never":
            return Planned("fast-forward", Publication(head, request.commit), theirs, base.commits)
        if request.ff == "only":
            raise InvalidRequest(
                f"branch {request.branch!r} has commits that {request.commit.hex()[:16]} has not:"
                " it cannot be fast-forwarded; merge with ff='auto'",
                code="not-fast-forward",
            )
        conflicts, tree = self._merged(
            request, head, base.columns, ours, theirs, lookup, SplitNodes(memory, store), dry_run
        )
        made = self._made(request, tree, (head, request.commit))
        publication = Publication(head, made.digest, (made,))
        return Planned("merge", publication, tree, base.commits, conflicts)

    def _merged(
        self,
        request: MergeRequest,
        head: Digest | None,
        base: Mapping[str, State],
        ours: Tree,
        theirs: Tree,
        lookup: Lookup,
        store: NodeStore,
        dry_run: bool,
    ) -> tuple[Conflicts, dict[str, ColumnEntry]]:
        strategy = Strategy(request.strategy)
        strategy.check_columns({*base, *ours, *theirs})
        conflicts = Conflicts(strategy)
        merging = TreeMerge(
            store,
            lookup.schema,
            lambda column, key, *sides: conflicts.side(column, key, conflict_kind(*sides)),
        )
        tree = merging.merge(base, ours, theirs)
        if not dry_run:
            conflicts.raise_if_any(
                f"both sides changed {{}}; {request.branch!r} is as it was. Try again with"
                " strategy='ours' (the branch's values), 'theirs' (the other side's) or a choice"
                " for each key",
                code="merge-conflict",
                branch=request.branch,
                head=head,
            )
        return conflicts, tree

    def _made(
        self, request: MergeRequest, tree: Tree, parents: tuple[Digest, ...]
    ) -> PreparedCommit:
        return prepare_commit(
            tree,
            parents=parents,
            author=_author(request),
            message=request.message,
            time_ns=self._clock.now_ns(),
            metadata=dict(request.metadata),
        )


def _author(request: MergeRequest) -> Author:
    return Author(request.author_name, request.author_email)


def _before(request: MergeRequest, commit: Commit, lookup: Lookup) -> Tree:
    """The tree that a commit is compared with: its parent's, of several the mainline's.

    Errors: InvalidRequest (``mainline``).
    """
    number, parents = request.mainline, commit.parents
    if number > len(parents) or (number == 0 and len(parents) > 1):
        raise InvalidRequest(
            f"commit {request.commit.hex()[:16]} has {len(parents)} parents; "
            + (
                f"mainline= says which of 1 to {len(parents)} to compare it with"
                if parents
                else "leave mainline= out"
            ),
            code="mainline",
        )
    return lookup.tree(parents[max(number, 1) - 1]) if parents else {}


def _changes(store: NodeStore, before: Tree, after: Tree) -> dict[str, tuple[int, int, int]]:
    """By column: how many samples are added, deleted, changed."""
    result = {}
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        roots = (old.root if old else EMPTY_ROOT, new.root if new else EMPTY_ROOT)
        result[name] = count_diff(store, *roots)
    return result


def _result(
    planned: Planned,
    branch: str,
    changes: dict[str, tuple[int, int, int]] | None = None,
    *,
    dry_run: bool = False,
) -> MergeResult:
    conflicts = planned.conflicts
    is_made = bool(planned.publication.commits)
    return MergeResult(
        outcome=planned.outcome,
        branch=branch,
        commit=None if dry_run and is_made else planned.publication.head,
        before=planned.publication.before,
        bases=planned.bases,
        conflicts=tuple(conflicts.listed) if conflicts is not None else (),
        conflict_count=conflicts.total if conflicts is not None else 0,
        changes=changes or {},
    )


def _answered(known: CommitResult, request: MergeRequest) -> MergeResult:
    """The answer to a request that was carried out before."""
    outcome: Outcome = "commit"
    if request.verb == "merge":
        moved = known.digest != known.parent
        outcome = "merge" if moved else "up-to-date"
        if moved and known.digest == request.commit:
            outcome = "fast-forward"
    return MergeResult(
        outcome=outcome, branch=known.branch, commit=known.digest, before=known.parent
    )
