"""What a merge would conflict in, found by a reader: nothing is written, no daemon is asked."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from hangard_ext.treekey import decode_key

from hangard.model.commit import Digest, Tree
from hangard.model.diff import MergeConflict, conflict_kind
from hangard.tree.columns import COLUMN_ITSELF, LoadSchema, State, TreeMerge
from hangard.tree.store import MemoryNodes, NodeSource


def find_conflicts(
    base: Mapping[str, State],
    ours: Tree,
    theirs: Tree,
    *,
    schema: LoadSchema,
    nodes: NodeSource,
    undecided: Collection[Digest] = (),
) -> list[MergeConflict]:
    """All conflicts of a three-way merge, by column and key, the column itself first.

    ``undecided`` are digests of a base that stand for no sample; told as None.
    Cost: O(differences). Errors: Corrupt.
    """
    found: list[MergeConflict] = []

    def note(
        column: str, key: bytes, was: Digest | None, our: Digest | None, their: Digest | None
    ) -> None:
        shown = None if key == COLUMN_ITSELF else decode_key(key)
        kind = conflict_kind(was, our, their)
        known = None if was in undecided else was
        found.append(MergeConflict(column, shown, kind, known, our, their))

    TreeMerge(MemoryNodes(nodes), schema, note).merge(base, ours, theirs)
    return found
