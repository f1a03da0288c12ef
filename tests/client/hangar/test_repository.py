"""``Repository``: one test for each member and each of its errors."""

import os
import subprocess
import sys

import hangard_client.hangar
import numpy as np
import pytest
from client.hangar.conftest import ROW, end, fill
from hangard_client.hangar import Repository
from hangard_client.hangar.directory import size_text

from hangard import __version__
from hangard.errors import Busy, Closed
from hangard.reading.format import FORMAT_VERSION, format_bytes


def test_the_package_has_hangars_names():
    from hangard_client.hangar.checkout import ReaderCheckout, WriterCheckout
    from hangard_client.hangar.columns import Columns, is_column, is_writer_column

    assert hangard_client.hangar.__version__ == __version__
    assert {Columns, ReaderCheckout, WriterCheckout, is_column, is_writer_column}


def test_the_path_is_a_folder_that_exists_and_may_be_written(tmp_path):
    with pytest.raises(FileNotFoundError):
        Repository(tmp_path / "nothing")
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(NotADirectoryError):
        Repository(file)
    with pytest.raises(TypeError):
        Repository(17)


def test_a_folder_that_may_not_be_written_is_a_permission_error(tmp_path):
    folder = tmp_path / "read-only"
    folder.mkdir()
    folder.chmod(0o555)
    if os.geteuid():
        with pytest.raises(PermissionError):
            Repository(folder)
        return
    # Root may write everywhere: another user looks at a folder of root's.
    child = os.fork()
    if not child:
        os.setuid(65534)
        try:
            hangard_client.hangar.directory.checked_path("/")
        except PermissionError:
            os._exit(0)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0


def test_without_a_repository_a_warning_says_what_to_do(tmp_path):
    with pytest.warns(UserWarning, match="init"):
        Repository(str(tmp_path))
    repo = Repository(tmp_path, exists=False)
    assert not repo.initialized
    assert repo.path == str(tmp_path)
    assert "initialized=False" in repr(repo)


@pytest.mark.parametrize(
    "use",
    [
        lambda repo: repo.version,
        lambda repo: repo.size_nbytes,
        lambda repo: repo.size_human,
        lambda repo: repo.writer_lock_held,
        lambda repo: repo.force_release_writer_lock(),
        lambda repo: repo.checkout(),
        lambda repo: repo.checkout(write=True),
        lambda repo: repo.log(),
        lambda repo: repo.summary(),
        lambda repo: repo.diff("master", "dev"),
        lambda repo: repo.merge("m", "master", "dev"),
        lambda repo: repo.create_branch("dev"),
        lambda repo: repo.remove_branch("dev"),
        lambda repo: repo.list_branches(),
        lambda repo: repo.verify_repo_integrity(),
    ],
)
def test_every_other_member_needs_a_repository(tmp_path, use):
    with pytest.raises(RuntimeError):
        use(Repository(tmp_path, exists=False))


def test_init_makes_a_repository_whose_branch_is_master(tmp_path, capsys):
    repo = Repository(tmp_path, exists=False)
    made = repo.init("Ada", "ada@example.org")
    assert made == str(tmp_path / ".hangard")
    assert made in capsys.readouterr().out
    assert repo.initialized
    assert repo.list_branches() == ["master"]
    assert repo.version == __version__
    with pytest.raises(OSError, match="there is a repository"):
        repo.init("Ada", "ada@example.org")
    end(repo)


def test_init_can_remove_the_old_repository(fresh):
    fill(fresh)
    reader, writer = fresh.checkout(), fresh.checkout(write=True)
    writer["x"]["staged"] = ROW
    fresh.init("Bob", "bob@example.org", remove_old=True)
    assert fresh.log(return_contents=True)["order"] == []
    for old in (reader, writer):
        with pytest.raises(PermissionError):
            old["x"]["a"]
    fill(fresh)
    (spec,) = fresh.log(return_contents=True)["specs"].values()
    assert spec["commit_user"] == "Bob"


def test_an_author_that_cannot_be_one_makes_no_repository(tmp_path):
    repo = Repository(tmp_path, exists=False)
    for name in ("", "Ada\nBob"):
        with pytest.raises(ValueError, match=r"user\.name|author"):
            repo.init(name, "ada@example.org")
    assert not repo.initialized


