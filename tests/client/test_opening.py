"""Opening and dropping a repository, and what is accepted where a commit is named."""

import gc
import logging
import os
import subprocess
import sys
import textwrap
import threading

import hangard_client
import numpy as np
import pytest

from hangard import errors
from hangard.errors import InvalidRequest, InvalidType, PermissionDenied, UnknownColumn


def test_the_client_has_the_errors_and_the_version():
    assert {name for name in errors.__all__ if name != "rebuild"} <= set(hangard_client.__all__)
    assert hangard_client.Conflict is errors.Conflict
    assert hangard_client.__version__


def test_a_file_is_no_place_for_a_repository(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InvalidRequest) as caught:
            hangard_client.open(path, create=True)
        assert caught.value.code == "not-a-folder"


def test_a_read_only_place_is_permission_denied(tmp_path):
    # Root may write everywhere but here: sysfs takes no new folders.
    with pytest.raises(PermissionDenied) as caught:
        hangard_client.open("/sys/kernel/repository", create=True)
    assert caught.value.code == "not-writable"
    assert isinstance(caught.value, PermissionError)


def test_an_entry_of_the_log_names_its_commit(repo, filled, images):
    with repo.checkout(filled, write=True) as co:
        co["faces"]["late"] = images[150]
        co.commit("late")
    newest, oldest = repo.log(filled)
    for revision in (oldest, oldest.digest, bytes(oldest.digest), oldest.digest.hex()):
        with repo.checkout(revision) as co:
            assert "late" not in co["faces"]
        with repo.checkout(commit=revision) as co:
            assert "late" not in co["faces"]
        assert [change.name for change in repo.diff(revision, newest)] == ["faces"]
        assert len(repo.log(revision)) == 1
    with repo.checkout(filled, write=True, commit=oldest) as co:
        assert co.commit_digest == oldest.digest
    repo.create_branch(f"{filled}-old", oldest)
    assert repo.branches()[f"{filled}-old"] == oldest.digest
    for wrong in (7, oldest.author, ["main"]):
        with pytest.raises(InvalidType):
            repo.checkout(wrong)
        with pytest.raises(InvalidType):
            repo.log(wrong)


def test_without_a_name_several_branches_are_named(repo, filled):
    for call in (repo.checkout, repo.log, lambda: repo.checkout(write=True)):
        with pytest.raises(InvalidRequest) as caught:
            call()
        assert caught.value.code == "no-revision"
        assert "main" in str(caught.value) or "branch-" in str(caught.value)


def test_an_unknown_column_is_told_in_few_words(repo, branch):
    with repo.checkout(branch, write=True) as co:
        for number in range(30):
            co.add_ndarray_column(f"column-{number:02}", shape=(2,), dtype="u1")
        with pytest.raises(UnknownColumn) as caught:
            co["x" * 5000]
        co.commit("columns")
    assert len(str(caught.value)) < 400
    assert "and 20 more" in str(caught.value)
    with repo.checkout(branch) as co, pytest.raises(UnknownColumn, match="and 20 more") as caught:
        co["x" * 5000]
    assert len(str(caught.value)) < 400


def test_a_column_is_no_array(repo, filled):
    with repo.checkout(filled) as co, pytest.raises(TypeError, match="get_many"):
        np.asarray(co["faces"])
    with repo.checkout(filled, write=True) as co, pytest.raises(TypeError, match="get_many"):
        np.asarray(co["faces"])


def test_columns_that_come_and_go_are_told_one_by_one(repo, branch, images):
    with repo.checkout(branch, write=True) as co:
        for name in ("a", "b", "c"):
            co.add_ndarray_column(name, shape=(6, 5), dtype="uint8")
        co["a"][1] = images[0]
        co.remove_column("b")
        co.change_backend("c", "hdf5")
        assert sorted(co) == ["a", "c"]
        assert co["c"].backend in ("00", "01")
        assert (co["a"][1] == images[0]).all()
        co.add_ndarray_column("b", shape=(2,), dtype="float32")
        assert co["b"].shape == (2,)
        co.commit("columns")
    with repo.checkout(branch) as co:
        assert sorted(co) == ["a", "b", "c"]


def test_a_dropped_repository_ends_its_thread_and_says_nothing(repo, filled, caplog):
    def clients():
        return [thread for thread in threading.enumerate() if thread.name == "hangard-client"]

    before = set(clients())
    dropped = hangard_client.open(repo.path)
    assert dropped.sessions() is not None
    (thread,) = set(clients()) - before
    with caplog.at_level(logging.ERROR):
        del dropped
        gc.collect()
        thread.join(30)
        assert not thread.is_alive()
        gc.collect()
    assert not caplog.records


def test_checkouts_keep_their_repository(repo, filled, images):
    assert (hangard_client.open(repo.path).checkout(filled)["faces"][1] == images[1]).all()
    faces = hangard_client.open(repo.path).checkout(filled, write=True)["faces"]
    gc.collect()
    assert (faces[1] == images[1]).all()


def test_a_dropped_asynchronous_repository_says_nothing(repo):
    script = """
        import asyncio, gc, sys
        import hangard_client

        async def ask():
            repo = hangard_client.AsyncRepository(sys.argv[1])
            await repo.sessions()

        async def main():
            await ask()
            gc.collect()
            await asyncio.sleep(0.1)

        asyncio.run(main())
        asyncio.run(ask())
        """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(repo.path)],
        capture_output=True,
        text=True,
        env=os.environ,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
