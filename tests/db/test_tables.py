"""Typed writes and reads of LMDB's databases agree."""

import numpy as np
import pytest

from hangard.db import tables as db_tables
from hangard.db.environment import WritableEnvironment, create_directory
from hangard.encoding.objects import KIND_COMMIT, KIND_SCHEMA, KIND_TREE, encode_commit, encode_tree
from hangard.encoding.records import ReflogEntry, SessionRecord
from hangard.errors import Corrupt
from hangard.model.commit import Author, ColumnEntry, Commit
from hangard.model.files import FileRecord


@pytest.fixture
def env(tmp_path):
    create_directory(tmp_path)
    with WritableEnvironment(tmp_path) as env:
        yield env


def entry(number):
    return ReflogEntry(number, "heads/main", b"", bytes(32), "commit: x")


def test_refs_and_head(env):
    with env.write() as tables:
        with pytest.raises(Corrupt):
            tables.head()
        tables.put_head("dev/ünï")
        tables.put_ref("heads/main", b"")
        tables.put_ref("heads/dev/ünï", b"\1" * 32)
        tables.put_ref("tags/v1", b"\2" * 32)
    with env.read() as tables:
        assert tables.head() == "dev/ünï"
        assert tables.ref("heads/main") == b""
        assert tables.ref("heads/none") is None
        assert list(tables.refs(b"heads/")) == [("heads/dev/ünï", b"\1" * 32), ("heads/main", b"")]
        assert len(list(tables.refs())) == 3
    with env.write() as tables:
        assert tables.delete_ref("tags/v1")
        assert not tables.delete_ref("tags/v1")


def test_objects_come_back_checked(env):
    tree = {"a": ColumnEntry(b"\1" * 32, b"\2" * 32)}
    with env.write() as tables:
        tree_digest = tables.put_object(KIND_TREE, encode_tree(tree))
        commit = Commit((), tree_digest, Author("a", "b"), "m", 1)
        digest = tables.put_object(KIND_COMMIT, encode_commit(commit))
        assert tables.put_object(KIND_COMMIT, encode_commit(commit)) == digest
    with env.read() as tables:
        assert tables.find_commit(digest) == commit
        assert tables.find_tree(tree_digest) == tree
        assert tables.find_schema(b"\3" * 32) is None
        assert tables.has_object(digest)
        assert list(tables.commits_from(b"")) == [digest]
        assert list(tables.commits_from(digest[:4])) == [digest]
        with pytest.raises(Corrupt):
            tables.find_object(KIND_SCHEMA, digest)


def test_index_entries_of_a_batch(env):
    generator = np.random.default_rng(1)
    digests = generator.integers(0, 256, (1000, 32), dtype=np.uint8)
    specs = generator.integers(0, 256, (1000, 32), dtype=np.uint8)
    with env.write() as tables:
        tables.put_specs(digests, specs)
        tables.put_specs(digests[:10], specs[10:20])
        with pytest.raises(ValueError, match=r"\(n, 32\)"):
            tables.put_specs(digests, specs[:-1])
    with env.read() as tables:
        assert tables.index_count() == 1000
        assert tables.find_spec(digests[0].tobytes()) == specs[10].tobytes()
        asked = np.concatenate([digests[20:40], generator.integers(0, 256, (5, 32), np.uint8)])
        answers, found = tables.find_specs(asked)
        assert found.tolist() == [True] * 20 + [False] * 5
        assert (answers[:20] == specs[20:40]).all()
        all_digests, all_specs = tables.index_entries()
        order = np.lexsort(digests.T[::-1])
        assert (all_digests == digests[order]).all()
        assert all_specs.shape == (1000, 32)
    with env.write() as tables:
        tables.delete_specs(digests[:500])
        tables.delete_specs(digests[:500])
        assert tables.index_count() == 500
        tables.clear_specs()
        assert tables.index_count() == 0
    with env.read() as tables:
        assert tables.find_spec(digests[600].tobytes()) is None


def test_reflog_forgets_its_oldest_entries(env, monkeypatch):
    monkeypatch.setattr(db_tables, "REFLOG_ENTRIES_MAX", 5)
    with env.write() as tables:
        for number in range(8):
            tables.append_reflog(entry(number))
    with env.read() as tables:
        assert [e.time_ns for e in tables.reflog()] == [7, 6, 5, 4, 3]
        assert [e.time_ns for e in tables.reflog(newest_first=False)] == [3, 4, 5, 6, 7]


def test_commands_are_answered_again_until_forgotten(env, monkeypatch):
    monkeypatch.setattr(db_tables, "COMMANDS_KEPT_MAX", 3)
    with env.write() as tables:
        for number in range(6):
            command = bytes([number]) * 16
            tables.put_command(command, commit=bytes([number]) * 32, parent=b"", branch="main")
    with env.read() as tables:
        kept = [n for n in range(6) if tables.command(bytes([n]) * 16) is not None]
        assert kept == [3, 4, 5]
        assert tables.command(b"\5" * 16).commit == b"\5" * 32


def test_files_shapes_sessions_configuration_and_counters(env):
    record = FileRecord("log", 1, "open", length_bytes=5)
    session = SessionRecord("s", "main", b"", 1, 2)
    with env.write() as tables:
        tables.put_file("log/00000001.log", record)
        tables.put_file("runs/00000001.run", FileRecord("run", 1, "sealed"))
        tables.put_shape(1, (2, 3))
        tables.put_session(session)
        tables.put_config("user.name", "Ada")
        tables.put_meta("epoch", b"x")
        assert tables.next_number("segment") == 1
        assert tables.next_number("segment", 3) == 2
        assert tables.next_number("segment") == 5
    with env.read() as tables:
        assert tables.find_file("log/00000001.log") == record
        assert [path for path, _ in tables.files("runs/")] == ["runs/00000001.run"]
        assert len(list(tables.files())) == 2
        assert tables.find_shape(1) == (2, 3)
        assert list(tables.shapes()) == [(1, (2, 3))]
        assert tables.find_shape(2) is None
        assert list(tables.sessions()) == [session] == [tables.find_session("s")]
        assert tables.config() == {"user.name": "Ada"}
        assert tables.find_config("user.email") is None
        assert tables.find_meta("epoch") == b"x"
        assert tables.counter("none") == 0
    with env.write() as tables:
        assert tables.delete_file("log/00000001.log")
        assert tables.delete_session("s")
        assert tables.delete_config("user.name")
        assert not tables.delete_config("user.name")
