"""merge, revert, cherry-pick and diff on the command line."""

from __future__ import annotations

import json

import hangard_client
import numpy as np
import pytest


def change(shell, branch, changes, message="made"):
    with (
        hangard_client.open(shell.folder, user_name="Eve", user_email="eve@example.org") as repo,
        repo.checkout(branch, write=True) as co,
    ):
        if "a" not in co:
            co.add_ndarray_column("a", shape=(2,), dtype="uint8")
        for key, value in changes.items():
            if value is None:
                del co["a"][key]
            else:
                co["a"][key] = np.full(2, value, np.uint8)
        return str(co.commit(message))


def value(shell, key, revision="main"):
    return shell.json("cat", "a", key, "--revision", revision)["data"][0]


@pytest.fixture
def diverged(repository):
    """main and dev from one commit with the keys 1 to 3 and x; key 1 and x conflict."""
    change(repository, "main", {1: 1, 2: 2, 3: 3, "x": 4})
    repository("branch", "create", "dev")
    change(repository, "main", {1: 11, "x": None}, "on main")
    change(repository, "dev", {1: 12, 2: 22, "x": 5}, "on dev")
    return repository


def test_merge_names_conflicts_with_their_kinds_and_ends_with_3(diverged):
    before = diverged.json("log")
    message = diverged.fails("merge", "dev", code=3)
    assert "  a 1: changed differently on both sides\n" in message
    assert "  a x: deleted here, changed there\n" in message
    assert "--choose COLUMN[:KEY]=SIDE" in message
    assert "strategy=" not in message
    assert diverged.json("log") == before
    result = diverged.run("merge", "dev", "--json", code=3)
    told = json.loads(result.stdout)
    assert told["code"] == "merge-conflict"
    assert told["conflicts"] == [
        {"column": "a", "key": 1, "kind": "t3"},
        {"column": "a", "key": "x", "kind": "t21"},
    ]
    assert told["total"] == 2


@pytest.mark.parametrize(
    ("options", "one"),
    [
        (["--strategy", "ours"], 11),
        (["--strategy", "theirs"], 12),
        (["--choose", "a=theirs"], 12),
        (["--choose", "a:1=theirs", "--choose", "a:x=ours"], 12),
    ],
)
def test_merge_settles_conflicts_as_it_is_told(diverged, options, one):
    dry = diverged("merge", "dev", *options, "--dry-run")
    assert "main would get a commit." in dry
    assert diverged.json("log")[0]["message"] == "on main"
    output = diverged("merge", "dev", *options, "-m", "together", "--metadata", "a=b")
    assert output.startswith("[main ")
    assert output.endswith("] together\n")
    entry = diverged.json("log")[0]
    assert (len(entry["parents"]), entry["metadata"]) == (2, {"a": "b"})
    assert (value(diverged, 1), value(diverged, 2)) == (one, 22)


def test_a_dry_run_lists_conflicts_and_ends_with_3(diverged):
    output = diverged.run("merge", "dev", "--dry-run", code=3).stdout
    assert "main would stay as it is: 2 conflicts." in output
    told = json.loads(diverged.run("merge", "dev", "--dry-run", "--json", code=3).stdout)
    assert told["conflict_count"] == 2
    assert [conflict["kind"] for conflict in told["conflicts"]] == ["t3", "t21"]


def test_merge_forward_or_not_at_all(repository):
    change(repository, "main", {1: 1})
    repository("branch", "create", "dev")
    repository("branch", "create", "other")
    head = change(repository, "dev", {2: 2})
    assert "would be fast-forwarded" in repository("merge", "dev", "--dry-run")
    assert repository("merge", "dev", "--ff-only") == f"Fast-forwarded main to {head[:16]}.\n"
    assert repository("merge", "dev") == "main has it already.\n"
    assert repository("merge", "dev", "--dry-run") == "main has it already.\n"
    assert repository.json("merge", "dev")["outcome"] == "up-to-date"
    assert "Merge dev into other" in repository("merge", "dev", "--into", "other", "--no-ff")
    change(repository, "main", {3: 3})
    message = repository.fails("merge", "other", "--ff-only")
    assert "merge without --ff-only [not-fast-forward]" in message


