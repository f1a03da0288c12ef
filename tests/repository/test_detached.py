from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from repository.writing import Writer, open_new, read_commit

from hangard.errors import HeadMoved, InvalidRequest, UnknownRevision
from hangard.model.commit import Digest
from hangard.reading.snapshot import RepositoryReader
from hangard.repository.repository import Repository
from hangard.wire.importing import BranchMove, MoveBranches
from hangard.wire.messages import CommitResult, Detached

NAME = "a=1c5afe099d3926235b353ac0be1da049318101f9"
OTHER = "a=1c5a00000d3926235b353ac0be1da049318101f9"


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    opened = open_new(tmp_path)
    yield opened
    opened.close()


def rows(n: int, value: int = 0) -> np.ndarray:
    return np.full((n, 4), value, np.uint8)


def detached(writer: Writer, *parents: Digest, names: tuple[str, ...] = ()) -> CommitResult:
    request = writer.request(
        "made elsewhere", detached=Detached(parents=parents, time_ns=1234, names=names)
    )
    return writer.repository.commit(writer.session.id, request)


def move(repository: Repository, *moves: Any) -> None:
    repository.move_branches(
        MoveBranches(
            command_id=secrets.token_bytes(16),
            moves=tuple(BranchMove(*each) for each in moves),
            action="import",
        )
    )


def resolve(repository: Repository, revision: str) -> Digest:
    reader = RepositoryReader(repository.path)
    try:
        return reader.resolve(revision)
    finally:
        reader.close()


def test_a_detached_commit_moves_no_branch_and_the_session_goes_on_from_it(repository):
    writer = Writer(repository, commit=b"")
    writer.column("a")
    writer.put("a", (range(3), rows(3)))
    first = detached(writer)
    writer.put("a", (range(1), rows(1, 7)))
    writer.delete("a", 2)
    second = detached(writer, first.digest)
    assert repository._heads == {"main": None}
    assert writer.session.base == second.digest
    assert {key: row[0] for key, row in read_commit(repository, second.digest)["a"].items()} == {
        0: 7,
        1: 0,
    }
    commit = repository._objects.commit(second.digest)
    assert (commit.parents, commit.time_ns) == ((first.digest,), 1234)


def test_the_same_detached_commit_has_the_same_digest_everywhere(tmp_path):
    digests = []
    for name in ("one", "two"):
        repository = open_new(tmp_path / name)
        writer = Writer(repository, commit=b"")
        writer.column("a")
        writer.put("a", (range(3), rows(3)))
        digests.append(detached(writer).digest)
        repository.close()
    assert digests[0] == digests[1]


def test_a_session_on_no_commit_sees_nothing_of_its_branch(repository):
    writer = Writer(repository)
    writer.column("a")
    writer.put("a", (range(3), rows(3)))
    writer.commit()
    orphan = Writer(repository, commit=b"")
    assert orphan.session.columns() == {}
    orphan.column("b")
    orphan.put("b", (range(1), rows(1)))
    assert list(read_commit(repository, detached(orphan).digest)) == ["b"]


def test_a_detached_commit_has_the_parents_it_is_given(repository):
    writer = Writer(repository, commit=b"")
    writer.column("a")
    left, right = detached(writer), None
    writer.put("a", (range(1), rows(1)))
    right = detached(writer, left.digest)
    merge = detached(writer, left.digest, right.digest)
    assert repository._objects.commit(merge.digest).parents == (left.digest, right.digest)
    with pytest.raises(UnknownRevision):
        detached(writer, b"\1" * 32)


def test_commits_are_found_by_the_names_they_have_elsewhere(repository):
    writer = Writer(repository, commit=b"")
    writer.column("a")
    first = detached(writer, names=(NAME,))
    assert resolve(repository, NAME) == first.digest
    assert resolve(repository, NAME[:6]) == first.digest
    writer.put("a", (range(1), rows(1)))
    second = detached(writer, first.digest, names=(OTHER,))
    assert resolve(repository, OTHER[:8]) == second.digest
    assert resolve(repository, OTHER + "~1") == first.digest
    with pytest.raises(UnknownRevision) as caught:
        resolve(repository, NAME[:6])
    assert caught.value.code == "ambiguous-revision"
    assert caught.value.details["candidates"] == [OTHER, NAME]
    for nothing in ("a=dddd", "a=1c5", "a=", NAME + "0", "a=1C5A"):
        with pytest.raises(UnknownRevision):
            resolve(repository, nothing)


@pytest.mark.parametrize("name", ["main", "a=12", "../x", NAME.upper(), ""])
def test_a_name_that_no_tool_gives_is_refused(repository, name):
    writer = Writer(repository, commit=b"")
    writer.column("a")
    with pytest.raises(InvalidRequest) as caught:
        detached(writer, names=(name,))
    assert caught.value.code == "invalid-name"


def test_names_survive_a_restart(tmp_path):
    repository = open_new(tmp_path)
    writer = Writer(repository, commit=b"")
    writer.column("a")
    digest = detached(writer, names=(NAME,)).digest
    repository.close()
    reopened = Repository.open(tmp_path)
    assert resolve(reopened, NAME) == digest
    reopened.close()


def test_a_repeated_command_gets_the_first_answer(repository):
    writer = Writer(repository, commit=b"")
    writer.column("a")
    request = writer.request("once", detached=Detached(parents=(), time_ns=1))
    first = repository.commit(writer.session.id, request)
    assert repository.commit(writer.session.id, request) == first


def test_branches_are_put_on_commits_all_or_none(repository):
    writer = Writer(repository, commit=b"")
    writer.column("a")
    first = detached(writer).digest
    writer.put("a", (range(1), rows(1)))
    second = detached(writer, first).digest
    move(repository, ("main", None, first), ("new", None, second))
    assert repository._heads == {"main": first, "new": second}
    writer.put("a", (range(1), rows(1, 9)))
    third = detached(writer, second).digest
    with pytest.raises(HeadMoved):
        move(repository, ("main", first, second), ("new", first, third))
    assert repository._heads == {"main": first, "new": second}
    move(repository, ("main", first, second), ("new", second, second))
    assert repository._heads == {"main": second, "new": second}
    with pytest.raises(InvalidRequest) as caught:
        move(repository, ("main", second, first))
    assert caught.value.code == "not-a-descendant"
    with pytest.raises(UnknownRevision):
        move(repository, ("third", None, b"\1" * 32))
    with repository._env.read() as tables:
        assert {entry.action for entry in tables.reflog()} >= {"import"}


def test_what_an_import_made_is_young_to_gc_whatever_its_time(repository):
    writer = Writer(repository, commit=b"")
    writer.column("a")
    writer.put("a", (range(3), rows(3)))
    first = detached(writer)
    writer.put("a", (range(3), rows(3, 1)))
    tip = detached(writer, first.digest, names=(NAME,))
    repository.close_session(writer.session.id, abort=True)
    assert repository.upkeep.gc().commits == 0
    move(repository, ("side", None, tip.digest))
    assert len(read_commit(repository, first.digest)["a"]) == 3
    repository.delete_branch("side", force=True)
    assert repository.upkeep.gc(grace_s=-1, reflog_age_s=-1).commits == 2
