"""What a write checkout does about its branch's other commits, synchronous."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from hangard.reading.differences import ColumnChanges
from hangard_client.async_merging import FastForward
from hangard_client.columns import Run
from hangard_client.commit_arguments import Strategy
from hangard_client.history import Revision
from hangard_client.merge_report import MergeReport

if TYPE_CHECKING:
    from hangard_client.async_checkouts import AsyncWriteCheckout


class SessionMerging:
    """What WriteCheckout can do about other commits of its branch."""

    _inner: AsyncWriteCheckout
    _run: Run

    def merge(
        self,
        revision: Revision,
        message: str | None = None,
        *,
        metadata: Mapping[str, str] | None = None,
        strategy: Strategy = None,
        ff: FastForward = "auto",
        dry_run: bool = False,
        allow_empty_message: bool = False,
    ) -> MergeReport:
        """Merge a revision into this checkout's branch, and go on from the result.

        As the repository's ``merge``; the session must have nothing staged.
        Errors: also InvalidRequest (``session-changed``).
        """
        return self._run(  # type: ignore[no-any-return]
            self._inner.merge(
                revision,
                message,
                metadata=metadata,
                strategy=strategy,
                ff=ff,
                dry_run=dry_run,
                allow_empty_message=allow_empty_message,
            )
        )

    def diff(self) -> list[ColumnChanges]:
        """What is staged in the session, against the commit it goes on from; ``samples()`` of each
        column streams its keys. All that is buffered is sent first."""
        return self._run(self._inner.diff())  # type: ignore[no-any-return]
