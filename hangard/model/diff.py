"""What two revisions differ in. Direction: from the first to the second, always."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from hangard.model.commit import Digest
from hangard.model.schema import Schema

ChangeKind = Literal["added", "deleted", "changed"]


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


@dataclass(frozen=True, slots=True)
class ColumnDiff:
    """The differences of one column; schemas are None on a side that lacks the column."""

    name: str
    schema_before: Schema | None
    schema_after: Schema | None
    samples: tuple[SampleChange, ...] = field(default=())
