"""Messages of merge, revert and cherry-pick, and their requests."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

from hangard.limits import KEY_TEXT_BYTES_MAX, MESSAGE_BYTES_MAX
from hangard.model.diff import ConflictKind, Side
from hangard.wire.messages import Bytes16, Choice, Count, Digest32, Name, SessionState
from hangard.wire.requests import COMMIT_TIMEOUT_S, Request, message_request

MERGE: Final = "/merge"

Verb = Literal["merge", "revert", "cherry-pick"]
FastForward = Literal["auto", "never", "only"]
Outcome = Literal["merge", "fast-forward", "up-to-date", "commit"]


class MergeRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Bring a commit into a branch, or its changes, or take them back.

    ``commit``         what is merged, picked or reverted
    ``user``           who does it, for the reflog; empty: the author
    ``mainline``       revert and cherry-pick: the parent (from 1 on) that a merge commit is
                       compared with; 0: it has one parent at most
    ``strategy``       ours = the branch's side, theirs = the other; or single choices
    ``strategy_head``  the head that was looked at when they were made; HeadMoved if it is another
    ``session``        one on this branch without staged changes, which goes on from the result
    ``allow_empty_message``  the message may be ""
    ``last_sequence``  with ``session``: the last number of this client's stream
    ``dry_run``        only tell what would happen
    """

    verb: Verb
    branch: Annotated[str, msgspec.Meta(max_length=KEY_TEXT_BYTES_MAX)]
    commit: Digest32
    command_id: Bytes16
    author_name: Name = ""
    author_email: Name = ""
    user: Name = ""
    message: Annotated[str, msgspec.Meta(max_length=MESSAGE_BYTES_MAX)] = ""
    metadata: tuple[tuple[str, str], ...] = ()
    strategy: Side | tuple[Choice, ...] | None = None
    strategy_head: Digest32 | None = None
    ff: FastForward = "auto"
    mainline: Count = 0
    dry_run: bool = False
    allow_empty_message: bool = False
    session: Name = ""
    last_sequence: Count = 0


class MergeResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a merge, revert or cherry-pick did, or in a dry run would do.

    ``commit``     where the branch is then; None in a dry run that would make a commit
    ``before``     where it was; None: it had no commit
    ``bases``      the best common ancestors
    ``conflicts``  those that the strategy does not settle (dry run), of ``conflict_count`` the
                   first: column, encoded key (empty for the column itself), kind
    ``changes``    by column, how many samples the branch gains, loses and has changed (dry run)
    ``state``      the session that goes on from it
    """

    outcome: Outcome
    branch: str
    commit: Digest32 | None = None
    before: Digest32 | None = None
    bases: tuple[Digest32, ...] = ()
    conflicts: tuple[tuple[str, bytes, ConflictKind], ...] = ()
    conflict_count: Count = 0
    changes: dict[str, tuple[Count, Count, Count]] = {}
    state: SessionState | None = None


def merge(message: MergeRequest) -> Request[MergeResult]:
    """Repeated with the same command id, it is carried out once."""
    return message_request(MERGE, message, MergeResult, timeout_s=COMMIT_TIMEOUT_S)
