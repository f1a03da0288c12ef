"""Branches that took each other's commits crosswise: what both settled alike stays settled, what
they settled differently conflicts again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from repository.merges import head, merge
from repository.writing import Writer, open_new, read_commit

from hangard.errors import Conflict
from hangard.model.schema import make_schema
from hangard.repository.changes import ColumnChange
from hangard.repository.repository import Repository


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    opened = open_new(tmp_path)
    yield opened
    opened.close()


def commit(repository: Repository, branch: str, *changes: Any) -> bytes:
    """Changes: {key: value of the first of its numbers} of column "a", or a ColumnChange."""
    writer = Writer(repository, branch=branch)
    for change in changes:
        if isinstance(change, ColumnChange):
            writer.apply(change)
        else:
            shape = writer.session.schema("a").shape
            writer.put("a", {key: np.full(shape, value, np.uint8) for key, value in change.items()})
    digest = writer.commit().digest
    repository.close_session(writer.session.id, abort=True)
    return digest


def column(shape: tuple[int, ...]) -> ColumnChange:
    return ColumnChange("a", make_schema(dtype="u1", shape=shape, backend="10"), create=True)


REMOVED = ColumnChange("a", None)
NARROW = [REMOVED, column((2,)), {1: 20}]
WIDE = [REMOVED, column((3,)), {1: 30}]


def crossed(
    repository: Repository, ours: list[Any], theirs: list[Any], main_side: Any, dev_side: Any
) -> None:
    """main and dev with two merge bases; each took the other's commit and settled it its way.

    The sides are those of the first commits: "ours" is main's, also on dev.
    """
    base = commit(repository, "main", column((4,)), {key: key for key in range(6)})
    repository.create_branch("dev", base)
    first, second = commit(repository, "main", *ours), commit(repository, "dev", *theirs)
    merge(repository, "main", second, strategy=main_side)
    merge(repository, "dev", first, strategy="theirs" if dev_side == "ours" else "ours")
    told = merge(repository, "main", head(repository, "dev"), dry_run=True)
    assert set(told.bases) == {first, second}


CASES = {
    "samples": ([{1: 11}], [{1: 12}], 1, "t3"),
    "a new sample": ([{9: 11}], [{9: 12}], 9, "t3"),
    "removed and changed": ([REMOVED], [{1: 12}], None, "t21"),
    "changed and removed": ([{1: 11}], [REMOVED], None, "t22"),
    "two schemas": (NARROW, WIDE, None, "t3"),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("side", ["ours", "theirs"])
def test_what_both_settled_alike_does_not_conflict_again(
    repository: Repository, case: str, side: str
) -> None:
    ours, theirs, _, _ = CASES[case]
    crossed(repository, ours, theirs, side, side)
    settled = read_commit(repository, head(repository, "main"))
    if "a" in settled:
        commit(repository, "main", {4: 44})
        commit(repository, "dev", {5: 55})
    result = merge(repository, "main", head(repository, "dev"))
    assert result.outcome == "merge"
    found = read_commit(repository, head(repository, "main"))
    assert sorted(found) == sorted(settled)
    if "a" in settled:
        expected = {key: int(row[0]) for key, row in settled["a"].items()} | {4: 44, 5: 55}
        assert {key: int(row[0]) for key, row in found["a"].items()} == expected


@pytest.mark.parametrize("case", CASES)
def test_what_they_settled_differently_conflicts_again(repository: Repository, case: str) -> None:
    ours, theirs, key, kind = CASES[case]
    crossed(repository, ours, theirs, "ours", "theirs")
    before = head(repository, "main")
    with pytest.raises(Conflict) as caught:
        merge(repository, "main", head(repository, "dev"))
    assert caught.value.details["keys"] == [["a", key]]
    assert caught.value.details["kinds"] == [kind]
    assert head(repository, "main") == before
    assert merge(repository, "main", head(repository, "dev"), strategy="theirs").commit
