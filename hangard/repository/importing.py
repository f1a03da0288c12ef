"""Branches put on commits that an import brought in: the last step of one."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b

from hangard.errors import HeadMoved, InvalidRequest
from hangard.model.commit import Digest
from hangard.model.names import check_ref_name
from hangard.reading.ancestry import is_ancestor
from hangard.repository.objects import Objects
from hangard.repository.publishing import Publication, Publisher, exactly
from hangard.wire.importing import MoveBranches

COMMAND_BYTES = 16


def move_branches(
    request: MoveBranches,
    *,
    publisher: Publisher,
    objects: Objects,
    heads: Mapping[str, Digest | None],
) -> None:
    """Move each branch on to a commit that descends from its head; make those that are not there.

    All are checked before the first is moved. Errors: InvalidRequest (``invalid-name``,
    ``not-a-descendant``); HeadMoved; UnknownRevision; AlreadyExists; Busy; NoSpace; Corrupt.
    """
    for move in request.moves:
        check_ref_name(move.branch)
        head = heads.get(move.branch)
        if head not in (move.before, move.after):
            raise HeadMoved(
                f"branch {move.branch!r} moved meanwhile; import again",
                branch=move.branch,
                head=head,
            )
        if head and not is_ancestor(objects.commit, head, [move.after]):
            raise InvalidRequest(
                f"branch {move.branch!r} has commits that {move.after.hex()[:16]} does not follow",
                code="not-a-descendant",
            )
    for move in request.moves:
        if heads.get(move.branch) == move.after:
            continue
        own = blake2b(move.branch.encode(), key=request.command_id, digest_size=COMMAND_BYTES)
        publisher.publish(
            move.branch,
            exactly(Publication(move.before, move.after)),
            command_id=own.digest(),
            action=request.action,
            user=request.user,
            create=True,
        )
