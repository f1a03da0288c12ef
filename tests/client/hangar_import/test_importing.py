"""Whole repositories of Hangar, imported by a real daemon."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hangard_client
import numpy as np
import pytest
from reference import hangar

from hangard.errors import Conflict, Corrupt, InvalidRequest, NotFound, UnknownRevision

AUTHOR = {"user_name": "Ada", "user_email": "ada@example.org"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hangar.unpack(tmp_path_factory.mktemp("hangar"))


@pytest.fixture
def repo(tmp_path: Path) -> Iterator[hangard_client.Repository]:
    repository = hangard_client.Repository(tmp_path / "repo", create=True, idle_s=60, **AUTHOR)
    yield repository
    repository.stop()
    repository.close()


def content(repo: hangard_client.Repository, revision: Any) -> dict[str, dict[str, Any]]:
    """All samples of a commit, as the expected content has them."""
    result: dict[str, dict[str, Any]] = {}
    with repo.checkout(revision) as checkout:
        for name in checkout:
            samples = result[name] = {}
            for key, value in checkout._open()[name].items():
                if isinstance(key, tuple):
                    inner = samples.setdefault(hangar.key_text(key[0]), {})
                    inner[hangar.key_text(key[1])] = hangar.summary(value)
                else:
                    samples[hangar.key_text(key)] = hangar.summary(value)
    return result


def test_every_commit_of_a_repository_that_hangar_made_is_imported(repo, made):
    expected = hangar.expected()
    done = repo.import_hangar(made, verify=True)
    assert (done.commits, done.missing, done.renamed, done.other_backends) == (5, 0, 0, ())
    for digest, columns in expected["commits"].items():
        wanted = {name: column["samples"] for name, column in columns.items()}
        assert content(repo, digest) == wanted
        with repo.checkout(digest) as checkout:
            for name, column in columns.items():
                schema = checkout[name].schema
                assert schema.backend == column["backend"]
                assert column["backend_options"].items() <= schema.options.items()
                assert schema.layout == column["layout"]
                assert schema.kind == column["type"]
                assert schema.variable_shape == (column["schema_type"] == "variable_shape")
                if schema.kind == "ndarray":
                    assert schema.shape == tuple(column["shape"])
                    assert schema.numpy_dtype == np.dtype(column["dtype"])


def test_the_history_is_as_it_was(repo, made):
    expected = hangar.expected()
    repo.import_hangar(made)
    assert set(repo.branches()) == {"main", *expected["branches"]}
    said = expected["log"]
    for name, head in expected["branches"].items():
        entries = {entry.metadata["hangar.digest"]: entry for entry in repo.log(name)}
        assert repo.log(name)[0].metadata["hangar.digest"] == head
        old = {entry.digest: digest for digest, entry in entries.items()}
        for digest, entry in entries.items():
            spec = said["specs"][digest]
            assert (entry.message, entry.author.name, entry.author.email) == (
                spec["commit_message"],
                spec["commit_user"],
                spec["commit_email"],
            )
            assert abs(entry.time_ns / 1e9 - spec["commit_time"]) < 1e-6
            parents = [parent for parent in said["ancestors"][digest] if parent]
            assert [old[parent] for parent in entry.parents] == parents


def test_old_digests_name_commits_wherever_a_revision_is_asked_for(repo, made):
    done = repo.import_hangar(made)
    head = hangar.expected()["branches"]["master"]
    for name in (head, head[:9]):
        with repo.checkout(name) as checkout:
            assert checkout.commit_digest == done.branches["master"]
    assert repo.log(head + "~1")[0].message == "merge photos"
    assert [change.name for change in repo.diff(head + "~1", head)] == ["captions"]
    repo.create_branch("again", head[:12])
    assert repo.branches()["again"] == done.branches["master"]
    with pytest.raises(UnknownRevision):
        repo.checkout("a=0000000000")


def test_a_second_import_brings_nothing_and_moves_nothing(repo, made):
    first = repo.import_hangar(made)
    again = repo.import_hangar(made)
    assert (again.commits, again.samples, again.branches) == (0, 0, first.branches)
    assert repo.sessions() == []


def test_both_faces_import_the_same_commits(repo, made, tmp_path):
    first = repo.import_hangar(made)

    async def import_again() -> Any:
        path = tmp_path / "other"
        async with hangard_client.AsyncRepository(path, create=True, **AUTHOR) as other:
            done = await other.import_hangar(str(made / ".hangar"))
            await other.stop()
            return done

    assert asyncio.run(import_again()).branches == first.branches


def test_the_source_is_left_as_it_was(repo, made):
    def state() -> dict[Path, tuple[int, int]]:
        return {
            path: (path.stat().st_mtime_ns, path.stat().st_size)
            for path in made.rglob("*")
            if path.is_file()
        }

    before = state()
    repo.import_hangar(made)
    assert state() == before


def test_progress_is_told(repo, made):
    told: list[Any] = []
    repo.import_hangar(made, report=told.append)
    assert told[0].message == "digits and labels"
    assert (told[-1].commit, told[-1].commits) == (4, 5)
    assert all(each.sample <= each.samples for each in told)


def arrays(n: int, start: int = 0) -> dict[str, np.ndarray]:
    return {f"#{i}": np.arange(i, i + 3, dtype="u1") for i in range(start, start + n)}


def records(column: str, digests: dict[str, str], schema: str) -> dict[str, str]:
    samples = {f"f:{column}:{key}": digest for key, digest in digests.items()}
    return {f"s:{column}:f": schema, **samples}


def test_new_commits_of_the_source_are_added_by_a_later_import(repo, tmp_path):
    writer = hangar.HangarWriter(tmp_path / "growing")
    schema = writer.schema((3,))
    digests = writer.samples(arrays(5))
    first = writer.commit("master", records("a", digests, schema), message="first")
    path = writer.close()
    repo.import_hangar(path)
    more = digests | writer.samples(arrays(2, 50))
    second = writer.commit("master", records("a", more, schema), first, message="second")
    writer.commit("dev", records("a", {"#1": digests["#1"]}, schema), second, message="less")
    shutil.rmtree(path / ".hangar" / "branch.lmdb", ignore_errors=True)
    writer.close()
    done = repo.import_hangar(path)
    assert (done.commits, done.samples) == (2, 2)
    assert [entry.message for entry in repo.log("dev")] == ["less", "second", "first"]
    assert content(repo, "master")["a"].keys() == {f"i:{i}" for i in (0, 1, 2, 3, 4, 50, 51)}
    assert content(repo, "dev")["a"] == {"i:1": hangar.summary(np.arange(1, 4, dtype="u1"))}


def test_columns_that_go_and_come_back_otherwise_are_followed(repo, tmp_path):
    writer = hangar.HangarWriter(tmp_path / "changing")
    flat = writer.schema((3,))
    wide = writer.schema((3, 1))
    hdf5 = writer.schema(
        (3,), backend="00", backend_options={"complib": "gzip", "complevel": 3, "shuffle": True}
    )
    digests = writer.samples(arrays(3))
    other = writer.samples({f"#{i}": np.full((3, 1), i, "u1") for i in range(2)})
    states = [
        records("a", digests, flat) | records("b", digests, flat),
        records("a", digests, flat),
        records("a", digests, hdf5),
        records("a", other, wide) | records("b", {}, flat),
        records("a", other, flat),
    ]
    head = ""
    for number, state in enumerate(states[:4]):
        head = writer.commit("master", state, *([head] if head else []), message=str(number))
    repo.import_hangar(writer.close())
    columns = [content(repo, f"master~{3 - i}") for i in range(4)]
    assert [sorted(column) for column in columns] == [["a", "b"], ["a"], ["a"], ["a", "b"]]
    assert columns[0]["a"] == columns[1]["a"] == columns[2]["a"]
    assert columns[3]["a"]["i:1"] == hangar.summary(np.full((3, 1), 1, "u1"))
    assert columns[3]["b"] == {}
    with repo.checkout("master~1") as checkout:
        assert checkout["a"].backend == "00"
        assert checkout["a"].schema.options["complib"] == "gzip"


def test_keys_that_hangar_should_have_refused_become_text(repo, tmp_path):
    writer = hangar.HangarWriter(tmp_path / "true")
    digests = writer.samples(arrays(1))
    digests["#True"] = digests["#0"]
    writer.commit("master", records("a", digests, writer.schema((3,))))
    done = repo.import_hangar(writer.close())
    assert done.renamed == 1
    assert set(content(repo, "master")["a"]) == {"i:0", "s:#True"}


def test_options_that_are_none_of_ours_give_way_to_the_defaults(repo, tmp_path):
    writer = hangar.HangarWriter(tmp_path / "odd")
    digests = writer.samples(arrays(1))
    schema = writer.schema((3,), backend="00", backend_options={"complib": "snappy", "level": 3})
    remote = writer.schema((3,), backend="50")
    state = records("a", digests, schema) | records("b", digests, remote)
    writer.commit("master", state)
    done = repo.import_hangar(writer.close())
    assert done.other_backends == ("a", "b")
    with repo.checkout("master") as checkout:
        assert checkout["a"].backend == "00"


def with_missing(path: Path) -> Path:
    writer = hangar.HangarWriter(path)
    schema = writer.schema((3,))
    digests = writer.samples(arrays(3))
    writer.records["hash"][f"h:{digests['#1']}".encode()] = f"50:{schema}".encode()
    writer.commit("master", records("a", digests, schema))
    return writer.close()


def test_samples_that_only_a_remote_has_are_an_error(repo, tmp_path):
    with pytest.raises(NotFound) as caught:
        repo.import_hangar(with_missing(tmp_path / "partial"))
    assert caught.value.code == "missing-samples"
    assert "--missing skip" in caught.value.message
    assert repo.branches() == {"main": None}
    assert repo.sessions() == []


def test_samples_that_only_a_remote_has_are_left_out_if_that_is_wanted(repo, tmp_path):
    done = repo.import_hangar(with_missing(tmp_path / "partial"), missing="skip")
    assert (done.missing, done.samples) == (1, 2)
    assert set(content(repo, "master")["a"]) == {"i:0", "i:2"}
    assert repo.log("master")[0].metadata["hangar.missing"] == "1"


def test_another_answer_to_missing_samples_is_refused(repo, made):
    with pytest.raises(InvalidRequest):
        repo.import_hangar(made, missing="perhaps")  # type: ignore[arg-type]


def test_a_damaged_sample_changes_no_branch_and_the_import_can_go_on_later(repo, made, tmp_path):
    path = Path(shutil.copytree(made, tmp_path / "copy"))
    damaged = path / ".hangar" / "data" / "01" / "v4xxyjv7.hdf5"
    kept = damaged.read_bytes()
    damaged.write_bytes(kept[: len(kept) // 2])
    with pytest.raises(Corrupt) as caught:
        repo.import_hangar(path)
    assert caught.value.code == "damaged-source"
    assert "v4xxyjv7.hdf5" in caught.value.message
    assert repo.branches() == {"main": None}
    assert repo.sessions() == []
    damaged.write_bytes(kept)
    done = repo.import_hangar(path)
    assert done.commits == 4  # the first was there
    assert content(repo, "master").keys() == {
        "captions",
        "crops",
        "features",
        "images",
        "labels",
        "photos",
        "raw",
    }


def test_a_branch_that_went_on_here_stays_where_it_is(repo, made):
    repo.import_hangar(made)
    with repo.checkout("master", write=True) as checkout:
        checkout.add_ndarray_column("mine", shape=(2,), dtype="u1")
        mine = checkout.commit("mine")
    done = repo.import_hangar(made)
    assert done.branches["master"] == repo.branches()["master"] == mine


def test_a_branch_of_its_own_is_no_target_but_a_prefix_helps(repo, made):
    with repo.checkout("main", write=True) as checkout:
        checkout.add_ndarray_column("mine", shape=(2,), dtype="u1")
        checkout.commit("mine")
    repo.create_branch("master", "main")
    with pytest.raises(Conflict) as caught:
        repo.import_hangar(made)
    assert caught.value.code == "branch-diverged"
    assert "--prefix" in caught.value.message
    done = repo.import_hangar(made, prefix="old/")
    assert set(done.branches) == {"old/master", "old/photos"}
    assert set(repo.branches()) == {"main", "master", "old/master", "old/photos"}


def test_a_merge_of_unrelated_orders_of_commits_keeps_both_parents(repo, tmp_path):
    writer = hangar.HangarWriter(tmp_path / "crossed")
    schema = writer.schema((3,))
    digests = writer.samples(arrays(6))
    part = [records("a", {f"#{i}": digests[f"#{i}"]}, schema) for i in range(4)]
    base = writer.commit("master", part[0], message="base")
    left = writer.commit("left", part[0] | part[1], base, message="left")
    right = writer.commit("right", part[0] | part[2], base, message="right")
    both = part[0] | part[1] | part[2]
    one = writer.commit("one", both, left, right, message="one")
    two = writer.commit("two", both, right, left, message="two")
    writer.commit("master", both | part[3], one, two, message="crossed")
    done = repo.import_hangar(writer.close())
    assert done.commits == 6
    (entry,) = repo.log("master", limit=1)
    messages = [repo.log(parent, limit=1)[0].message for parent in entry.parents]
    assert messages == ["one", "two"]
    assert set(content(repo, "master")["a"]) == {"i:0", "i:1", "i:2", "i:3"}
