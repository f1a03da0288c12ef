"""The verbs of the command line, each as a process of its own on a real daemon."""

from __future__ import annotations

import io
import json
import signal
import sys
import time

import hangard_client
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from hangard import __version__
from hangard.cli.exits import report
from hangard.cli.main import VERBS, cli
from hangard.errors import Busy, Conflict, Corrupt

ROWS = np.arange(6 * 4 * 5, dtype=np.uint8).reshape(6, 4, 5)


@pytest.fixture
def filled(repository):
    """A repository with one commit: ROWS in column `images`."""
    np.save(repository.folder / "rows.npy", ROWS)
    repository("import", "images", "rows.npy", "--commit", "first images")
    return repository


@pytest.mark.parametrize("arguments", [[], *([verb] for verb in VERBS)])
def test_every_verb_explains_itself(arguments):
    result = CliRunner().invoke(cli, [*arguments, "--help"])
    assert result.exit_code == 0
    assert "Usage: " in result.output
    assert all(len(line) <= 100 for line in result.output.splitlines())


def test_version_is_that_of_the_package():
    assert CliRunner().invoke(cli, ["--version"]).output == f"hangard {__version__}\n"


def test_completion_is_that_of_click(shell):
    shell.environment["_HANGARD_COMPLETE"] = "bash_source"
    output, _ = shell.start().communicate()
    assert b"_hangard_completion" in output


def test_wrong_usage_ends_with_2(shell):
    message = shell.fails("comit", code=2)
    assert message.startswith("Usage: ")
    assert "\nerror: No such command" in message
    assert "Missing argument" in shell.fails("checkout", code=2)
    assert "does not exist" in shell.fails("-C", "nowhere", "log", code=2)


@pytest.mark.parametrize(
    ("error", "code"),
    [(Corrupt("x"), 1), (Conflict("x", keys=[["a", 1]], total=30), 3), (Busy("x"), 4)],
)
def test_exit_codes_tell_the_kind_of_error(error, code, capsys):
    assert report(error) == code
    output = capsys.readouterr().err
    assert output.startswith(f"error: x [{error.code}]")
    if code == 3:
        assert "  a 1\n  and 29 more\n" in output
        assert "--strategy" in output


def test_a_repository_is_found_from_below_and_from_elsewhere(filled, tmp_path):
    below = filled.folder / "a" / "b"
    below.mkdir(parents=True)
    expected = filled("log")
    assert filled("-C", "a/b", "log") == expected
    filled.folder = tmp_path
    assert filled("-C", "work", "log") == expected


def test_without_a_repository_the_way_out_is_told(shell):
    for verb in (["log"], ["status"], ["cat", "a", "b"], ["sessions"], ["stop"]):
        message = shell.fails(*verb)
        assert message.startswith("error: ")
        assert "hangard init" in message


def test_a_second_init_changes_nothing(filled):
    before = filled("log")
    assert "error: " in filled.fails("init")
    assert filled("log") == before


def test_the_first_branch_has_the_name_that_was_asked_for(shell):
    assert shell.json("init", "sub/folder", "--branch", "trunk")["branch"] == "trunk"
    assert shell.json("-C", "sub/folder", "branch", "list") == [
        {"name": "trunk", "commit": None, "head": True}
    ]
    assert shell.json("-C", "sub/folder", "log") == []
    assert shell.run("-C", "sub/folder", "log").stderr == "no commit yet\n"
    for verb in (["show"], ["diff", "trunk", "trunk"]):
        assert "no commit yet" in shell.fails("-C", "sub/folder", *verb)
    shell("-C", "sub/folder", "stop")


def test_what_was_imported_is_committed_and_comes_back(repository):
    np.save(repository.folder / "rows.npy", ROWS)
    staged = repository.json("import", "images", "rows.npy", "--backend", "numpy")
    assert staged == {
        "column": "images",
        "samples": 6,
        "sample_bytes": ROWS.nbytes,
        "created_column": True,
        "branch": "main",
        "commit": None,
    }
    commit = repository.json("commit", "-m", "six images", "--metadata", "camera=A")
    assert commit["branch"] == "main"
    (entry,) = repository.json("log")
    assert entry["digest"] == commit["digest"]
    assert entry["message"] == "six images"
    assert entry["metadata"] == {"camera": "A"}
    assert entry["author"] == {"name": "Ada", "email": "ada@example.org"}
    for key in range(6):
        assert repository.json("cat", "images", key)["data"] == ROWS[key].tolist()


