from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hangard_ext.treekey import encode_keys
from repository.lives import live_and_die
from repository.writing import Writer, open_new, read_commit

from hangard.errors import AlreadyExists, Busy, HeadMoved, InvalidRequest, UnknownRevision
from hangard.model.commit import Author, ColumnEntry, Digest
from hangard.model.schema import make_schema
from hangard.repository.publishing import PreparedCommit, Publication, exactly, prepare_commit
from hangard.repository.repository import Repository
from hangard.tree.build import build
from hangard.tree.edit import edit

ADA = Author("Ada", "ada@example.org")
SCHEMA = make_schema(dtype="u1", shape=(4,), backend="10")


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    opened = open_new(tmp_path)
    yield opened
    opened.close()


def rows(n: int, start: int = 0) -> np.ndarray:
    return (np.arange(start * 4, (start + n) * 4).reshape(n, 4) % 251).astype(np.uint8)


def samples_commit(
    repository: Repository, keys: Any, batch: np.ndarray, *parents: Digest, message: str = "made"
) -> PreparedCommit:
    """A commit of one column, with its rows and nodes written through Storage."""
    blob, ends = encode_keys(keys)
    block, _ = repository._batcher.store(SCHEMA, blob, ends, batch)
    root = build(repository._nodes, block.blob, block.ends, block.digests)
    made = prepare_commit({}, [SCHEMA], parents=(), author=ADA, message="", time_ns=0)
    (schema,) = made.schemas
    return prepare_commit(
        {"a": ColumnEntry(schema, root)},
        [SCHEMA],
        parents=parents,
        author=ADA,
        message=message,
        time_ns=1_234,
        metadata={"from": "elsewhere"},
    )


def publish(
    repository: Repository,
    commit: PreparedCommit,
    before: Digest | None,
    *,
    branch: str = "main",
    **more: Any,
) -> Any:
    settings = {"command_id": secrets.token_bytes(16), "action": "import", "user": str(ADA), **more}
    publication = Publication(before, commit.digest, (commit,))
    return repository.publisher.publish(branch, exactly(publication), **settings)


def test_a_published_commit_is_there_with_all_it_names(repository: Repository) -> None:
    commit = samples_commit(repository, range(5), rows(5))
    result = publish(repository, commit, None)
    assert (result.digest, result.parent, result.branch) == (commit.digest, None, "main")
    samples = read_commit(repository, commit.digest)["a"]
    assert [samples[i].tolist() for i in range(5)] == rows(5).tolist()
    with repository._env.read() as tables:
        assert tables.ref("heads/main") == commit.digest
        entry = next(iter(tables.reflog()))
    assert (entry.action, entry.before, entry.after) == ("import", b"", commit.digest)
    assert repository._objects.commit(commit.digest).metadata == (("from", "elsewhere"),)


def _publish_one(path: Path) -> Digest:
    repository = open_new(path)
    commit = samples_commit(repository, range(5), rows(5))
    publish(repository, commit, None)
    return commit.digest


def test_a_published_commit_survives_a_kill_of_the_process(tmp_path: Path) -> None:
    digest = live_and_die(_publish_one, tmp_path)
    reopened = Repository.open(tmp_path)
    try:
        assert reopened._heads["main"] == digest
        assert len(read_commit(reopened, digest)["a"]) == 5
    finally:
        reopened.close()


def test_sessions_go_on_from_a_published_head(repository: Repository) -> None:
    writer = Writer(repository)
    writer.column("a", backend="10")
    writer.put("a", (range(3), rows(3)))
    first = writer.commit()
    writer.put("a", {1: rows(1, 50)[0]})
    root = repository._objects.commit_tree(first.digest)["a"]
    blob, ends = encode_keys([7])
    block, _ = repository._batcher.store(SCHEMA, blob, ends, rows(1, 90))
    edited = edit(repository._nodes, root.root, block.blob, block.ends, block.digests)
    commit = prepare_commit(
        {"a": ColumnEntry(root.schema, edited)},
        parents=(first.digest,),
        author=ADA,
        message="one more",
        time_ns=5,
    )
    publish(repository, commit, first.digest)
    second = writer.commit()
    assert second.rebased
    assert second.parent == commit.digest
    assert sorted(read_commit(repository, second.digest)["a"]) == [0, 1, 2, 7]


