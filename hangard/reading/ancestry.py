"""Where two histories met last: the best common ancestors, and the tree that a merge begins from.

A common ancestor is best if no other one descends from it. There may be several, when branches were
merged into each other crosswise; then those are merged with each other first, over the bases that
they have themselves, and the result, which is no commit, is the base (as git's recursive strategy,
which the names here follow). All orders are those of times and digests, so that every machine finds
the same.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from hangard.model.commit import Commit, Digest, Tree
from hangard.tree.columns import BaseMerge, LoadSchema, State
from hangard.tree.store import NodeStore

LoadCommit: TypeAlias = Callable[[Digest], Commit]
LoadTree: TypeAlias = Callable[[Digest], Tree]
_Ends: TypeAlias = tuple[Digest, ...]

_OURS, _THEIRS, _STALE = 1, 2, 4
_BOTH = _OURS | _THEIRS


def merge_bases(load: LoadCommit, ours: Iterable[Digest], theirs: Iterable[Digest]) -> list[Digest]:
    """The best common ancestors of what two sets of commits reach, the oldest first; a commit is
    its own ancestor. Cost: O(commits that only one side has), where clocks ran right."""
    flags = _painted(load, ours, theirs)
    found = [digest for digest, marks in flags.items() if marks == _BOTH]
    if len(found) > 1:
        # With clocks that ran wrong, one of them may descend from another all the same.
        several = frozenset(found)
        found = [digest for digest in found if not is_ancestor(load, digest, several - {digest})]
    return sorted(found, key=lambda digest: (load(digest).time_ns, digest))


def is_ancestor(load: LoadCommit, ancestor: Digest, descendants: Iterable[Digest]) -> bool:
    """Whether a commit is one of others or an ancestor of one. Cost: as ``merge_bases``."""
    return bool(_painted(load, [ancestor], descendants)[ancestor] & _THEIRS)


def _painted(
    load: LoadCommit, ours: Iterable[Digest], theirs: Iterable[Digest]
) -> dict[Digest, int]:
    """Who reaches each commit, from the newest on, until all that waits lies behind a common one.

    Commits of both sides that are not behind another such are marked _BOTH without _STALE.
    """
    flags: dict[Digest, int] = {}
    heap: list[tuple[int, Digest]] = []
    waiting: set[Digest] = set()
    alive = 0  # of those that wait, how many are not stale

    def paint(digest: Digest, marks: int) -> None:
        nonlocal alive
        before = flags.get(digest, 0)
        after = flags[digest] = before | marks
        if after == before:
            return
        if digest not in waiting:
            waiting.add(digest)
            heapq.heappush(heap, (-load(digest).time_ns, digest))
            alive += not after & _STALE
        elif after & _STALE and not before & _STALE:
            alive -= 1

    for digest in ours:
        paint(digest, _OURS)
    for digest in theirs:
        paint(digest, _THEIRS)
    while alive:
        _, digest = heapq.heappop(heap)
        waiting.discard(digest)
        marks = flags[digest]
        alive -= not marks & _STALE
        if marks & _BOTH == _BOTH:
            marks |= _STALE
        for parent in load(digest).parents:
            paint(parent, marks)
    return flags


@dataclass(frozen=True, slots=True)
class MergeBase:
    """What a merge begins from.

    ``commits``    the best common ancestors: none for histories that never met
    ``columns``    their tree; where there are several, what hangard.tree.columns makes of them
    ``undecided``  digests that stand for samples over which several bases conflict themselves
    """

    commits: tuple[Digest, ...]
    columns: Mapping[str, State]
    undecided: frozenset[Digest] = frozenset()


def find_merge_base(
    load: LoadCommit,
    load_tree: LoadTree,
    load_schema: LoadSchema,
    store: NodeStore,
    ours: Digest,
    theirs: Digest,
) -> MergeBase:
    """The base of a merge of two commits.

    ``load_tree`` gives the tree of a commit; ``store`` gets the nodes of bases that are no commits,
    and may forget them after the merge. Errors: Corrupt; those of the store.
    """
    merging = BaseMerge(store, load_schema)
    commits = merge_bases(load, [ours], [theirs])

    def columns(bases: Iterable[Digest]) -> Generator[_Ends, Any, Mapping[str, State]]:
        merged: Mapping[str, State] = {}
        done: list[Digest] = []
        for commit in bases:
            tree = load_tree(commit)
            if done:
                inner = yield tuple(merge_bases(load, done, [commit]))
                tree = merging.merge_states(inner, merged, tree)  # type: ignore[assignment]
            merged = tree
            done.append(commit)
        return merged

    return MergeBase(tuple(commits), _run(columns, tuple(commits)), frozenset(merging.undecided))


def _run(
    columns: Callable[[_Ends], Generator[_Ends, Any, Mapping[str, State]]], bases: _Ends
) -> Mapping[str, State]:
    """Run generators that ask each other: a history may cross itself more often than Python allows
    calls within calls."""
    stack = [columns(bases)]
    answer: Mapping[str, State] | None = None
    while True:
        try:
            stack.append(columns(stack[-1].send(answer)))
            answer = None
        except StopIteration as stop:
            stack.pop()
            answer = stop.value
            if not stack:
                return stop.value  # type: ignore[no-any-return]