def test_import_can_commit_and_a_second_one_replaces_keys(filled):
    np.save(filled.folder / "two.npy", ROWS[:2] + 100)
    done = filled.json("import", "images", "two.npy", "--commit", "brighter")
    assert not done["created_column"]
    assert [entry["message"] for entry in filled.json("log")] == ["brighter", "first images"]
    assert filled.json("cat", "images", 1)["data"] == (ROWS[1] + 100).tolist()
    assert filled.json("cat", "images", 2)["data"] == ROWS[2].tolist()
    assert filled.json("cat", "images", 1, "-r", commit_of(filled, 1))["data"] == ROWS[1].tolist()


def commit_of(shell, ago):
    return shell.json("log")[ago]["digest"]


def test_a_folder_of_images_is_imported_under_its_paths(repository):
    folder = repository.folder / "pictures"
    for name, row in zip(["a.png", "deep/b.png"], ROWS, strict=False):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(row).save(folder / name)
    repository("import", "pictures", "pictures", "--commit", "pictures")
    assert repository.json("cat", "pictures", "deep/b.png")["data"] == ROWS[1].tolist()


def test_an_import_of_another_shape_is_refused_and_nothing_is_staged(filled):
    np.save(filled.folder / "other.npy", np.zeros((3, 9, 9), np.uint8))
    message = filled.fails("import", "images", "other.npy")
    assert "(4, 5)" in message
    assert "(9, 9)" in message
    assert "nothing" in filled.fails("commit", "-m", "none")


def test_wrong_imports_are_wrong_usage(filled):
    (filled.folder / "notes.txt").write_text("no array")
    assert "import a folder of images" in filled.fails("import", "x", "notes.txt", code=2)
    assert "does not exist" in filled.fails("import", "x", "nothing.npy", code=2)
    assert "for new columns" in filled.fails(
        "import", "images", "rows.npy", "--backend", "hdf5", code=2
    )
    assert "NAME=VALUE" in filled.fails("import", "x", "rows.npy", "--option", "y", code=2)


def test_backend_and_its_options_are_those_of_the_new_column(repository):
    np.save(repository.folder / "rows.npy", ROWS)
    repository("import", "a", "rows.npy", "--backend", "numpy")
    repository("import", "b", "rows.npy", "--backend", "hdf5", "--commit", "two columns")
    columns = {column["name"]: column for column in repository.json("column", "list")}
    assert columns["a"]["backend"] == "10"
    assert columns["b"]["backend"] == "00"
    assert columns["b"]["samples"] == 6
    assert columns["b"]["shape"] == [4, 5]


def test_a_commit_needs_something_staged(filled):
    message = filled.fails("commit", "-m", "none")
    assert "nothing is staged" in message
    assert "hangard import" in message


def test_an_author_can_be_given_and_must_be_known(repository):
    np.save(repository.folder / "rows.npy", ROWS)
    repository("import", "images", "rows.npy")
    assert "Name <email>" in repository.fails("commit", "-m", "x", "--author", "Bob", code=2)
    repository.environment |= {"GIT_AUTHOR_NAME": None, "GIT_AUTHOR_EMAIL": None}
    message = repository.fails("commit", "-m", "x")
    assert "--author 'NAME <EMAIL>'" in message
    assert "GIT_AUTHOR_NAME and GIT_AUTHOR_EMAIL" in message
    repository("commit", "-m", "x", "--author", "Bob <bob@example.org>")
    assert repository.json("log")[0]["author"] == {"name": "Bob", "email": "bob@example.org"}


def change_meanwhile(shell, rows):
    with (
        hangard_client.open(shell.folder, user_name="Eve", user_email="eve@example.org") as repo,
        repo.checkout("main", write=True) as co,
    ):
        co["images"].put_many(range(len(rows)), rows)
        co.commit("meanwhile")


@pytest.mark.parametrize(
    ("settled", "kept"),
    [
        (["--strategy", "ours"], 50),
        (["--strategy", "theirs"], 90),
        (["--choose", "images=ours"], 50),
        (["--choose", "images:0=theirs"], 90),
    ],
)
def test_a_conflict_names_the_keys_and_a_strategy_settles_it(filled, settled, kept):
    np.save(filled.folder / "ours.npy", ROWS[:2] + 50)
    filled("import", "images", "ours.npy")
    change_meanwhile(filled, ROWS[:1] + 90)
    message = filled.fails("commit", "-m", "ours", code=3)
    assert "  images 0: changed differently on both sides\n" in message
    assert "images 1" not in message
    assert "--strategy ours|theirs" in message
    assert "strategy=" not in message
    filled("commit", "-m", "settled", *settled)
    assert filled.json("cat", "images", 0)["data"] == (ROWS[0] + kept).tolist()
    assert filled.json("cat", "images", 1)["data"] == (ROWS[1] + 50).tolist()


