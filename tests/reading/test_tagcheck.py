"""``verify`` on tags whose objects are not what they should be."""

from __future__ import annotations

from pathlib import Path

import pytest
from repository.writing import Writer, open_new

from hangard.db.environment import WritableEnvironment
from hangard.db.tables import WriteTables
from hangard.encoding.objects import KIND_TAG, encode_tag
from hangard.model.commit import Author, Tag
from hangard.reading.verification import verify


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Two commits, the second tagged v1; closed."""
    repository = open_new(tmp_path)
    writer = Writer(repository)
    writer.column("a")
    first = writer.commit("first")
    writer.column("b")
    second = writer.commit("second")
    repository.refs.create_tag("v1", second.digest, Author("Ada", "a@b"), "good")
    repository.refs.create_tag("v0", first.digest, Author("Ada", "a@b"))
    repository.close()
    return tmp_path


def other_commit(tables: WriteTables) -> None:
    target = tables.ref("tags/v0")
    assert target is not None
    tables.put_ref("tags/v1", target)


def other_name(tables: WriteTables) -> None:
    tag = tables.find_annotation("v1")
    assert tag is not None
    renamed = Tag(tag.target, "v2", tag.tagger, tag.message, tag.time_ns)
    tables.put_annotation("v1", tables.put_object(KIND_TAG, encode_tag(renamed)))


def missing_object(tables: WriteTables) -> None:
    tables.put_annotation("v1", bytes(32))


def object_of_another_kind(tables: WriteTables) -> None:
    tables.put_annotation("v1", tables.ref("tags/v1") or b"")


def missing_ref(tables: WriteTables) -> None:
    tables.delete_ref("tags/v1")


def test_sound_tags_are_no_finding(path: Path) -> None:
    assert verify(path).is_sound


@pytest.mark.parametrize(
    "damage", [other_commit, other_name, missing_object, object_of_another_kind, missing_ref]
)
def test_a_tag_that_its_object_contradicts_is_found(path: Path, damage: object) -> None:
    assert callable(damage)
    with WritableEnvironment(path) as env, env.write() as tables:
        damage(tables)
    (finding,) = verify(path).findings
    assert finding.kind == "damaged-tag"
    assert finding.where == "tag v1"
    assert finding.repair
