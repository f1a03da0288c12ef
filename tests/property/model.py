"""A repository as plain dictionaries: what commits, rebases and merges must come to.

Every name of a column stands for one kind of data, so that two sides never differ in more than the
backend. A sample is any value that can be compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Digest = bytes
Samples = dict[Any, Any]


@dataclass(frozen=True)
class Column:
    """A column of a commit: its backend, and its samples by key."""

    backend: str
    samples: Samples


Tree = dict[str, Column]


@dataclass
class Staged:
    """What a session did to a column; ``backend`` is None for a column that it removed."""

    backend: str | None
    changes: dict[Any, Any] = field(default_factory=dict)  # None deletes
    is_reset: bool = False  # the base's samples do not belong to it
    is_rebacked: bool = False


@dataclass(frozen=True)
class Commit:
    parents: tuple[Digest, ...]
    tree: Tree
    message: str


@dataclass
class Session:
    """A session's changes on top of its base."""

    branch: str
    base: Digest | None
    base_tree: Tree
    staged: dict[str, Staged] = field(default_factory=dict)

    def view(self) -> Tree:
        """The columns as the session sees them."""
        result = dict(self.base_tree)
        for name, staged in self.staged.items():
            if staged.backend is None:
                result.pop(name, None)
            else:
                before = {} if staged.is_reset or name not in result else result[name].samples
                result[name] = Column(staged.backend, changed(before, staged.changes))
        return result

    def add(self, name: str, backend: str) -> None:
        staged = self.staged.setdefault(name, Staged(backend))
        staged.backend = backend
        staged.is_rebacked = self._is_other(name, backend)

    def remove(self, name: str) -> None:
        if name in self.base_tree:
            self.staged[name] = Staged(None, is_reset=True)
        else:
            del self.staged[name]

    def change_backend(self, name: str, backend: str) -> None:
        self.add(name, backend)

    def put(self, name: str, changes: Mapping[Any, Any]) -> None:
        staged = self.staged.setdefault(name, Staged(self.view()[name].backend))
        staged.changes.update(changes)

    def _is_other(self, name: str, backend: str) -> bool:
        return name not in self.base_tree or self.base_tree[name].backend != backend

    @property
    def changed_columns(self) -> dict[str, Staged]:
        return {
            name: staged
            for name, staged in self.staged.items()
            if staged.changes or staged.is_reset or staged.is_rebacked
        }


def changed(samples: Samples, changes: Mapping[Any, Any]) -> Samples:
    both = {**samples, **changes}
    return {key: value for key, value in both.items() if value is not None}


class Sides:
    """Conflicts that were met, and the side that settles them all."""

    def __init__(self, side: str | None) -> None:
        self.side = side
        self.met: set[tuple[str, Any]] = set()

    def is_ours(self, column: str, key: Any = None) -> bool:
        self.met.add((column, key))
        return self.side != "theirs"

    @property
    def are_unsettled(self) -> bool:
        return bool(self.met) and self.side is None


def rebase(session: Session, theirs: Tree, sides: Sides) -> Tree:
    """A session's changes on top of a head."""
    result = dict(theirs)
    for name, staged in session.changed_columns.items():
        column = _rebased(name, staged, session.base_tree.get(name), theirs.get(name), sides)
        if column is None:
            result.pop(name, None)
        else:
            result[name] = column
    return result


def _rebased(
    name: str, staged: Staged, base: Column | None, theirs: Column | None, sides: Sides
) -> Column | None:
    if staged.backend is None:
        if base is None:
            return theirs
        if theirs is None or theirs == base:
            return None
        return None if sides.is_ours(name) else theirs
    before = {} if base is None or staged.is_reset else base.samples
    whole = Column(staged.backend, changed(before, staged.changes))
    if base is None and theirs is None:
        return whole
    begun_twice = base is None and theirs is not None and theirs.backend != staged.backend
    if theirs is None or (staged.is_reset and base is not None) or begun_twice:
        return whole if theirs == base or sides.is_ours(name) else theirs
    backend = theirs.backend
    if staged.is_rebacked and base is not None and theirs.backend != staged.backend:
        backend = (
            staged.backend
            if theirs.backend == base.backend or sides.is_ours(name)
            else theirs.backend
        )
    samples = dict(theirs.samples)
    for key, ours in staged.changes.items():
        now = theirs.samples.get(key)
        moved = now not in (before.get(key), ours)
        if moved and not sides.is_ours(name, key):
            continue
        samples = changed(samples, {key: ours})
    return Column(backend, samples)


def merge(base: Tree, ours: Tree, theirs: Tree, sides: Sides) -> Tree:
    """Three trees made one."""
    result: Tree = {}
    for name in {*base, *ours, *theirs}:
        column = _merged(name, base.get(name), ours.get(name), theirs.get(name), sides)
        if column is not None:
            result[name] = column
    return result


def _merged(
    name: str, base: Column | None, ours: Column | None, theirs: Column | None, sides: Sides
) -> Column | None:
    if ours == theirs or theirs == base:
        return ours
    if ours == base:
        return theirs
    if ours is None or theirs is None or (base is None and ours.backend != theirs.backend):
        return ours if sides.is_ours(name) else theirs
    backend = ours.backend
    if ours.backend != theirs.backend:
        assert base is not None
        only_theirs = ours.backend == base.backend
        if only_theirs or (theirs.backend != base.backend and not sides.is_ours(name)):
            backend = theirs.backend
    samples: Samples = {}
    before = {} if base is None else base.samples
    for key in {*before, *ours.samples, *theirs.samples}:
        a, b, c = before.get(key), ours.samples.get(key), theirs.samples.get(key)
        value = b
        if b != c and c != a:
            value = c if b == a or not sides.is_ours(name, key) else b
        if value is not None:
            samples[key] = value
    return Column(backend, samples)


class Repository:
    """Branches, tags and commits."""

    def __init__(self, branch: str) -> None:
        self.branches: dict[str, Digest | None] = {branch: None}
        self.tags: dict[str, Digest] = {}
        self.commits: dict[Digest, Commit] = {}

    def tree(self, digest: Digest | None) -> Tree:
        return {} if digest is None else self.commits[digest].tree

    def ancestors(self, digest: Digest | None) -> set[Digest]:
        """A commit and all before it."""
        found: set[Digest] = set()
        wanted = [] if digest is None else [digest]
        while wanted:
            one = wanted.pop()
            if one not in found:
                found.add(one)
                wanted += self.commits[one].parents
        return found

    def merge_bases(self, a: Digest, b: Digest) -> list[Digest]:
        """Common ancestors that are no ancestor of another one."""
        common = self.ancestors(a) & self.ancestors(b)
        below: set[Digest] = set()
        for digest in common:
            for parent in self.commits[digest].parents:
                below |= self.ancestors(parent)
        return sorted(common - below)

    def is_reached(self, digest: Digest, others: Iterable[Digest | None]) -> bool:
        return any(digest in self.ancestors(other) for other in others)
