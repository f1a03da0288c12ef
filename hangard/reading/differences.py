"""What two trees differ in, column by column, the samples of each as a stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from hangard_ext.treekey import decode_key

from hangard.model.commit import ColumnEntry, Digest
from hangard.model.diff import ColumnDiff, SampleChange
from hangard.model.schema import Schema
from hangard.tree.diff import diff
from hangard.tree.store import EMPTY_ROOT, NodeSource


@dataclass(frozen=True, slots=True)
class ColumnChanges:
    """One column that differs: in its schema, its samples or both. None: that side lacks it."""

    name: str
    schema_before: Schema | None
    schema_after: Schema | None
    root_before: Digest
    root_after: Digest
    _nodes: NodeSource = field(repr=False, compare=False)

    def samples(self) -> Iterator[SampleChange]:
        """The keys whose digests differ, in order; reads only what differs of the trees."""
        for key, before, after in diff(self._nodes, self.root_before, self.root_after):
            yield SampleChange(decode_key(key), before, after)

    def collect(self) -> ColumnDiff:
        """All of it at once."""
        return ColumnDiff(self.name, self.schema_before, self.schema_after, tuple(self.samples()))


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
                EMPTY_ROOT if old is None else old.root,
                EMPTY_ROOT if new is None else new.root,
                nodes,
            )
