"""What a merge, revert or cherry-pick did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hangard_ext.treekey import decode_key

from hangard.model.diff import ConflictKind, DiffCounts
from hangard.tree.columns import COLUMN_ITSELF
from hangard.wire.merging import MergeResult, Outcome
from hangard_client.history import CommitDigest


@dataclass(frozen=True, slots=True)
class MergeReport:
    """What was done to a branch, or in a dry run would be.

    ``outcome``    merge (a commit with two parents), fast-forward, up-to-date (nothing to do), or
                   commit (of a revert or cherry-pick)
    ``commit``     where the branch is then; None in a dry run that would make a commit
    ``before``     where it was; None: it had no commit
    ``bases``      the best common ancestors of both sides of a merge
    ``conflicts``  dry run: column, key (None: the column itself) and kind of those that the
                   strategy does not settle, of ``conflict_count`` the first
    ``changes``    dry run without conflicts: what the branch would gain, lose and have changed
    """

    outcome: Outcome
    branch: str
    commit: CommitDigest | None
    before: CommitDigest | None
    bases: tuple[CommitDigest, ...]
    conflicts: tuple[tuple[str, Any, ConflictKind], ...]
    conflict_count: int
    changes: Mapping[str, DiffCounts]

    @classmethod
    def of(cls, result: MergeResult) -> MergeReport:
        return cls(
            result.outcome,
            result.branch,
            CommitDigest.or_none(result.commit),
            CommitDigest.or_none(result.before),
            tuple(map(CommitDigest, result.bases)),
            tuple(
                (column, None if key == COLUMN_ITSELF else decode_key(key), kind)
                for column, key, kind in result.conflicts
            ),
            result.conflict_count,
            {name: DiffCounts(*counts) for name, counts in result.changes.items()},
        )
