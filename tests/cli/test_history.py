"""Tags, resets, log, reflog, summary and status on the command line."""

from __future__ import annotations

import re

import hangard_client
import numpy as np
import pytest

from hangard.cli.main import cli


def shape(line):
    """The picture before a line's text."""
    return re.match(r"[*|/\\ ]*", line)[0].rstrip()


@pytest.fixture
def grown(repository):
    """Three commits on main: the rows 0 and 1 of `a`, then row 0 changed, then row 2 added."""
    one = np.zeros((3, 2), np.uint8)
    for message, rows in (("one", one[:2]), ("two", one[:2] + 1), ("three", one + 1)):
        np.save(repository.folder / "rows.npy", rows)
        repository("import", "a", "rows.npy", "--commit", message)
    return repository


def test_a_tag_is_made_shown_listed_and_deleted(grown):
    made = grown.json("tag", "create", "v1", "HEAD~1", "-m", "good\nfor long")
    assert (made["name"], made["message"]) == ("v1", "good\nfor long")
    assert made["tagger"] == {"name": "Ada", "email": "ada@example.org"}
    assert grown.json("tag", "list") == [made]
    assert grown("tag").split()[0] == "v1"
    shown = grown("tag", "show", "v1")
    assert "tagger Ada <ada@example.org>" in shown
    assert "    for long" in shown
    assert "    two" in shown
    assert grown.json("tag", "show", "v1")["commit"]["message"] == "two"
    assert "tag-exists" in grown.fails("tag", "create", "v1")
    assert "deleted" in grown("tag", "delete", "v1").lower()
    assert "no tag" in grown.fails("tag", "show", "v1")
    assert "no tag" in grown.fails("tag", "delete", "v1")
    other = grown.json("tag", "create", "v1", "--author", "Bob <bob@example.org>")
    assert other["tagger"]["name"] == "Bob"


def test_a_branch_is_renamed(grown):
    grown("branch", "create", "dev")
    assert "trunk" in grown("branch", "rename", "main", "trunk")
    assert [branch["name"] for branch in grown.json("branch", "list") if branch["head"]] == [
        "trunk"
    ]
    assert "exists" in grown.fails("branch", "rename", "trunk", "dev")
    assert "no branch" in grown.fails("branch", "rename", "main", "x")
    assert "renamed from main" in grown("reflog")


def test_the_log_names_branches_and_tags(grown):
    grown("tag", "create", "v1", "main~1")
    grown("branch", "create", "old", "main~2")
    lines = grown("log", "--oneline").splitlines()
    assert "(HEAD -> main) three" in lines[0]
    assert "(tag: v1) two" in lines[1]
    assert "(old) one" in lines[2]
    entries = grown.json("log", "-n", 2)
    assert [(e["branches"], e["tags"]) for e in entries] == [(["main"], []), ([], ["v1"])]
    assert entries[0]["parents"] == [entries[1]["digest"]]
    assert "(HEAD -> main)" in grown("show")
    assert grown.json("show", "v1")["tags"] == ["v1"]


def test_the_log_of_all_has_every_branch_and_draws_it(grown):
    grown("branch", "create", "dev", "main~1")
    np.save(grown.folder / "rows.npy", np.full((1, 2), 9, np.uint8))
    grown("import", "b", "rows.npy", "--branch", "dev", "--commit", "on dev")
    assert [e["message"] for e in grown.json("log")] == ["three", "two", "one"]
    assert {e["message"] for e in grown.json("log", "--all")} == {"on dev", "three", "two", "one"}
    picture = grown("log", "--all", "--graph", "--oneline").splitlines()
    assert [shape(line) for line in picture] == ["*", "| *", "|/", "*", "*"]
    grown("merge", "dev", "-m", "both")
    picture = grown("log", "--graph", "--oneline").splitlines()
    assert [shape(line) for line in picture[:2]] == ["*", "|\\"]
    whole = grown("log", "--graph").splitlines()
    assert whole[0].startswith("* commit")
    assert "|     both" in whole
    assert "either" in grown.fails("log", "main", "--all", code=2)


def test_the_graph_has_colours_in_a_terminal(grown, monkeypatch):
    from click.testing import CliRunner

    monkeypatch.chdir(grown.folder)
    result = CliRunner().invoke(cli, ["log", "--graph"], color=True)
    assert "\x1b[" in result.stdout
    assert "\x1b[" not in grown("log", "--graph")


def test_the_reflog_finds_the_way_back_after_a_reset(grown):
    head = grown.json("log")[0]["digest"]
    done = grown.json("reset", "HEAD~2")
    assert (done["branch"], done["dropped"]) == ("main", 0)
    assert grown.json("log")[0]["digest"] == done["commit"]
    lines = grown("reflog").splitlines()
    assert "main@{0}: reset: moving to HEAD~2" in lines[0]
    assert "main@{1}: commit: three" in lines[1]
    assert grown.json("reflog", "main", "-n", 1)[0]["before"] == head
    assert "main" in grown("reset", "main@{1}")
    assert grown.json("log")[0]["digest"] == head
    grown("tag", "create", "v1")
    assert "tags/v1@{0}: tag: created" in grown("reflog", "--all")
    assert "tags/v1@{0}: tag: created" in grown("reflog", "v1")
    assert "nowhere" in grown.fails("reflog", "nowhere")
    assert "either" in grown.fails("reflog", "main", "--all", code=2)
    assert "nowhere" in grown.fails("reset", "nowhere")
    assert "--branch" in grown.fails("reset", "--branch", "main", code=2)


