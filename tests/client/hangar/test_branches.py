"""Branches, and the protections that keep them."""

import pytest
from client.hangar.conftest import ROW, fill
from hangard_client.hangar.branches import BranchHead


def commit_one(repo, branch, key):
    """One more sample on a branch; the commit's digest."""
    co = repo.checkout(write=True, branch=branch)
    co["x"][key] = ROW
    digest = co.commit(f"{key} on {branch}")
    co.close()
    return digest


def test_a_branch_begins_at_the_staging_areas_head_or_at_a_commit(fresh):
    with pytest.raises(RuntimeError, match="make one first"):
        fresh.create_branch("dev")
    first = fill(fresh)
    assert fresh.create_branch("dev") == BranchHead("dev", first)
    second = commit_one(fresh, "dev", "c")
    assert fresh.create_branch("next") == ("next", second)
    assert fresh.create_branch("early", first).digest == first
    assert fresh.create_branch("Early", base_commit=first).name == "Early"
    assert fresh.list_branches() == ["Early", "dev", "early", "master", "next"]
    assert fresh.checkout(branch="early").commit_hash == first


@pytest.mark.parametrize("name", ["", "a b", "ä", "a/b", "x" * 65, 7, None, "HEAD", ".."])
def test_a_bad_name_is_a_value_error(shared, name):
    with pytest.raises(ValueError, match="name"):
        shared.create_branch(name)


def test_a_name_that_is_taken_is_a_value_error(shared):
    with pytest.raises(ValueError, match="exists"):
        shared.create_branch("master")


@pytest.mark.parametrize("commit", ["bogus", "0" * 64, "a=" + "0" * 40, "master"])
def test_a_base_that_is_no_commit_is_a_value_error(shared, commit):
    with pytest.raises(ValueError, match=r"digest|commit"):
        shared.create_branch("dev", commit)
    assert shared.list_branches() == ["master"]


def test_a_branch_is_removed_and_its_commits_stay(fresh):
    first = fill(fresh)
    fresh.create_branch("same")
    assert fresh.remove_branch("same") == BranchHead("same", first)
    fresh.create_branch("dev")
    second = commit_one(fresh, "dev", "c")
    fresh.checkout(write=True, branch="master").close()
    with pytest.raises(RuntimeError, match="no other branch"):
        fresh.remove_branch("dev")
    assert fresh.remove_branch("dev", force_delete=True) == ("dev", second)
    assert fresh.list_branches() == ["master"]
    assert "c" in fresh.checkout(commit=second)["x"]


def test_what_may_not_be_removed(fresh):
    fill(fresh)
    with pytest.raises(ValueError, match="no branch"):
        fresh.remove_branch("nothing")
    with pytest.raises(PermissionError, match="only branch"):
        fresh.remove_branch("master")
    fresh.create_branch("dev")
    with pytest.raises(PermissionError, match="staging area"):
        fresh.remove_branch("master", force_delete=True)
    co = fresh.checkout(write=True)
    with pytest.raises(PermissionError, match="lock"):
        fresh.remove_branch("dev")
    co.close()
    fresh.remove_branch("dev")
