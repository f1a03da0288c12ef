"""The one session of the command line, named ``default``: `import` stages in it, `commit` takes it.

It lives in the daemon, so that what one command staged the next one finds.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import hangard_client

from hangard.errors import Busy, InvalidRequest, NothingStaged
from hangard.wire.messages import SessionInfo

DEFAULT_SESSION = "default"


def find_default(repo: hangard_client.Repository) -> SessionInfo | None:
    """The command line's session, if it has one."""
    return next((info for info in repo.sessions() if info.id == DEFAULT_SESSION), None)


def drop_default(repo: hangard_client.Repository) -> int:
    """Drop what is staged; how many changes that were. Errors: Busy (``exclusive-session``)."""
    found = find_default(repo)
    if found is None:
        return 0
    _check_not_held(found)
    repo.abort_session(found.id)
    return found.staged


@contextmanager
def default_session(
    repo: hangard_client.Repository, branch: str | None
) -> Iterator[hangard_client.WriteCheckout]:
    """The session `default`: with what is staged in it, or new from the head of ``branch``.

    ``branch`` None means the branch of what is staged, else the repository's HEAD.
    Errors: InvalidRequest (``staged-for-another-branch``); Busy (``exclusive-session``) while a
    script holds it.
    """
    found = find_default(repo)
    if found is not None:
        _check_not_held(found)
    if found is not None and found.staged:
        if branch not in (None, found.branch):
            raise InvalidRequest(
                f"{found.staged} changes are staged for branch {found.branch!r}; commit them, or"
                " drop them with: hangard reset",
                code="staged-for-another-branch",
            )
    elif found is not None:
        # Nothing is in it: a new one starts from the branch's present head.
        repo.abort_session(DEFAULT_SESSION)
        found = None
    with _leaving(
        repo.checkout(session=DEFAULT_SESSION)
        if found is not None
        else repo.checkout(branch or repo.head(), write=True, name=DEFAULT_SESSION)
    ) as co:
        yield co


@contextmanager
def staged_session(repo: hangard_client.Repository) -> Iterator[hangard_client.WriteCheckout]:
    """The session `default`, which must hold something. Errors: NothingStaged."""
    found = find_default(repo)
    if found is None or not found.staged:
        raise NothingStaged("nothing is staged; stage something with: hangard import COLUMN PATH")
    with _leaving(repo.checkout(session=DEFAULT_SESSION)) as co:
        yield co


def _check_not_held(found: SessionInfo) -> None:
    if found.leased:
        raise Busy(
            f"process {found.pid} writes with session {found.id} just now; let it finish first",
            code="exclusive-session",
            session=found.id,
            pid=found.pid,
        )


@contextmanager
def _leaving(co: hangard_client.WriteCheckout) -> Iterator[hangard_client.WriteCheckout]:
    """Close the checkout at the end; that something stays staged is what `import` is for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", hangard_client.UncommittedWarning)
        with co:
            yield co