def test_reset_drops_what_is_staged(grown):
    grown("import", "a", "rows.npy")
    grown("import", "b", "rows.npy")
    assert "Dropped" in grown("reset")
    assert grown.json("status")["staged"] is None
    assert "nothing" in grown.fails("commit", "-m", "x")
    assert "Dropped 0 staged changes" in grown("reset")


def test_status_counts_what_is_staged_by_column(grown):
    rows = np.ones((5, 2), np.uint8)
    rows[0] = 7
    np.save(grown.folder / "rows.npy", rows)
    grown("import", "a", "rows.npy")
    grown("import", "b", "rows.npy")
    staged = grown.json("status")["staged"]
    assert [
        (column["column"], column["added"], column["deleted"], column["changed"])
        for column in staged["columns"]
    ] == [("a", 2, 0, 1), ("b", 5, 0, 0)]
    assert staged["branch"] == "main"
    printed = grown("status")
    assert printed.startswith("daemon: process")
    assert "  a +2 ~1\n" in printed
    assert "  b +5 (new column)\n" in printed
    assert grown("status", "--short") == "a +2 ~1\nb +5 (new column)\n"
    grown("commit", "-m", "x")
    assert grown("status", "--short") == ""
    assert "nothing staged" in grown("status")


def test_summary_shows_disk_use_commit_and_columns(grown):
    summary = grown.json("summary")
    assert summary["disk_bytes"] > 10_000
    assert (summary["branches"], summary["tags"], summary["commits"]) == (1, 0, 3)
    assert summary["commit"]["message"] == "three"
    assert [(column["name"], column["samples"]) for column in summary["columns"]] == [("a", 3)]
    printed = grown("summary", "HEAD~2")
    assert "3 commits" in printed
    assert "    one" in printed
    assert grown.json("summary", "HEAD~2")["columns"][0]["samples"] == 2
    assert "nowhere" in grown.fails("summary", "nowhere")


def test_summary_before_the_first_commit_says_so(repository):
    assert "no commit yet" in repository("summary")
    assert repository.json("summary")["commit"] is None


def test_metadata_of_a_commit_is_shown(grown):
    np.save(grown.folder / "rows.npy", np.full((1, 2), 3, np.uint8))
    grown("import", "a", "rows.npy")
    grown("commit", "-m", "x", "--metadata", "camera=A", "--metadata", "lens=")
    assert grown.json("show")["metadata"] == {"camera": "A", "lens": ""}
    assert grown.json("log")[0]["metadata"] == {"camera": "A", "lens": ""}
    assert "camera: A" in grown("log", "-n", 1)
    assert "camera: A" in grown("show")


def test_short_digests_that_fit_several_commits_are_told(grown):
    digest = grown.json("log")[1]["digest"]
    assert grown.json("show", digest[:16])["message"] == "two"
    assert grown.json("show", "@~1")["message"] == "two"
    assert grown.json("show", "main@{1}")["message"] == "two"
    assert "nothing-like-it" in grown.fails("show", "nothing-like-it")


def test_the_message_can_have_several_lines(grown):
    grown("import", "b", "rows.npy")
    grown("commit", "-m", "first line", "-m", "", "-m", "the rest")
    assert grown.json("log")[0]["message"] == "first line\n\nthe rest"


def editor(shell, text):
    """An editor that keeps what it was shown, and writes a text before it."""
    script = shell.folder / "editor"
    lines = [
        "#!/bin/sh",
        'cp "$1" shown',
        f"printf '{text}' > edited",
        "cat shown >> edited",
        'cp edited "$1"',
    ]
    script.write_text("\n".join(lines) + "\n")
    script.chmod(0o755)
    shell.environment["EDITOR"] = str(script)


def test_the_editor_asks_for_the_message(grown, monkeypatch):
    monkeypatch.delenv("VISUAL", raising=False)
    editor(grown, "from the editor\\n\\nwith a body")
    grown("import", "b", "rows.npy")
    grown("commit")
    assert grown.json("log")[0]["message"] == "from the editor\n\nwith a body"
    shown = (grown.folder / "shown").read_text()
    assert "#   b +3 -0 ~0" in shown
    assert "# Staged for branch main:" in shown


def test_an_empty_message_commits_nothing(grown, monkeypatch):
    monkeypatch.delenv("VISUAL", raising=False)
    grown("import", "b", "rows.npy")
    editor(grown, "")
    assert "empty-message" in grown.fails("commit")
    grown.environment["EDITOR"] = None
    monkeypatch.delenv("EDITOR", raising=False)
    assert "-m MESSAGE" in grown.fails("commit", code=2)
    assert grown.json("status")["staged"]["changes"]


def test_help_alone_is_no_error(shell):
    assert "Commands:" in shell()


def test_init_keeps_the_author(shell):
    shell.environment |= {"GIT_AUTHOR_NAME": None, "GIT_AUTHOR_EMAIL": None}
    shell("init", "--name", "Bob", "--email", "bob@example.org")
    np.save(shell.folder / "rows.npy", np.zeros((1, 2), np.uint8))
    shell("import", "a", "rows.npy", "--commit", "x")
    author = shell.json("log")[0]["author"]
    shell("stop")
    assert author == {"name": "Bob", "email": "bob@example.org"}


def test_an_exclusive_lease_can_be_ended(grown):
    assert "No session" in grown("sessions", "release")
    with hangard_client.open(grown.folder) as repo:
        co = repo.checkout("main", write=True, exclusive=True)
        assert "(exclusive)" in grown("sessions")
        assert "exclusive no more" in grown("sessions", "release")
        with pytest.raises(hangard_client.Closed):
            co.add_ndarray_column("x", shape=(1,), dtype="u1")
        repo.abort_session(co.session)