def test_a_moved_head_is_told_and_nothing_changes(repository: Repository) -> None:
    first = samples_commit(repository, range(2), rows(2))
    publish(repository, first, None)
    late = samples_commit(repository, range(3), rows(3))
    with pytest.raises(HeadMoved) as caught:
        publish(repository, late, None)
    assert caught.value.details["head"] == first.digest
    with repository._env.read() as tables:
        assert tables.ref("heads/main") == first.digest
        assert tables.find_commit(late.digest) is None


def test_a_repeated_command_gets_the_first_answer(repository: Repository) -> None:
    commit = samples_commit(repository, range(2), rows(2))
    command_id = secrets.token_bytes(16)
    first = publish(repository, commit, None, command_id=command_id)
    assert publish(repository, commit, None, command_id=command_id) == first


def test_a_chain_of_commits_is_published_at_once(repository: Repository) -> None:
    first = samples_commit(repository, range(2), rows(2), message="first")
    second = samples_commit(repository, range(3), rows(3), first.digest, message="second")
    repository.publisher.publish(
        "old/history",
        exactly(Publication(None, second.digest, (first, second))),
        command_id=secrets.token_bytes(16),
        action="import",
        create=True,
    )
    assert repository._objects.commit(second.digest).parents == (first.digest,)
    assert len(read_commit(repository, first.digest)["a"]) == 2
    again = samples_commit(repository, range(4), rows(4), second.digest)
    publish(repository, again, second.digest, branch="old/history", create=True)


def test_a_commit_whose_parent_is_missing_is_refused(repository: Repository) -> None:
    commit = samples_commit(repository, range(2), rows(2), bytes([7]) * 32)
    with pytest.raises(UnknownRevision):
        publish(repository, commit, None)


def test_branches_are_made_only_when_asked_for_and_under_legal_names(
    repository: Repository,
) -> None:
    commit = samples_commit(repository, range(2), rows(2))
    with pytest.raises(UnknownRevision) as caught:
        publish(repository, commit, None, branch="new")
    assert caught.value.code == "unknown-branch"
    with pytest.raises(InvalidRequest) as wrong:
        publish(repository, commit, None, branch="no..name/", create=True)
    assert wrong.value.code == "invalid-name"
    with pytest.raises(AlreadyExists):
        publish(repository, commit, None, branch="main/sub", create=True)


def test_an_exclusive_session_keeps_others_from_publishing(repository: Repository) -> None:
    session = repository.open_session("main", exclusive=True)
    commit = samples_commit(repository, range(2), rows(2))
    with pytest.raises(Busy) as caught:
        publish(repository, commit, None)
    assert caught.value.code == "exclusive-session"
    publish(repository, commit, None, session=session)
    assert session.base == commit.digest
    assert list(session.columns()) == ["a"]


def test_a_session_with_staged_changes_publishes_nothing(repository: Repository) -> None:
    writer = Writer(repository)
    writer.column("b")
    commit = samples_commit(repository, range(2), rows(2))
    with pytest.raises(InvalidRequest) as caught:
        publish(repository, commit, None, session=writer.session)
    assert caught.value.code == "session-changed"
    writer.commit()


def test_publications_and_commits_at_once_lose_nothing(repository: Repository) -> None:
    writer = Writer(repository)
    writer.column("a", backend="10")
    writer.commit()
    published: list[Digest] = []

    def commit_many() -> None:
        for i in range(30):
            writer.put("a", {i: rows(1, i)[0]})
            writer.commit()

    thread = threading.Thread(target=commit_many)
    thread.start()
    while len(published) < 10:

        def plan(head: Digest | None, group: Any) -> Publication:
            assert head is not None
            known = group.commits.get(head) or repository._objects.commit(head)
            tree = group.trees.get(head) or repository._objects.tree(known.tree)
            made = prepare_commit(
                tree, parents=(head,), author=ADA, message=f"n{len(published)}", time_ns=1
            )
            return Publication(head, made.digest, (made,))

        result = repository.publisher.publish(
            "main", plan, command_id=secrets.token_bytes(16), action="mark"
        )
        published.append(result.digest)
    thread.join()
    head = repository._heads["main"]
    assert head is not None
    seen = []
    digest: Digest | None = head
    while digest:
        seen.append(digest)
        digest = next(iter(repository._objects.commit(digest).parents), None)
    assert set(published) <= set(seen)
    assert len(seen) == 1 + 30 + 10
    assert sorted(read_commit(repository, head)["a"]) == list(range(30))
