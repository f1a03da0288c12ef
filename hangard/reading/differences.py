"""What two trees differ in, column by column, the samples of each as a stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from hangard_ext.treekey import decode_key

from hangard.model.commit import ColumnEntry, Digest
from hangard.model.diff import ChangeKind, ColumnDiff, DiffCounts, SampleChange
from hangard.model.schema import Schema
from hangard.tree.diff import count_diff, diff
from hangard.tree.store import EMPTY_ROOT, NodeSource


@dataclass(frozen=True, slots=True)
class ColumnChanges:
    """One column that differs: in its schema, its samples or both. None: that side lacks it."""

    name: str
    schema_before: Schema | None
    schema_after: Schema | None
    before: ColumnEntry | None
    after: ColumnEntry | None
    _nodes: NodeSource = field(repr=False, compare=False)

    @property
    def schema_change(self) -> ChangeKind | None:
        """What happened to the column itself; None: its schema is the same."""
        if self.before is None:
            return "added"
        if self.after is None:
            return "deleted"
        return None if self.before.schema == self.after.schema else "changed"

    def samples(self) -> Iterator[SampleChange]:
        """The keys whose digests differ, in order; reads only what differs of the trees."""
        for key, before, after in diff(self._nodes, *self._roots()):
            yield SampleChange(decode_key(key), before, after)

    def added(self) -> Iterator[SampleChange]:
        """The keys that only the second side has."""
        return (change for change in self.samples() if change.kind == "added")

    def deleted(self) -> Iterator[SampleChange]:
        """The keys that only the first side has."""
        return (change for change in self.samples() if change.kind == "deleted")

    def changed(self) -> Iterator[SampleChange]:
        """The keys that both sides have, with different samples."""
        return (change for change in self.samples() if change.kind == "changed")

    def counts(self) -> DiffCounts:
        """How many keys are added, deleted and changed."""
        return DiffCounts(*count_diff(self._nodes, *self._roots()))

    def collect(self) -> ColumnDiff:
        """All of it at once."""
        return ColumnDiff(self.name, self.schema_before, self.schema_after, tuple(self.samples()))

    def _roots(self) -> tuple[Digest, Digest]:
        return (
            EMPTY_ROOT if self.before is None else self.before.root,
            EMPTY_ROOT if self.after is None else self.after.root,
        )


def column_changes(
    before: Mapping[str, ColumnEntry],
    after: Mapping[str, ColumnEntry],
    schema: Callable[[Digest], Schema],
    nodes: NodeSource,
) -> Iterator[ColumnChanges]:
    """The columns that differ, by name. ``schema`` brings a schema by its digest."""
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old != new:
            yield ColumnChanges(
                name,
                None if old is None else schema(old.schema),
                None if new is None else schema(new.schema),
                old,
                new,
                nodes,
            )
