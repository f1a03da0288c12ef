"""Repacking a repository, for asyncio."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from hangard.model.names import check_column_name
from hangard.wire.maintenance import Repacked, RepackRequest, maintenance_stage, repack
from hangard_client.connection import Connection
from hangard_client.history import Revision

Progress = Callable[[str, int, int], None]
"""Called with the name of a stage, how much of it is done, and of how much (0: not known)."""

POLL_S = 0.2


class AsyncRepacking:
    """What AsyncRepository can do about where samples lie."""

    _connection: Connection

    if TYPE_CHECKING:

        def _resolved(self, revision: Revision) -> bytes: ...

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
        watching = asyncio.create_task(_watch(self._connection, progress)) if progress else None
        try:
            return await self._connection.send(repack(request))
        finally:
            if watching is not None:
                watching.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await watching


async def _watch(connection: Connection, progress: Progress) -> None:
    """Tell how far the daemon's work is, until this is cancelled."""
    while True:
        found = await connection.send(maintenance_stage())
        if found.verb:
            progress(found.stage, found.done, found.total)
        await asyncio.sleep(POLL_S)
