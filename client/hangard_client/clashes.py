"""Conflicts with the values of their three sides, as a callback strategy is asked about them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from hangard.model.commit import Digest
from hangard.model.diff import ConflictKind, MergeConflict
from hangard.model.schema import Schema
from hangard.reading.columns import ColumnReader
from hangard.reading.snapshot import RepositoryReader
from hangard.tree.store import EMPTY_ROOT


@dataclass(frozen=True, slots=True)
class Clash:
    """A key that both sides changed, with its samples; a side without one is None.

    ``key`` None stands for the column itself, and then the sides are its schemas. ``kind``: t1 both
    added, t21 deleted in ours and changed in theirs, t22 the other way round, t3 both changed.
    ``ours`` is the session's side of a commit, or the branch that is merged into.
    """

    column: str
    key: Any
    kind: ConflictKind
    base: Any
    ours: Any
    theirs: Any


Decide = Callable[[Clash], Any]
"""Gives "ours" or "theirs" for a Clash; a coroutine function is awaited."""


def read_clashes(
    reader: RepositoryReader,
    conflicts: Iterable[MergeConflict],
    schema_of: Callable[[str], Schema],
) -> Iterator[Clash]:
    """Conflicts with their samples, read one at a time. ``schema_of`` gives a column's schema."""
    for conflict in conflicts:
        sides = (conflict.base, conflict.ours, conflict.theirs)
        if conflict.key is None:
            values = [None if digest is None else reader.schema(digest) for digest in sides]
        else:
            schema = schema_of(conflict.column)
            values = [_sample(reader, conflict.column, schema, digest) for digest in sides]
        yield Clash(conflict.column, conflict.key, conflict.kind, *values)


def _sample(reader: RepositoryReader, column: str, schema: Schema, digest: Digest | None) -> Any:
    if digest is None:
        return None
    digests = np.frombuffer(digest, np.uint8).reshape(1, -1)
    return ColumnReader(reader, schema, EMPTY_ROOT, column).read_digests(digests)[0]
