"""Two trees of columns that come from a common one, brought together column by column.

A column is a key, too: one that both sides created under the same schema is merged as if it had
been there, empty; a new dtype, shape or layout, or a deletion, conflicts with every change of its
samples on the other side; new backend options conflict only with other new ones. Time grows with
the differences.

A merge base is a tree as well, but one that stands for several commits (criss-cross histories) may
hold what none of them can decide: ``Split`` for a column, a digest of no sample for a key. Both
differ from whatever a side may have, so that a conflict which the sides settled alike is none, and
one that they settled differently is one again.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import TypeAlias

import numpy as np
from hangard_ext.digest import digest_derived

from hangard.model.commit import ZERO_DIGEST, ColumnEntry, Digest, Tree
from hangard.model.diff import Side
from hangard.model.schema import Schema
from hangard.tree.edit import edit
from hangard.tree.merge import KeyConflict, three_way
from hangard.tree.store import EMPTY_ROOT, NodeStore

COLUMN_ITSELF = b""
"""The encoded key that stands for a column and its schema."""

UNDECIDED_CONTEXT = "hangard undecided sample v1"

LoadSchema: TypeAlias = Callable[[Digest], Schema]
Choose: TypeAlias = Callable[[str, bytes, Digest | None, Digest | None, Digest | None], Side | None]
"""Settles a conflict: column, encoded key, digests in base, ours and theirs; None: it cannot."""


@dataclass(frozen=True, slots=True)
class Split:
    """A column that the commits of a merge base have differently; None: not at all."""

    entries: tuple[ColumnEntry | None, ...]


State: TypeAlias = ColumnEntry | Split | None


class TreeMerge:
    """Merges trees over a store of nodes, and asks ``choose`` wherever both sides differ from the
    base and each other; where it has no answer, ours stands."""

    def __init__(self, store: NodeStore, load_schema: LoadSchema, choose: Choose) -> None:
        self._store = store
        self._schema = load_schema
        self._choose = choose

    def merge(self, base: Mapping[str, State], ours: Tree, theirs: Tree) -> dict[str, ColumnEntry]:
        """The merged tree. Errors: Corrupt; those of the store."""
        result = {}
        for name in sorted(ours.keys() | theirs.keys()):
            entry = self._column(name, base.get(name), ours.get(name), theirs.get(name))
            if isinstance(entry, ColumnEntry):
                result[name] = entry
        return result

    def _column(self, name: str, base: State, ours: State, theirs: State) -> State:
        if isinstance(base, Split):
            if ours == theirs:
                return ours
            split, base = base, self._deciding(base, ours, theirs)
            if base is None:
                shown = next((entry for entry in split.entries if entry is not None), None)
                return self._settled_column(name, shown, ours, theirs)
        if ours == theirs or theirs == base:
            return ours
        if ours == base:
            return theirs
        if not isinstance(ours, ColumnEntry) or not isinstance(theirs, ColumnEntry):
            return self._settled_column(name, base, ours, theirs)
        ours_fits = base is not None and self._same_data(base, ours)
        theirs_fits = base is not None and self._same_data(base, theirs)
        if base is not None and ours_fits and theirs_fits:
            schema = self._merged_schema(name, base, ours, theirs)
            return ColumnEntry(schema, self._samples(name, base.root, ours.root, theirs.root))
        if not ours_fits and not theirs_fits and ours.schema == theirs.schema:
            return ColumnEntry(ours.schema, self._samples(name, EMPTY_ROOT, ours.root, theirs.root))
        return self._settled_column(name, base, ours, theirs)

    def _deciding(self, base: Split, ours: State, theirs: State) -> ColumnEntry | None:
        """The part of a split base that both sides go on from."""
        if isinstance(ours, ColumnEntry) and isinstance(theirs, ColumnEntry):
            for entry in base.entries:
                if entry is not None and self._same_data(entry, ours):
                    return entry if self._same_data(entry, theirs) else None
        return None

    def _same_data(self, first: ColumnEntry, second: ColumnEntry) -> bool:
        return first.schema == second.schema or self._schema(first.schema).same_data_as(
            self._schema(second.schema)
        )

    def _merged_schema(
        self, name: str, base: ColumnEntry, ours: ColumnEntry, theirs: ColumnEntry
    ) -> Digest:
        if ours.schema == theirs.schema or theirs.schema == base.schema:
            return ours.schema
        if ours.schema == base.schema:
            return theirs.schema
        return self._settled_schema(name, base.schema, ours.schema, theirs.schema)

    def _samples(self, name: str, base: Digest, ours: Digest, theirs: Digest) -> Digest:
        if ours == theirs or theirs == base:
            return ours
        if ours == base:
            return theirs
        found = three_way(self._store, base, ours, theirs, sys.maxsize)
        root = ours
        if len(found.changes[1]):
            root = edit(self._store, root, *found.changes)
        settled = [(item, self._settled_sample(name, item)) for item in found.conflicts]
        changed = [(item.key, digest) for item, digest in settled if digest != item.ours]
        if changed:
            blob = b"".join(key for key, _ in changed)
            ends = np.fromiter(accumulate(len(key) for key, _ in changed), np.uint32, len(changed))
            digests = b"".join(digest or ZERO_DIGEST for _, digest in changed)
            root = edit(
                self._store, root, blob, ends, np.frombuffer(digests, np.uint8).reshape(-1, 32)
            )
        return root

    # What a conflict becomes

    def _settled_column(
        self, name: str, base: ColumnEntry | None, ours: State, theirs: State
    ) -> State:
        side = self._choose(name, COLUMN_ITSELF, *map(_schema_of, (base, ours, theirs)))
        return theirs if side == "theirs" else ours

    def _settled_schema(self, name: str, base: Digest, ours: Digest, theirs: Digest) -> Digest:
        side = self._choose(name, COLUMN_ITSELF, base, ours, theirs)
        return theirs if side == "theirs" else ours

    def _settled_sample(self, name: str, conflict: KeyConflict) -> Digest | None:
        side = self._choose(name, conflict.key, conflict.base, conflict.ours, conflict.theirs)
        return conflict.theirs if side == "theirs" else conflict.ours


class BaseMerge(TreeMerge):
    """Merges the commits of a merge base with each other: nothing is settled."""

    def __init__(self, store: NodeStore, load_schema: LoadSchema) -> None:
        super().__init__(store, load_schema, lambda *_: None)
        self.undecided: set[Digest] = set()

    def merge_states(
        self, base: Mapping[str, State], ours: Mapping[str, State], theirs: Mapping[str, State]
    ) -> dict[str, State]:
        """The merged tree, with ``Split`` columns and digests of ``undecided`` samples."""
        names = sorted(ours.keys() | theirs.keys())
        merged = {
            name: self._column(name, base.get(name), ours.get(name), theirs.get(name))
            for name in names
        }
        return {name: state for name, state in merged.items() if state is not None}

    def _settled_column(
        self, name: str, base: ColumnEntry | None, ours: State, theirs: State
    ) -> State:
        entries: list[ColumnEntry | None] = []
        for side in (ours, theirs):
            entries += side.entries if isinstance(side, Split) else (side,)
        return Split(tuple(entries))

    def _settled_schema(self, name: str, base: Digest, ours: Digest, theirs: Digest) -> Digest:
        return base

    def _settled_sample(self, name: str, conflict: KeyConflict) -> Digest:
        sides = sorted((conflict.ours or ZERO_DIGEST, conflict.theirs or ZERO_DIGEST))
        digest = digest_derived(UNDECIDED_CONTEXT, b"".join(sides))
        self.undecided.add(digest)
        return digest


def _schema_of(state: State) -> Digest | None:
    """What stands for a column in a conflict; of a split one the first schema there is."""
    if isinstance(state, Split):
        return next((entry.schema for entry in state.entries if entry is not None), None)
    return None if state is None else state.schema
