"""Differences and conflicts as Hangar tells them.

Direction, always: *added* is what the second side (``dev``, or what is staged) has and the first
does not. Hangar itself turned it around once the histories had diverged.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import hangard_client
from hangard.errors import UnknownRevision
from hangard.model.commit import Digest
from hangard.model.diff import MergeConflict
from hangard.reading.differences import ColumnChanges
from hangard_client.hangar.log import full_digest
from hangard_client.hangar.scopes import Scope


class ColumnSchemaKey(NamedTuple):
    """A column: its name, and ``flat`` or ``nested``."""

    column: str
    layout: str


class FlatColumnDataKey(NamedTuple):
    """A sample of a flat column."""

    column: str
    sample: str | int

    @property
    def layout(self) -> str:
        return "flat"


class NestedColumnDataKey(NamedTuple):
    """A subsample of a nested column."""

    column: str
    sample: str | int
    subsample: str | int

    @property
    def layout(self) -> str:
        return "nested"


class DataRecordVal(NamedTuple):
    """The digest of what is stored under a key."""

    digest: str


DataKey = FlatColumnDataKey | NestedColumnDataKey


class Changes(NamedTuple):
    """Columns by their schemas, and the keys of samples."""

    schema: dict[ColumnSchemaKey, DataRecordVal]
    samples: tuple[DataKey, ...]


class DiffOut(NamedTuple):
    """What the second side has in addition, what it lacks, and what it has differently."""

    added: Changes
    deleted: Changes
    mutated: Changes


class Conflicts(NamedTuple):
    """What a merge could not decide.

    ``t1``   both sides added it, differently
    ``t21``  the first side (``master``) deleted it, the second (``dev``) changed it
    ``t22``  the first side changed it, the second deleted it
    ``t3``   both changed it, differently
    ``conflict``  whether there is any
    """

    t1: Changes
    t21: Changes
    t22: Changes
    t3: Changes
    conflict: bool


class DiffAndConflicts(NamedTuple):
    """What two sides differ in, and what a merge of them would conflict in."""

    diff: DiffOut
    conflict: Conflicts


def commit_of(repo: hangard_client.Repository, name: object) -> Digest:
    """The commit of a branch, or the one of a full digest. Errors: UnknownRevision."""
    if isinstance(name, str) and name in (branches := repo.branches()):
        head = branches[name]
        if head is None:
            raise UnknownRevision(f"branch {name!r} has no commit yet", code="no-commit")
        return head
    return _known(repo, name)


def compare(repo: hangard_client.Repository, master: Digest, dev: Digest) -> DiffAndConflicts:
    """Two commits. Errors: UnknownRevision."""
    conflicts = conflicts_of(repo.conflicts(master, dev), repo, master, dev)
    return DiffAndConflicts(diff_out(repo.diff(master, dev)), conflicts)


def staged(native: hangard_client.WriteCheckout) -> DiffAndConflicts:
    """What is staged, against the commit it goes on from; that never conflicts."""
    return DiffAndConflicts(diff_out(native.diff()), _NO_CONFLICTS)


def diff_out(columns: Iterable[ColumnChanges]) -> DiffOut:
    """Native differences as Hangar's."""
    parts = {kind: _Collected() for kind in ("added", "deleted", "changed")}
    for column in columns:
        schema = column.schema_after or column.schema_before
        entry = column.after or column.before
        assert schema is not None
        assert entry is not None
        if column.schema_change is not None:
            key = ColumnSchemaKey(column.name, schema.layout)
            parts[column.schema_change].schema[key] = DataRecordVal(entry.schema.hex())
        for change in column.samples():
            parts[change.kind].samples.append(_data_key(column.name, change.key))
    return DiffOut(parts["added"].changes(), parts["deleted"].changes(), parts["changed"].changes())


def conflicts_of(
    found: Iterable[MergeConflict], repo: hangard_client.Repository, *commits: Digest
) -> Conflicts:
    """Native conflicts as Hangar's."""
    parts = {kind: _Collected() for kind in ("t1", "t21", "t22", "t3")}
    layouts: dict[str, str] = {}
    any_found = False
    for conflict in found:
        any_found = True
        part = parts[conflict.kind]
        if conflict.key is not None:
            part.samples.append(_data_key(conflict.column, conflict.key))
            continue
        layouts = layouts or _layouts(repo, commits)
        digest = conflict.theirs or conflict.ours or conflict.base or b""
        key = ColumnSchemaKey(conflict.column, layouts.get(conflict.column, "flat"))
        part.schema[key] = DataRecordVal(digest.hex())
    changes = {kind: part.changes() for kind, part in parts.items()}
    return Conflicts(**changes, conflict=any_found)


class ReaderDiff:
    """``checkout.diff``: this checkout's commit against another, which is the second side."""

    def __init__(self, repo: hangard_client.Repository, scope: Scope, commit: Any) -> None:
        self._repo = repo
        self._scope = scope
        self._own = commit

    def commit(self, dev_commit_hash: str) -> DiffAndConflicts:
        """Against a commit. Errors: UnknownRevision."""
        self._scope.check()
        return compare(self._repo, self._first(), _known(self._repo, dev_commit_hash))

    def branch(self, dev_branch: str) -> DiffAndConflicts:
        """Against a branch. Errors: UnknownRevision."""
        self._scope.check()
        if dev_branch not in self._repo.branches():
            raise UnknownRevision(f"there is no branch {dev_branch!r}", code="unknown-branch")
        return compare(self._repo, self._first(), commit_of(self._repo, dev_branch))

    def _first(self) -> Digest:
        commit: Digest | None = self._own()
        if commit is None:
            raise UnknownRevision("there is no commit yet to compare with", code="no-commit")
        return commit


class WriterDiff(ReaderDiff):
    """``checkout.diff`` of a writer: also of what is staged. ``commit`` and ``branch`` compare the
    commit that the staging area goes on from."""

    def __init__(
        self,
        repo: hangard_client.Repository,
        scope: Scope,
        native: hangard_client.WriteCheckout,
    ) -> None:
        super().__init__(repo, scope, lambda: native.commit_digest)
        self._native = native

    def staged(self) -> DiffAndConflicts:
        """What ``commit`` would commit."""
        self._scope.check()
        return staged(self._native)

    def status(self) -> str:
        """``CLEAN``, or ``DIRTY`` if something is staged that the commit does not have."""
        self._scope.check()
        return "DIRTY" if self._native.diff() else "CLEAN"


def _known(repo: hangard_client.Repository, commit: object) -> Digest:
    digest = full_digest(repo, commit)
    repo.log(digest, limit=1)
    return digest


class _Collected:
    def __init__(self) -> None:
        self.schema: dict[ColumnSchemaKey, DataRecordVal] = {}
        self.samples: list[DataKey] = []

    def changes(self) -> Changes:
        return Changes(self.schema, tuple(self.samples))


def _data_key(column: str, key: Any) -> DataKey:
    if isinstance(key, tuple):
        return NestedColumnDataKey(column, *key)
    return FlatColumnDataKey(column, key)


def _layouts(repo: hangard_client.Repository, commits: Iterable[Digest]) -> dict[str, str]:
    """By column; one that a side deleted stands in the other."""
    layouts: dict[str, str] = {}
    for commit in commits:
        with repo.checkout(commit=commit) as co:
            layouts |= {name: column.schema.layout for name, column in co.columns.items()}
    return layouts


_NOTHING = Changes({}, ())
_NO_CONFLICTS = Conflicts(_NOTHING, _NOTHING, _NOTHING, _NOTHING, False)
