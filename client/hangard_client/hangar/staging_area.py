"""The one staging area: the exclusive session `default`, whose lease is the writer's lock.

The command line stages in the same session. It is resumed with what is staged in it; without
anything it begins again at its branch's head.
"""

from __future__ import annotations

import hangard_client
from hangard.errors import Busy, InvalidRequest, UnknownRevision
from hangard.wire.messages import SessionInfo
from hangard_client.hangar.errors import raising, refusal

SESSION = "default"


def open_area(repo: hangard_client.Repository, branch: str) -> hangard_client.WriteCheckout:
    """The staging area on a branch; empty for the one that something is staged for, or HEAD's.
    HEAD names the branch from now on.

    Errors: UnknownRevision (a ValueError); Busy (a PermissionError) while another writer holds it;
    a ValueError while changes of another branch are staged.
    """
    wanted = branch or repo.head()
    if wanted not in repo.branches():
        raise UnknownRevision(f"there is no branch {wanted!r}", code="unknown-branch")
    with raising(PermissionError, Busy):
        native = _resume(repo, wanted)
        try:
            if is_dirty(native):
                if branch and native.branch != branch:
                    raise _staged_elsewhere(native.branch)
            elif native.branch != wanted or native.commit_digest != repo.branches()[wanted]:
                native.abort()  # it begins again, at the branch's head
                native = _open(repo, wanted)
            if repo.head() != native.branch:
                repo.set_head(native.branch)
        except BaseException:
            native.leave()
            raise
    return native


def open_clean(repo: hangard_client.Repository, branch: str) -> hangard_client.WriteCheckout:
    """As ``open_area``, for what needs an empty one. Errors: also a RuntimeError if it is not."""
    with raising(RuntimeError, InvalidRequest):
        native = open_area(repo, branch)
    if is_dirty(native):
        native.leave()
        raise refusal(
            RuntimeError, "changes are staged; commit or reset them first", "staging-area-dirty"
        )
    return native


def is_dirty(native: hangard_client.WriteCheckout) -> bool:
    """Whether something is staged that the commit it goes on from does not have."""
    return bool(native.diff())


def find_area(repo: hangard_client.Repository) -> SessionInfo | None:
    """The staging area's session, if there is one."""
    return next((info for info in repo.sessions() if info.id == SESSION), None)


def is_held(repo: hangard_client.Repository) -> bool:
    """Whether a writer holds the lock."""
    return repo.exclusive_session() is not None


def check_not_held(repo: hangard_client.Repository, what: str) -> None:
    """Errors: InvalidRequest (``writer-lock-held``), a PermissionError."""
    holder = repo.exclusive_session()
    if holder is not None:
        raise refusal(
            PermissionError,
            f"{what} while process {holder.pid} holds the writer's lock is not possible;"
            " close its checkout",
            "writer-lock-held",
        )


def _resume(repo: hangard_client.Repository, branch: str) -> hangard_client.WriteCheckout:
    found = find_area(repo)
    if found is None:
        return _open(repo, branch)
    if found.branch not in repo.branches():
        raise InvalidRequest(
            f"changes are staged for branch {found.branch!r}, which is gone: create it again, or"
            " drop them with: hangard reset",
            code="staged-for-another-branch",
        )
    return _open(repo, found.branch)


def _staged_elsewhere(branch: str) -> InvalidRequest:
    return InvalidRequest(
        f"changes are staged for branch {branch!r}: check it out, and commit them or reset the"
        " staging area",
        code="staged-for-another-branch",
    )


def _open(repo: hangard_client.Repository, branch: str) -> hangard_client.WriteCheckout:
    found: hangard_client.WriteCheckout = repo.checkout(
        branch, write=True, name=SESSION, exclusive=True
    )
    return found