def test_the_author_of_init_is_read_in_other_processes(fresh, monkeypatch, tmp_path):
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Somebody")
    code = """
import sys, numpy
from hangard_client.hangar import Repository
co = Repository(sys.argv[1]).checkout(write=True)
co.add_ndarray_column("x", prototype=numpy.arange(6))["a"] = numpy.arange(6)
co.commit("elsewhere")
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code, fresh.path], check=True, timeout=60)
    (spec,) = fresh.log(return_contents=True)["specs"].values()
    assert (spec["commit_user"], spec["commit_email"]) == ("Ada", "ada@example.org")
    assert not fresh.writer_lock_held  # the process did not close its checkout; its end did


def test_the_size_is_that_of_all_files(shared):
    assert shared.size_nbytes > 1000
    assert shared.size_human.split()[1] in {"B", "kB", "MB"}
    assert size_text(1_234_567) == "1.23 MB"
    assert size_text(12) == "12.00 B"


def test_one_process_may_have_several_repositories(shared, fresh):
    fill(fresh)
    assert shared.checkout()["x"]["a"].tolist() == fresh.checkout()["x"]["a"].tolist()
    assert shared.path != fresh.path


def test_a_repository_of_a_newer_hangard_is_a_runtime_error(tmp_path):
    (tmp_path / ".hangard").mkdir()
    (tmp_path / ".hangard" / "format").write_bytes(format_bytes(FORMAT_VERSION + 1))
    with pytest.raises(RuntimeError, match="upgrade"):
        Repository(tmp_path)


def test_the_lock_is_held_while_a_writer_is_open(shared):
    assert not shared.writer_lock_held
    co = shared.checkout(write=True)
    assert shared.writer_lock_held
    with pytest.raises(PermissionError) as caught:
        shared.checkout(write=True)
    assert isinstance(caught.value, Busy)
    with pytest.raises(PermissionError):
        Repository(shared.path).checkout(write=True)
    co.close()
    assert not shared.writer_lock_held


def test_the_lock_can_be_taken_by_force(shared):
    co = shared.checkout(write=True)
    column = co["x"]
    with pytest.warns(ResourceWarning):
        assert shared.force_release_writer_lock() is True
    assert not shared.writer_lock_held
    for use in (
        lambda: column.update({"late": ROW}),
        lambda: column["a"],
        lambda: co.commit("late"),
        lambda: co.add_ndarray_column("late", prototype=ROW),
        co.close,
    ):
        with pytest.raises(PermissionError) as caught:
            use()
        assert isinstance(caught.value, Closed)
    shared.checkout(write=True).close()
    with pytest.warns(ResourceWarning):
        assert shared.force_release_writer_lock() is True


def test_log_is_a_dictionary_or_printed(fresh, capsys):
    assert fresh.log(return_contents=True) == {
        "head": "",
        "ancestors": {},
        "specs": {},
        "order": [],
        "branch_heads": {},
    }
    first = fill(fresh)
    fresh.create_branch("dev")
    co = fresh.checkout(write=True)
    co["x"]["c"] = ROW
    second = co.commit("second")
    co.close()
    found = fresh.log(return_contents=True)
    assert found["head"] == second
    assert found["order"] == [second, first]
    assert found["ancestors"] == {second: [first], first: []}
    assert found["branch_heads"] == {second: ["master"], first: ["dev"]}
    assert set(found["specs"][second]) == {
        *("commit_time", "commit_message", "commit_user", "commit_email")
    }
    assert isinstance(found["specs"][second]["commit_time"], float)
    assert fresh.log("dev", return_contents=True)["order"] == [first]
    assert fresh.log("master", first, return_contents=True)["head"] == first
    capsys.readouterr()
    assert fresh.log(show_time=True, show_user=True) is None
    printed = capsys.readouterr().out
    assert f"* {second} (master)" in printed
    assert "(Ada) : second" in printed
    with pytest.raises(ValueError, match="no branch"):
        fresh.log("nothing")
    with pytest.raises(ValueError, match="full digest"):
        fresh.log(commit=first[:10], return_contents=True)


def test_summary_prints_the_columns_of_a_commit(fresh, capsys):
    fresh.summary()
    assert "No commit" in capsys.readouterr().out
    digest = fill(fresh)
    for arguments in ({}, {"branch": "master"}, {"commit": digest}):
        fresh.summary(**arguments)
        printed = capsys.readouterr().out
        assert digest in printed
        assert "x: 3 samples" in printed
    with pytest.raises(ValueError, match="full digest"):
        fresh.summary(commit="0" * 10)
    with pytest.raises(ValueError, match="no "):
        fresh.summary(commit="0" * 64)


def test_verification_is_true_or_an_error_that_names_what_is_wrong(fresh):
    co = fresh.checkout(write=True)
    big = np.arange(400_000, dtype=np.int64)
    co.add_ndarray_column("big", prototype=big, backend="10")["a"] = big
    co.commit("big")
    with pytest.raises(PermissionError):
        fresh.verify_repo_integrity()
    co.close()
    assert fresh.verify_repo_integrity() is True
    fresh._repo().stop()
    folder = os.path.join(fresh.path, ".hangard", "segments", "10")
    (name,) = [name for name in os.listdir(folder) if name.endswith(".npy")]
    with open(os.path.join(folder, name), "r+b") as file:
        file.seek(2_000_000)
        file.write(b"damage")
    with pytest.raises(RuntimeError, match="damaged-sample"):
        fresh.verify_repo_integrity()
    with pytest.raises(RuntimeError):
        fresh.checkout()["big"]["a"]


def test_it_shows_itself(shared):
    assert shared.path in repr(shared)
    shown = []
    shared._repr_pretty_(type("Printer", (), {"text": shown.append})(), False)
    assert shown == [repr(shared)]
