"""What two revisions differ in, and where two sides of a merge cannot both be had.

Direction of a difference: from the first to the second, always. A conflict is told with what the
merge base has, what is there on our side (the branch that is merged into) and on theirs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from hangard.model.commit import Digest
from hangard.model.schema import Schema

ChangeKind = Literal["added", "deleted", "changed"]
ConflictKind = Literal["t1", "t21", "t22", "t3"]
Side = Literal["ours", "theirs"]


@dataclass(frozen=True, slots=True)
class SampleChange:
    """One key whose digest differs; a side without the key is None."""

    key: object
    before: Digest | None
    after: Digest | None

    @property
    def kind(self) -> ChangeKind:
        if self.before is None:
            return "added"
        return "deleted" if self.after is None else "changed"


class DiffCounts(NamedTuple):
    """How many samples of a column differ."""

    added: int
    deleted: int
    changed: int


@dataclass(frozen=True, slots=True)
class ColumnDiff:
    """The differences of one column; schemas are None on a side that lacks the column."""

    name: str
    schema_before: Schema | None
    schema_after: Schema | None
    samples: tuple[SampleChange, ...] = field(default=())


def conflict_kind(base: Digest | None, ours: Digest | None, theirs: Digest | None) -> ConflictKind:
    """t1: both added it, differently; t21: deleted in ours, changed in theirs; t22: changed in
    ours, deleted in theirs; t3: both changed it, differently."""
    if base is None:
        return "t1"
    if ours is None:
        return "t21"
    return "t22" if theirs is None else "t3"


@dataclass(frozen=True, slots=True)
class MergeConflict:
    """A key that both sides of a merge made something different of; None: absent there.

    ``key`` None stands for the column itself, and then the digests are those of its schemas. A base
    that is None although ``kind`` is not t1 comes from a criss-cross history, whose merge bases
    conflict themselves.
    """

    column: str
    key: Any
    kind: ConflictKind
    base: Digest | None
    ours: Digest | None
    theirs: Digest | None
