"""Staged changes put on top of a branch's head, key by key.

*base* is the commit the session started from, *ours* the session's side, *theirs* the branch's head
now. Absent is a value like any other: a key conflicts when theirs differs from base and from ours.
A column is a key too. Cost: O(staged changes x log samples), whatever the other side did.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from hangard_ext.keyblock import take_keys

from hangard.model.commit import ColumnEntry, Digest, Tree
from hangard.model.diff import ConflictKind
from hangard.model.schema import Schema
from hangard.repository.conflicts import Conflicts
from hangard.repository.nodes import Nodes
from hangard.repository.staging import ChangeBlock, StagedColumn
from hangard.tree.columns import COLUMN_ITSELF
from hangard.tree.edit import edit
from hangard.tree.store import EMPTY_ROOT

Row = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Rebase:
    """What putting staged columns on a head needs: nodes, schemas, and the three sides.

    ``load_schema`` gives the schema of a digest, ``store_schema`` the digest of a schema.
    """

    store: Nodes
    load_schema: Callable[[Digest], Schema]
    store_schema: Callable[[Schema], Digest]
    conflicts: Conflicts

    def apply(self, base: Tree, theirs: Tree, staged: Mapping[str, StagedColumn]) -> Tree:
        """The tree of the new commit; conflicts without a chosen side are on the list."""
        result = dict(theirs)
        for name, column in staged.items():
            if not column.is_changed:
                continue
            entry = self._column(name, column, base.get(name), theirs.get(name))
            if entry is None:
                result.pop(name, None)
            else:
                result[name] = entry
        return result

    def _column(
        self,
        name: str,
        column: StagedColumn,
        base: ColumnEntry | None,
        theirs: ColumnEntry | None,
    ) -> ColumnEntry | None:
        if column.schema is None:
            if base is None or theirs is None or theirs == base:
                return None if base is not None else theirs
            return None if self._side(name, "t21") == "ours" else theirs
        ours_root = EMPTY_ROOT if base is None or column.reset else base.root
        if theirs is None and base is None:
            return self._whole(column, ours_root)
        if self._is_replaced(column, base, theirs):
            kind: ConflictKind = "t1" if base is None else "t3" if theirs is not None else "t22"
            if theirs == base or self._side(name, kind) == "ours":
                return self._whole(column, ours_root)
            return theirs
        assert theirs is not None
        schema = self._merged_schema(name, column, base, theirs)
        root = self._merged_samples(name, column.changes(), ours_root, theirs.root)
        return ColumnEntry(schema, root)

    def _side(self, name: str, kind: ConflictKind) -> str | None:
        return self.conflicts.side(name, COLUMN_ITSELF, kind)

    def _is_replaced(
        self, column: StagedColumn, base: ColumnEntry | None, theirs: ColumnEntry | None
    ) -> bool:
        """Whether one side's samples cannot stand in the other side's column."""
        assert column.schema is not None
        if theirs is None or (column.reset and base is not None):
            return True
        if base is None:
            return self.load_schema(theirs.schema) != column.schema
        return not self.load_schema(theirs.schema).same_data_as(column.schema)

    def _whole(self, column: StagedColumn, root: Digest) -> ColumnEntry:
        assert column.schema is not None
        return ColumnEntry(
            self.store_schema(column.schema), _edited(self.store, root, column.changes())
        )

    def _merged_schema(
        self, name: str, column: StagedColumn, base: ColumnEntry | None, theirs: ColumnEntry
    ) -> Digest:
        assert column.schema is not None
        ours = self.store_schema(column.schema) if column.schema_changed else None
        if ours is None or base is None or theirs.schema == ours:
            return theirs.schema
        if theirs.schema == base.schema:
            return ours
        return ours if self._side(name, "t3") == "ours" else theirs.schema

    def _merged_samples(
        self, name: str, ours: ChangeBlock, base_root: Digest, theirs_root: Digest
    ) -> Digest:
        if theirs_root != base_root and len(ours):
            ours = self._without_conflicts(name, ours, base_root, theirs_root)
        return _edited(self.store, theirs_root, ours)

    def _without_conflicts(
        self, name: str, ours: ChangeBlock, base_root: Digest, theirs_root: Digest
    ) -> ChangeBlock:
        """Our changes less those that a chosen side gives to the other."""
        before = self.store.find_many(base_root, ours.blob, ours.ends)
        after = self.store.find_many(theirs_root, ours.blob, ours.ends)
        clash = _differ(before, after) & _differ(after, ours.digests)
        if not clash.any():
            return ours
        keep = np.ones(len(ours), bool)
        for position in np.flatnonzero(clash):
            start = int(ours.ends[position - 1]) if position else 0
            key = ours.blob[start : int(ours.ends[position])]
            kind = _kind(before[position], ours.digests[position], after[position])
            keep[position] = self.conflicts.side(name, key, kind) == "ours"
        return _selected(ours, keep)


def _kind(base: Row, ours: Row, theirs: Row) -> ConflictKind:
    if not base.any():
        return "t1"
    if not ours.any():
        return "t21"
    return "t3" if theirs.any() else "t22"


def _differ(a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    result: npt.NDArray[np.bool_] = (a.view("<u8") != b.view("<u8")).any(axis=1)
    return result


def _edited(store: Nodes, root: Digest, changes: ChangeBlock) -> Digest:
    if not len(changes):
        return root
    edited: Digest = edit(store, root, changes.blob, changes.ends, changes.digests)
    return edited


def _selected(block: ChangeBlock, keep: npt.NDArray[np.bool_]) -> ChangeBlock:
    positions = np.flatnonzero(keep)
    blob, ends = take_keys(block.blob, block.ends, positions)
    return ChangeBlock(blob, ends, np.ascontiguousarray(block.digests[positions]))
