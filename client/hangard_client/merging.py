"""Merge, revert, cherry-pick and what they would meet, synchronous."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from hangard.model.diff import MergeConflict
from hangard_client.async_merging import FastForward
from hangard_client.commit_arguments import Strategy
from hangard_client.history import CommitDigest, Revision
from hangard_client.merge_report import MergeReport
from hangard_client.portal import Portal

if TYPE_CHECKING:
    from hangard_client.async_repository import AsyncRepository


class Merging:
    """What Repository can do about histories that went apart."""

    _inner: AsyncRepository
    _portal: Portal

    def merge(
        self,
        revision: Revision,
        *,
        into: str,
        message: str | None = None,
        metadata: Mapping[str, str] | None = None,
        strategy: Strategy = None,
        ff: FastForward = "auto",
        dry_run: bool = False,
        allow_empty_message: bool = False,
    ) -> MergeReport:
        """Merge a revision into a branch; durable when this returns.

        ``strategy``  settles conflicts: "ours" (the branch's side), "theirs", ``{column: side}``,
                      ``{column: {key: side}}``, or a function that is given a Clash
        ``ff``        auto: only move the branch if it has nothing of its own; never: always make a
                      merge commit; only: refuse to make one
        ``dry_run``   change nothing, and tell what would happen, conflicts included
        ``allow_empty_message``  the message may be ""

        Sessions on the branch go on, and are put on top of the result when they commit.
        Errors: Conflict, which names keys and kinds and changes nothing; InvalidRequest
        (``not-fast-forward``, ``invalid-strategy``); UnknownRevision; Busy; NoSpace.
        """
        return self._portal.run(
            self._inner.merge(
                revision,
                into=into,
                message=message,
                metadata=metadata,
                strategy=strategy,
                ff=ff,
                dry_run=dry_run,
                allow_empty_message=allow_empty_message,
            )
        )

    def revert(
        self,
        revision: Revision,
        *,
        branch: str | None = None,
        message: str | None = None,
        metadata: Mapping[str, str] | None = None,
        strategy: Strategy = None,
        mainline: int | None = None,
        dry_run: bool = False,
    ) -> MergeReport:
        """Take the changes of one commit back, by a new commit on a branch.

        ``branch`` may be left out if there is only one. ``mainline`` (from 1 on) says with which
        parent a merge commit is compared. Otherwise as ``merge``, where theirs is the state before
        the commit. Errors: also NothingStaged (``nothing-changes``), InvalidRequest (``mainline``).
        """
        return self._portal.run(
            self._inner.revert(
                revision,
                branch=branch,
                message=message,
                metadata=metadata,
                strategy=strategy,
                mainline=mainline,
                dry_run=dry_run,
            )
        )

    def cherry_pick(
        self,
        revision: Revision,
        *,
        branch: str | None = None,
        message: str | None = None,
        metadata: Mapping[str, str] | None = None,
        strategy: Strategy = None,
        mainline: int | None = None,
        dry_run: bool = False,
    ) -> MergeReport:
        """Make the changes of one commit on a branch, too.

        The new commit keeps author, message and metadata, and names its origin in its metadata as
        ``cherry-picked-from``. Otherwise as ``revert``.
        """
        return self._portal.run(
            self._inner.cherry_pick(
                revision,
                branch=branch,
                message=message,
                metadata=metadata,
                strategy=strategy,
                mainline=mainline,
                dry_run=dry_run,
            )
        )

    def conflicts(self, ours: Revision, theirs: Revision) -> list[MergeConflict]:
        """What a merge of ``theirs`` into ``ours`` would conflict in, all of it, by column and key.

        Reads files only. Errors: UnknownRevision.
        """
        return self._inner.read_conflicts(ours, theirs)

    def merge_base(self, ours: Revision, theirs: Revision) -> list[CommitDigest]:
        """The best common ancestors of two revisions: one as a rule, several in criss-cross
        histories, none where they never met. Errors: UnknownRevision."""
        return self._inner.read_merge_base(ours, theirs)