def test_wrong_options_are_wrong_usage(diverged):
    assert "not both" in diverged.fails("merge", "dev", "--no-ff", "--ff-only", code=2)
    both = ["--strategy", "ours", "--choose", "a=ours"]
    assert "not both" in diverged.fails("merge", "dev", *both, code=2)
    assert "COLUMN=ours" in diverged.fails("merge", "dev", "--choose", "a=mine", code=2)
    twice = ["--choose", "a=ours", "--choose", "a:1=ours"]
    assert "as a whole" in diverged.fails("merge", "dev", *twice, code=2)
    assert "invalid-strategy" in diverged.fails("merge", "dev", "--choose", "b=ours")
    assert "unknown-revision" in diverged.fails("merge", "nowhere")
    assert "unknown-branch" in diverged.fails("merge", "dev", "--into", "nowhere")


def test_revert_takes_a_commit_back_and_cherry_pick_brings_it(repository):
    change(repository, "main", {1: 1, 2: 2})
    repository("branch", "create", "dev")
    wrong = change(repository, "main", {1: 99, 3: 3}, "wrong")
    change(repository, "main", {4: 4})
    assert "a: +0 -1 ~1" in repository("revert", wrong, "--dry-run")
    assert repository("revert", wrong[:10]).endswith('] Revert "wrong"\n')
    assert value(repository, 1) == 1
    assert "nothing-changes" in repository.fails("revert", wrong)
    assert "wrong" in repository("cherry-pick", wrong, "--branch", "dev")
    entry = repository.json("log", "dev")[0]
    assert entry["author"]["name"] == "Eve"
    assert entry["metadata"] == {"cherry-picked-from": wrong}
    assert value(repository, 1, "dev") == 99
    change(repository, "dev", {1: 5})
    message = repository.fails("revert", entry["digest"], "--branch", "dev", code=3)
    assert "a 1: changed differently on both sides" in message
    repository("revert", entry["digest"], "--branch", "dev", "--strategy", "theirs")
    assert value(repository, 1, "dev") == 1
    merged = repository.json("merge", "dev", "--strategy", "ours")["commit"]
    assert "--mainline says which of 1 to 2" in repository.fails("revert", merged)
    repository("revert", merged, "--mainline", "2", "-m", "back")
    assert repository.json("log")[0]["message"] == "back"


def test_diff_begins_at_the_merge_base_when_asked(diverged):
    assert diverged("diff", "main", "dev").splitlines() == ["~ a 1", "~ a 2", "+ a x"]
    expected = ["~ a 1", "~ a 2", "~ a x"]
    assert diverged("diff", "main...dev").splitlines() == expected
    assert diverged("diff", "--merge-base", "main", "dev").splitlines() == expected
    assert diverged("diff", "...dev", "--stat") == "a: +0 -0 ~3\n"
    assert diverged("diff", "dev").splitlines() == ["~ a 1", "~ a 2", "- a x"]
    (told,) = diverged.json("diff", "main", "dev", "--stat")
    assert (told["added"], told["deleted"], told["changed"]) == (1, 0, 2)


def test_diff_lists_what_a_merge_would_conflict_in(diverged):
    result = diverged.run("diff", "main", "dev", "--conflicts", code=3)
    assert result.stdout.splitlines() == [
        "  a 1: changed differently on both sides",
        "  a x: deleted here, changed there",
    ]
    told = json.loads(diverged.run("diff", "main", "dev", "--conflicts", "--json", code=3).stdout)
    assert [conflict["kind"] for conflict in told] == ["t3", "t21"]
    assert diverged("diff", "main", "main", "--conflicts") == ""
    assert "two branches" in diverged.fails("diff", "--conflicts", code=2)


def test_diff_alone_shows_what_is_staged(repository):
    assert repository("diff") == ""
    np.save(repository.folder / "rows.npy", np.zeros((2, 3), np.uint8))
    repository("import", "rows", "rows.npy")
    assert repository("diff").splitlines() == ["+ column rows", "+ rows 0", "+ rows 1"]
    assert repository("diff", "--stat").splitlines() == ["+ column rows", "rows: +2 -0 ~0"]
    repository("commit", "-m", "rows")
    assert repository("diff") == ""
