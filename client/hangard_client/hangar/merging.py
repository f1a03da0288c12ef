"""Merges into the staging area's branch."""

from __future__ import annotations

import hangard_client
from hangard.errors import Conflict, InvalidRequest, UnknownRevision
from hangard_client.hangar.errors import raising, refusal


def merge(
    repo: hangard_client.Repository,
    native: hangard_client.WriteCheckout,
    message: str,
    dev_branch: str,
) -> str:
    """Merge a branch into the one of an empty staging area; the digest of its commit.

    Errors: UnknownRevision, InvalidRequest (``same-commit``), Conflict (all ValueErrors); a
    RuntimeError if something is staged.
    """
    branches = repo.branches()
    if dev_branch not in branches:
        raise UnknownRevision(f"there is no branch {dev_branch!r}", code="unknown-branch")
    dev = branches[dev_branch]
    if dev is None or dev == branches[native.branch]:
        raise InvalidRequest(
            f"{native.branch!r} and {dev_branch!r} are at the same commit", code="same-commit"
        )
    if native.diff():
        raise refusal(
            RuntimeError, "changes are staged; commit or reset them first", "staging-area-dirty"
        )
    with raising(ValueError, Conflict):
        report = native.merge(dev_branch, message, allow_empty_message=True)
    assert report.commit is not None
    return report.commit.hex()
