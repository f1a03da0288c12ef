"""Branches and tags of a repository without its daemon: beside commits, and after a kill."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from repository.lives import live_and_die
from repository.writing import Writer, open_new

from hangard.errors import AlreadyExists, HeadMoved, InvalidRequest, UnknownRevision
from hangard.model.commit import Author
from hangard.reading.snapshot import RepositoryReader
from hangard.repository.repository import Repository

ADA = Author("Ada", "ada@example.org")
COMMITS = 30


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    opened = open_new(tmp_path)
    yield opened
    opened.close()


def row(value: int) -> np.ndarray:
    return np.full(4, value, np.uint8)


def test_sessions_commit_while_their_branch_is_renamed(repository: Repository) -> None:
    first = Writer(repository)
    first.column("a")
    first.commit("a column")
    stop = threading.Event()
    renamed: list[str] = []

    def rename() -> None:
        name = "main"
        while not stop.is_set():
            other = f"main-{len(renamed) % 3}"
            repository.refs.rename_branch(name, other)
            renamed.append(other)
            name = other

    errors: list[Exception] = []
    writers = [Writer(repository) for _ in range(3)]

    def go(number: int) -> None:
        try:
            for count in range(COMMITS):
                writers[number].put("a", {number * 1000 + count: row(count)})
                writers[number].commit(f"{number}: {count}")
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=go, args=(number,)) for number in range(3)]
    renamer = threading.Thread(target=rename)
    for thread in [*threads, renamer]:
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    renamer.join()
    assert not errors
    assert renamed
    with RepositoryReader(repository.path) as reader:
        assert list(reader.branches()) == [renamed[-1]]
        assert reader.head() == renamed[-1]
        assert len(list(reader.log())) == 3 * COMMITS + 1
        assert len(reader.checkout()["a"]) == 3 * COMMITS
        commits = [entry for entry in reader.reflog("HEAD") if entry.action.startswith("commit")]
        assert len(commits) == 3 * COMMITS + 1
    assert {session.branch for session in repository.sessions()} == {renamed[-1]}


def test_a_rename_that_is_refused_changes_nothing(repository: Repository) -> None:
    writer = Writer(repository)
    writer.column("a")
    writer.commit("a")
    repository.create_branch("dev")
    repository.create_branch("deep/er")
    for new, error in (
        ("dev", AlreadyExists),
        ("deep", AlreadyExists),
        ("dev/below", AlreadyExists),
        ("HEAD", InvalidRequest),
    ):
        with pytest.raises(error):
            repository.refs.rename_branch("main", new)
    with pytest.raises(UnknownRevision):
        repository.refs.rename_branch("nowhere", "x")
    assert repository.head() == "main"
    assert writer.session.branch == "main"
    writer.put("a", {1: row(1)})
    assert writer.commit("on main").branch == "main"


def fill(path: str) -> dict[str, Any]:
    repository = open_new(Path(path))
    writer = Writer(repository)
    writer.column("a")
    first = writer.commit("first").digest
    writer.put("a", {1: row(1)})
    second = writer.commit("second").digest
    refs = repository.refs
    refs.create_tag("v1", second, ADA, "kept")
    refs.create_tag("gone", second, ADA)
    refs.delete_tag("gone")
    refs.rename_branch("main", "trunk")
    refs.reset_branch("trunk", first, "v1~1")
    writer.put("a", {2: row(2)})
    refs.reset_session(writer.session.id)
    writer.put("a", {3: row(3)})
    return {"first": first, "second": second, "session": writer.session.id}


def test_every_answered_verb_is_there_after_a_kill(tmp_path: Path) -> None:
    known = live_and_die(fill, str(tmp_path))
    repository = Repository.open(tmp_path)
    try:
        with RepositoryReader(tmp_path) as reader:
            assert reader.branches() == {"trunk": known["first"]}
            assert reader.head() == "trunk"
            assert reader.tags() == {"v1": known["second"]}
            tag = reader.tag("v1")
            assert tag is not None
            assert (tag.message, tag.tagger, tag.target) == ("kept", ADA, known["second"])
            assert reader.resolve("trunk@{1}") == known["second"]
        session = repository.session(known["session"])
        assert session.branch == "trunk"
        assert session.staged_total == 1
        writer = Writer(repository, session)
        writer.commit("three alone")
        with RepositoryReader(tmp_path) as reader:
            assert list(reader.checkout("trunk")["a"]) == [3]
    finally:
        repository.close()


def test_a_reset_beside_commits_loses_none_of_them_silently(repository: Repository) -> None:
    writer = Writer(repository)
    writer.column("a")
    first = writer.commit("first").digest
    made, refused = [first], 0

    def reset() -> None:
        for _ in range(COMMITS):
            repository.refs.reset_branch("main", first, "first")

    thread = threading.Thread(target=reset)
    thread.start()
    for count in range(COMMITS):
        writer.put("a", {count: row(count)})
        try:
            made.append(writer.commit(f"{count}", strategy="ours").digest)
        except HeadMoved:
            refused += 1
    thread.join()
    assert refused == 0
    with RepositoryReader(repository.path) as reader:
        moved = {entry.after for entry in reader.reflog("main")}
        assert set(made) <= moved
