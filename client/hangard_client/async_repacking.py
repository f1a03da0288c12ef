"""Repacking a repository, for asyncio."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from hangard.model.names import check_column_name
from hangard.reading.verification import Progress
from hangard.wire.maintenance import Repacked, RepackRequest, repack
from hangard.wire.requests import Request
from hangard_client.history import Revision

T = TypeVar("T")


class AsyncRepacking:
    """What AsyncRepository can do about where samples lie."""

    if TYPE_CHECKING:

        def _resolved(self, revision: Revision) -> bytes: ...

        async def _long(self, request: Request[T], progress: Progress | None) -> T: ...

    async def repack(
        self,
        *columns: str,
        revision: Revision | None = None,
        progress: Progress | None = None,
    ) -> Repacked:
        """Write the samples of these columns (none named: of all) again into the backend and the
        options that the columns have now; what lies in the log or in small files, too.

        Of every branch's head, or of ``revision``. The daemon does it beside readers and writers,
        and goes on if this client ends; what was done stays done if the daemon ends. The old files
        go with the next gc.
        Errors: UnknownColumn, UnknownRevision; Busy (``maintenance-running``); NoSpace.
        """
        request = RepackRequest(
            columns=tuple(check_column_name(name) for name in columns),
            commit=self._resolved(revision) if revision is not None else None,
        )
        return await self._long(repack(request), progress)
