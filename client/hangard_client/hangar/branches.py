"""Branches, with Hangar's protections."""

from __future__ import annotations

from typing import NamedTuple

import hangard_client
from hangard.errors import AlreadyExists, HangardError, InvalidRequest, UnknownRevision
from hangard_client.hangar.errors import as_builtin, refusal
from hangard_client.hangar.log import digest_text, full_digest
from hangard_client.hangar.names import checked_name


class BranchHead(NamedTuple):
    """A branch and the digest of its commit."""

    name: str
    digest: str


def list_branches(repo: hangard_client.Repository) -> list[str]:
    """All names, in the order of their bytes."""
    return sorted(repo.branches())


def create_branch(
    repo: hangard_client.Repository, name: str, base_commit: str | None
) -> BranchHead:
    """Create a branch at a commit, by default the one of the staging area's branch.

    Errors: InvalidRequest, AlreadyExists, UnknownRevision (ValueErrors); a RuntimeError before the
    first commit.
    """
    checked_name("branch", name)
    branches = repo.branches()
    if name in branches:
        raise AlreadyExists(f"branch {name!r} exists", code="branch-exists")
    base = full_digest(repo, base_commit) if base_commit else branches[repo.head()]
    if base is None:
        raise refusal(
            RuntimeError, "a branch needs a commit to begin at; make one first", "no-commit"
        )
    return BranchHead(name, digest_text(repo.create_branch(name, base)))


def remove_branch(repo: hangard_client.Repository, name: str, *, force: bool) -> BranchHead:
    """Remove a branch; its commits stay.

    Errors: UnknownRevision (a ValueError); a PermissionError for the last branch and the one of the
    staging area; a RuntimeError, without ``force``, if no other branch has its commits.
    """
    branches = repo.branches()
    if name not in branches:
        raise UnknownRevision(f"there is no branch {name!r}", code="unknown-branch")
    if len(branches) == 1:
        raise refusal(PermissionError, f"{name!r} is the only branch", "last-branch")
    if name == repo.head():
        raise refusal(
            PermissionError,
            f"the staging area is on {name!r}; check out another branch to write first",
            "branch-is-head",
        )
    try:
        return BranchHead(name, digest_text(repo.delete_branch(name, force=force)))
    except UnknownRevision:
        raise
    except InvalidRequest as error:
        raise _refused(error) from error


def _refused(error: HangardError) -> HangardError:
    return as_builtin(error, RuntimeError if error.code == "branch-not-merged" else PermissionError)
