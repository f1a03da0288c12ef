"""What people and programs are told when a command cannot do its work."""

from __future__ import annotations

import json

import numpy as np
import pytest


@pytest.fixture
def filled(repository):
    np.save(repository.folder / "rows.npy", np.zeros((2, 3), np.uint8))
    repository("import", "rows", "rows.npy", "--commit", "zeros")
    return repository


def test_a_branch_without_a_commit_is_named_also_beside_others(repository):
    assert "branch 'main' has no commit yet" in repository.fails("show")
    repository("branch", "create", "x")
    assert "branch 'x' has no commit yet" in repository.fails("show", "x")
    assert "branch 'main' has no commit yet" in repository.fails("show")


def test_what_the_system_refuses_is_one_line(filled):
    message = filled.fails("cat", "rows", "0", "--npy", "-o", "/nodir/x.npy")
    assert message == "error: /nodir/x.npy: No such file or directory\n"


@pytest.mark.parametrize(
    ("arguments", "exit_code", "error", "code"),
    [
        (["cat", "nothing", "0"], 1, "UnknownColumn", "unknown-column"),
        (["cat", "rows", "0", "--npy"], 2, "UsageError", "wrong-usage"),
        (["cat", "rows"], 2, "MissingParameter", "wrong-usage"),
    ],
)
def test_errors_are_one_json_object_where_json_was_asked_for(
    filled, arguments, exit_code, error, code
):
    result = filled.run(*arguments, "--json", code=exit_code)
    told = json.loads(result.stdout)
    assert (told["error"], told["code"]) == (error, code)
    assert told["message"]
    assert result.stderr == ""


def test_an_error_of_the_system_is_json_too(filled, monkeypatch):
    def refuse(*_):
        raise OSError(30, "Read-only file system", "/x")

    monkeypatch.setattr("hangard.cli.log.open_repository", refuse)
    told = json.loads(filled.run("log", "--json", code=1).stdout)
    assert told == {"error": "OSError", "code": "os-error", "message": "/x: Read-only file system"}
