"""The verb of repositories that imports, for asyncio and synchronous; what it needs is loaded when
it is used."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from hangard.errors import InvalidRequest
from hangard.reading.snapshot import RepositoryReader
from hangard_client.connection import Connection, in_thread
from hangard_client.portal import Portal

if TYPE_CHECKING:
    from hangard_client.async_repository import AsyncRepository
    from hangard_client.hangar_import.results import HangarImport, Missing, Report

MISSING = ("error", "skip")


class AsyncHangarImports:
    """What AsyncRepository can bring in from Hangar."""

    _connection: Connection

    if TYPE_CHECKING:

        def reader(self) -> RepositoryReader: ...

    async def import_hangar(
        self,
        path: str | os.PathLike[str],
        *,
        prefix: str = "",
        missing: Missing = "error",
        verify: bool = False,
        ignore_lock: bool = False,
        report: Report | None = None,
    ) -> HangarImport:
        """Bring a repository of Hangar 0.5 in, with its whole history; it is only read.

        Commits keep message, author, time and parents; their digests in Hangar stand in the
        metadata ``hangar.digest``, and are names of the commits (``a=1c5afe09``). Branches keep
        their names, behind ``prefix``, and move when all commits are there. Commits of an earlier
        import are not read again.

        ``missing``      what samples mean that only a remote of Hangar has: "error", or "skip"
        ``verify``       check BLAKE2b digests, besides the checksum of every sample
        ``ignore_lock``  import although a writer of Hangar holds its lock
        ``report``       called with an ImportProgress now and then

        Errors: NoRepository (``no-hangar-repository``); InvalidRequest (``unsupported-source``,
        ``invalid-name``); Busy (``source-in-use``); Corrupt (``damaged-source``), which names file
        and record; NotFound (``missing-samples``); Conflict (``branch-diverged``). After each the
        branches are as they were, and the import may be tried again.
        """
        from hangard_client.hangar_import.importing import HangarImporter
        from hangard_client.hangar_import.source import HangarSource

        if missing not in MISSING:
            raise InvalidRequest(
                f"missing is 'error' or 'skip', not {missing!r}", code="invalid-option"
            )
        source = await in_thread(HangarSource, Path(path), ignore_lock=ignore_lock)
        try:
            importer = HangarImporter(
                self._connection,
                self.reader(),
                source,
                prefix=prefix,
                missing=missing,
                verify=verify,
                report=report,
            )
            return await importer.run()
        finally:
            source.close()


class HangarImports:
    """What Repository can bring in from Hangar."""

    _inner: AsyncRepository
    _portal: Portal

    def import_hangar(
        self,
        path: str | os.PathLike[str],
        *,
        prefix: str = "",
        missing: Missing = "error",
        verify: bool = False,
        ignore_lock: bool = False,
        report: Report | None = None,
    ) -> HangarImport:
        """Bring a repository of Hangar 0.5 in, with its whole history; it is only read.

        Commits keep message, author, time and parents; their digests in Hangar stand in the
        metadata ``hangar.digest``, and are names of the commits (``a=1c5afe09``). Branches keep
        their names, behind ``prefix``, and move when all commits are there. Commits of an earlier
        import are not read again.

        ``missing``      what samples mean that only a remote of Hangar has: "error", or "skip"
        ``verify``       check BLAKE2b digests, besides the checksum of every sample
        ``ignore_lock``  import although a writer of Hangar holds its lock
        ``report``       called with an ImportProgress now and then

        Errors: NoRepository (``no-hangar-repository``); InvalidRequest (``unsupported-source``,
        ``invalid-name``); Busy (``source-in-use``); Corrupt (``damaged-source``), which names file
        and record; NotFound (``missing-samples``); Conflict (``branch-diverged``). After each the
        branches are as they were, and the import may be tried again.
        """
        return self._portal.run(
            self._inner.import_hangar(
                path,
                prefix=prefix,
                missing=missing,
                verify=verify,
                ignore_lock=ignore_lock,
                report=report,
            )
        )
