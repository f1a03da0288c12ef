"""Which branch commands mean, what other sessions hold, and what the Tab key offers."""

from __future__ import annotations

import hangard_client
import numpy as np
import pytest
from click.shell_completion import ShellComplete

from hangard.cli.main import cli


@pytest.fixture
def filled(repository):
    np.save(repository.folder / "rows.npy", np.zeros((2, 3), np.uint8))
    repository("import", "rows", "rows.npy", "--commit", "zeros")
    repository("branch", "create", "dev")
    return repository


def test_checkout_moves_head_to_a_branch_that_exists(filled):
    filled("checkout", "dev")
    assert "* dev " in filled("branch")
    filled("import", "more", "rows.npy", "--commit", "on dev")
    assert len(filled.json("log", "dev")) == 2
    assert len(filled.json("log", "main")) == 1
    assert "'nothing'" in filled.fails("checkout", "nothing")
    assert "* dev " in filled("branch")


def test_branch_and_column_alone_list(filled):
    assert filled("branch") == filled("branch", "list")
    assert filled("column") == filled("column", "list")
    assert "rows" in filled("column")


def test_a_dropped_session_is_named_with_what_it_held(filled):
    filled("import", "more", "rows.npy")
    dropped = filled("sessions", "abort", "default")
    assert dropped == "Dropped session default: 2 changes staged for branch main.\n"


def test_status_counts_other_sessions_that_hold_something(filled):
    assert "also staged" not in filled("status")
    with hangard_client.open(filled.folder) as repo, repo.checkout("main", write=True) as co:
        co["rows"][5] = np.ones(3, np.uint8)
        co.flush()
        assert "also staged in 1 other session: hangard sessions" in filled("status")
        co.abort()


@pytest.mark.parametrize(
    ("words", "incomplete", "offered"),
    [
        (["checkout"], "", ["dev", "main"]),
        (["log"], "d", ["dev"]),
        (["show"], "m", ["main"]),
        (["diff", "main"], "", ["HEAD", "dev", "main"]),
        (["branch", "delete"], "", ["dev", "main"]),
        (["cat"], "r", ["rows"]),
        (["cat", "-r", "nothing"], "", []),
        (["cat"], "x", []),
    ],
)
def test_branches_and_columns_are_offered(filled, words, incomplete, offered):
    assert complete(["-C", str(filled.folder), *words], incomplete) == offered


def test_without_a_repository_nothing_is_offered(shell):
    assert complete(["-C", str(shell.folder), "cat"], "") == []


def complete(words, incomplete):
    completer = ShellComplete(cli, {}, "hangard", "_HANGARD_COMPLETE")
    return [item.value for item in completer.get_completions(words, incomplete)]
