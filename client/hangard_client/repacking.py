"""Repacking a repository, synchronous."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hangard.reading.verification import Progress
from hangard.wire.maintenance import Repacked
from hangard_client.history import Revision
from hangard_client.portal import Portal

if TYPE_CHECKING:
    from hangard_client.async_repository import AsyncRepository


class Repacking:
    """What Repository can do about where samples lie."""

    _inner: AsyncRepository
    _portal: Portal

    def repack(
        self,
        *columns: str,
        revision: Revision | None = None,
        progress: Progress | None = None,
    ) -> Repacked:
        """Write the samples of these columns (none named: of all) again into the backend and the
        options that the columns have now; what lies in the log or in small files, too.

        Of every branch's head, or of ``revision``. The daemon does it beside readers and writers,
        and goes on if this client ends; what was done stays done if the daemon ends. The old files
        go with the next gc. ``progress`` is called in another thread.
        Errors: UnknownColumn, UnknownRevision; Busy (``maintenance-running``); NoSpace.
        """
        work = self._inner.repack(*columns, revision=revision, progress=progress)
        return self._portal.run(work)