def test_changes_of_other_keys_are_kept_beside_ours(filled):
    np.save(filled.folder / "ours.npy", ROWS[:2] + 50)
    filled("import", "more", "ours.npy")
    change_meanwhile(filled, ROWS[:1] + 90)
    assert "on top of" in filled("commit", "-m", "ours")
    assert [entry["message"] for entry in filled.json("log")] == [
        "ours",
        "meanwhile",
        "first images",
    ]


def test_what_is_staged_for_one_branch_is_not_taken_for_another(filled):
    filled("branch", "create", "dev")
    filled("import", "other", "rows.npy", "--branch", "dev")
    message = filled.fails("import", "other", "rows.npy", "--branch", "main")
    assert "branch 'dev'" in message
    assert filled.json("commit", "-m", "on dev")["branch"] == "dev"
    filled("import", "third", "rows.npy", "--branch", "main")
    assert filled.json("commit", "-m", "on main")["branch"] == "main"


def test_sessions_are_listed_and_dropped(filled):
    filled("import", "other", "rows.npy")
    (session,) = filled.json("sessions")
    assert session["id"] == "default"
    assert session["branch"] == "main"
    assert session["staged"] == 6
    assert "default" in filled("sessions")
    assert session in filled.json("sessions", "list")
    assert f" {session['pid']} (ended)" in filled("sessions") or session["alive"]
    assert "holds 6 changes" in filled.fails("sessions", "close", "default")
    assert filled.json("sessions", "abort", "default")["staged"] == 6
    assert "nothing is staged" in filled.fails("commit", "-m", "gone")
    assert "no session" in filled.fails("sessions", "abort", "default")
    assert "no session" in filled.fails("sessions", "close", "default")
    assert "no session" in filled("sessions")


def test_the_log_can_be_short_limited_and_drawn(filled):
    filled("import", "other", "rows.npy", "--commit", "second\n\nwith a body")
    newest, first = (entry["digest"] for entry in filled.json("log"))
    names = "(HEAD -> main)"
    lines = [f"{newest[:16]} {names} second", f"{first[:16]} first images"]
    assert filled("log", "--oneline").splitlines() == lines
    assert filled("log", "--oneline", "-n", "1").splitlines() == lines[:1]
    assert filled("log", "--oneline", "--graph").splitlines()[0] == f"* {lines[0]}"
    whole = filled("log", "--graph")
    assert f"* commit {newest}" in whole
    assert "|     with a body" in whole
    assert "author Ada <ada@example.org>" in whole
    assert [entry["digest"] for entry in filled.json("log", first[:16])] == [first]
    assert "error: " in filled.fails("log", "nothing")


def test_show_names_columns_and_locations(filled):
    (entry,) = filled.json("log")
    shown = filled.json("show", "--locations")
    assert shown["digest"] == entry["digest"]
    assert shown["columns"][0]["samples"] == 6
    assert [place["key"] for place in shown["locations"]] == list(range(6))
    for key, place in enumerate(shown["locations"]):
        path = filled.folder / place["file"]
        stored = path.read_bytes()[place["offset"] : place["offset"] + place["stored_length"]]
        assert place["format"] == "20"
        assert stored == ROWS[key].tobytes()
    text = filled("show", "--locations", "-n", "2")
    assert "first images" in text
    assert text.count("format 20 log, .hangard/log/") == 2
    assert "no column 'x'" in filled.fails("show", "--locations", "--column", "x")


def test_cat_writes_text_json_npy_and_png(filled):
    text = filled("cat", "images", "3")
    assert text.startswith("# uint8 (4, 5)\n[[60 61 62 63 64]\n")
    raw = filled.run("cat", "images", "3", "--npy").stdout_bytes
    np.testing.assert_array_equal(np.load(io.BytesIO(raw)), ROWS[3])
    filled("cat", "images", "3", "--png", "-o", "three.png")
    with Image.open(filled.folder / "three.png") as image:
        np.testing.assert_array_equal(np.asarray(image), ROWS[3])
    record = filled.json("cat", "images", "3")
    assert (record["dtype"], record["shape"]) == ("uint8", [4, 5])
    assert "choose one" in filled.fails("cat", "images", "3", "--npy", "--png", code=2)


