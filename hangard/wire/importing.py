"""What an import from elsewhere asks the daemon for besides what every writer does."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from hangard.limits import KIB
from hangard.wire.messages import Bytes16, Digest32, Done, Name
from hangard.wire.requests import COMMIT_TIMEOUT_S, Request, message_request

BRANCHES_MOVE: Final = "/branches/move"
BRANCH_MOVES_MAX: Final = 16 * KIB


class BranchMove(msgspec.Struct, frozen=True, array_like=True):
    """A branch goes on from ``before`` (None: it has no commit, or is not there) to ``after``."""

    branch: Name
    before: Digest32 | None
    after: Digest32


class MoveBranches(msgspec.Struct, frozen=True, kw_only=True):
    """Put branches on commits that are their descendants, and that exist.

    ``command_id``  chosen by the client; repeated, what was moved already is left where it is
    ``action``      for the reflog
    """

    command_id: Bytes16
    moves: Annotated[tuple[BranchMove, ...], msgspec.Meta(max_length=BRANCH_MOVES_MAX)]
    action: Name
    user: Name = ""


def move_branches(message: MoveBranches) -> Request[Done]:
    return message_request(BRANCHES_MOVE, message, Done, timeout_s=COMMIT_TIMEOUT_S)