def test_cat_of_what_is_not_there_names_it(filled):
    assert "77" in filled.fails("cat", "images", "77")
    assert "'pictures'" in filled.fails("cat", "pictures", "1")
    filled("import", "pictures", "rows.npy")
    assert "only staged" in filled.fails("cat", "pictures", "1")
    assert "3" in filled.fails("cat", "images", "3", "--text-key")
    assert "nowhere" in filled.fails("cat", "images", "3", "-r", "nowhere")


def test_branches_are_listed_created_and_deleted(filled):
    (head,) = filled.json("log")
    filled("branch", "create", "dev")
    filled("branch", "create", "old", head["digest"])
    assert filled.json("branch", "list") == [
        {"name": name, "commit": head["digest"], "head": name == "main"}
        for name in ("dev", "main", "old")
    ]
    assert f"* main {head['digest'][:16]}" in filled("branch", "list")
    filled("branch", "delete", "old")
    assert [branch["name"] for branch in filled.json("branch", "list")] == ["dev", "main"]
    assert "'old'" in filled.fails("branch", "delete", "old")
    assert "error: " in filled.fails("branch", "create", "dev")


def test_a_branch_with_commits_of_its_own_is_deleted_only_by_force(filled):
    filled("branch", "create", "dev")
    filled("import", "other", "rows.npy", "--branch", "dev", "--commit", "only here")
    assert "--force" in filled.fails("branch", "delete", "dev")
    filled("branch", "delete", "dev", "--force")


def test_diff_names_what_changed(filled):
    filled("branch", "create", "dev")
    np.save(filled.folder / "two.npy", ROWS[:2] + 100)
    filled("import", "images", "two.npy", "--branch", "dev")
    filled("import", "new", "two.npy", "--branch", "dev", "--commit", "changes")
    assert filled("diff", "main", "dev").splitlines() == [
        "~ images 0",
        "~ images 1",
        "+ column new",
        "+ new 0",
        "+ new 1",
    ]
    assert filled("diff", "dev", "main").splitlines()[-3:] == ["- column new", "- new 0", "- new 1"]
    assert "images: +0 -0 ~2" in filled("diff", "main", "dev", "--stat")
    changes = filled.json("diff", "main", "dev")
    assert [change["key"] for change in changes[0]["samples"]] == [0, 1]
    assert filled("diff", "main", "main") == ""


def test_status_shows_the_daemon_and_what_is_staged(filled):
    filled("import", "other", "rows.npy")
    text = filled("status")
    assert text.startswith("daemon: ")
    assert "branch main" in text
    assert "6 changes" in text
    status = filled.json("status")
    assert status["daemon"]["pid"] > 0
    assert status["staged"]["session"] == "default"
    filled("stop")
    assert filled("status").startswith("daemon: not running")
    assert filled.json("status")["daemon"] is None
    assert "No daemon" in filled("stop")


def test_what_was_staged_survives_the_end_of_the_daemon(filled):
    filled("import", "other", "rows.npy")
    filled("stop")
    filled("commit", "-m", "after a restart")
    assert filled.json("cat", "other", 5)["data"] == ROWS[5].tolist()


def test_output_that_nobody_reads_is_no_error(filled):
    for number in range(3):
        np.save(filled.folder / "rows.npy", ROWS + 1 + number)
        filled("import", "images", "rows.npy", "--commit", "long\n" * 5000)
    process = filled.start("bash", "-c", f"'{sys.executable}' -m hangard.cli log | head -n 1")
    output, complaints = process.communicate()
    assert output.startswith(b"commit ")
    assert complaints == b""


def test_serve_runs_in_the_foreground_until_it_is_told_to_stop(filled):
    filled("stop")
    process = filled.start("serve")
    try:
        deadline_s = time.monotonic() + 60
        while filled.json("status")["daemon"] is None:
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
        assert filled.json("status")["daemon"]["pid"] == process.pid
        second = filled.start("serve")
        _, complaints = second.communicate()
        assert second.returncode == 4
        assert b"in use by process" in complaints
    finally:
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate()
    assert process.returncode == 0
    assert b'"event": "stopped"' in log


def test_json_is_one_document(filled):
    for arguments in (["log"], ["show"], ["sessions"], ["branch", "list"], ["column", "list"]):
        json.loads(filled(*arguments, "--json"))
