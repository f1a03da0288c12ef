"""Verbs about a repository's integrity, for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from hangard.errors import InvalidRequest, InvalidType
from hangard.model.findings import Repaired, Verification
from hangard.reading import erasure, verification
from hangard.reading.snapshot import RepositoryReader
from hangard.reading.verification import Progress
from hangard.wire import integrity
from hangard.wire.integrity import GcResult, PurgeResult
from hangard.wire.maintenance import maintenance_stage
from hangard.wire.requests import Request
from hangard_client.commit_arguments import checked_flag
from hangard_client.connection import Connection, in_thread
from hangard_client.repairing import run_repair

T = TypeVar("T")

POLL_S = 0.2  # between two looks at how far a long request is


class AsyncIntegrity:
    """What AsyncRepository can do about integrity."""

    path: Path
    _connection: Connection
    reader: Callable[[], RepositoryReader]
    stop: Callable[[], Awaitable[bool]]

    async def verify(
        self, *, quick: bool = False, progress: Progress | None = None
    ) -> Verification:
        """Verify everything: refs, history, trees, every sample's bytes, files, the index.

        Runs in this process, beside any number of writers, and starts no daemon. All that is wrong
        is in the ``findings`` of what it returns. ``quick`` spares samples' bytes. ``progress``
        gets the name of a stage, how much of it is done, and of how much (0: not known); it is
        called in another thread.
        """
        return await in_thread(verification.verify, self.path, quick=quick, progress=progress)

    async def repair(self, *, dry_run: bool = False, progress: Progress | None = None) -> Repaired:
        """Mend what ``verify`` finds: the index, files, and what has another copy. Blocks writers.

        The daemon is stopped, and a process of its own does it; with ``dry_run`` only look. What
        is still wrong is in ``after`` of the report: samples that nothing has any more come back
        when equal ones are put again.

        Errors: Busy (``repository-locked``) if another process takes the repository meanwhile;
        NoSpace; Corrupt if it cannot be opened even so; Unavailable (``repair-failed``).
        """
        if checked_flag(dry_run, "dry_run"):
            found = await self.verify(progress=progress)
            return Repaired(dry_run=True, before=found, after=found)
        await self.stop()
        return await in_thread(run_repair, self.path, progress)

    async def gc(
        self,
        *,
        grace_s: float | None = None,
        reflog_age_s: float | None = None,
        full: bool = False,
        dry_run: bool = False,
        progress: Progress | None = None,
    ) -> GcResult:
        """Remove commits, tree nodes and samples that nothing leads to, and compact files.

        Roots are branches, tags, the reflog (entries older than ``reflog_age_s``, 90 days unless
        told, go first), sessions, and open read checkouts. Nothing younger than ``grace_s`` (an
        hour unless told) goes. ``full`` writes every file again that holds something unreachable,
        not only those more than half empty. Writers and readers go on meanwhile.

        Errors: Busy (``maintenance-running``); Corrupt (``gc-needs-repair``); NoSpace;
        InvalidRequest.
        """
        request = integrity.GcRequest(
            grace_s=_seconds(grace_s, "grace_s"),
            reflog_age_s=_seconds(reflog_age_s, "reflog_age_s"),
            full=checked_flag(full, "full"),
            dry_run=checked_flag(dry_run, "dry_run"),
        )
        return await self._long(integrity.gc(request), progress)

    async def purge(
        self,
        column: str | None = None,
        keys: Iterable[Any] = (),
        *,
        digests: Iterable[str | bytes] = (),
        dry_run: bool = False,
        progress: Progress | None = None,
    ) -> PurgeResult:
        """Erase samples from all history: those under keys of a column in any commit, or digests.

        Their bytes leave every file, reads raise Purged, ``verify`` still succeeds, and putting
        equal content is refused (``undo_purge`` takes that back). Other keys that name an equal
        sample lose it too: ``find_uses`` tells them.

        Errors: UnknownColumn; InvalidRequest (``nothing-to-purge``, ``not-a-sample``,
        ``invalid-digest``); Busy; Corrupt (``purge-needs-repair``); NoSpace.
        """
        wanted = await in_thread(self.read_digests_under, column, keys, digests)
        done = PurgeResult(dry_run=dry_run)
        for request in _in_requests(wanted, checked_flag(dry_run, "dry_run")):
            part = await self._long(integrity.purge(request), progress)
            done = PurgeResult(
                dry_run=dry_run,
                samples=done.samples + part.samples,
                stored=done.stored + part.stored,
                files=done.files + part.files,
                file_bytes=done.file_bytes + part.file_bytes,
            )
        return done

    async def undo_purge(self, digests: Iterable[str | bytes]) -> int:
        """Let content come in again that is equal to erased samples; how many were erased ones.

        Errors: InvalidRequest (``nothing-to-purge``, ``invalid-digest``); Busy.
        """
        count = 0
        for request in _in_requests(self.read_digests_under(None, (), digests), False):
            count += (await self._connection.send(integrity.undo_purge(request))).samples
        return count

    async def find_uses(self, digests: Iterable[str | bytes]) -> list[erasure.Use]:
        """Columns and keys in all history that name these samples, at most 1,000."""
        wanted = self.read_digests_under(None, (), digests)
        return await in_thread(erasure.uses_of, self.reader(), wanted)

    async def digests_under(self, column: str, keys: Iterable[Any]) -> list[bytes]:
        """The samples that keys of a column have in any commit. Errors: UnknownColumn."""
        return await in_thread(self.read_digests_under, column, keys, ())

    def read_digests_under(
        self, column: str | None, keys: Iterable[Any], digests: Iterable[str | bytes]
    ) -> list[bytes]:
        """What ``purge`` erases, read on the caller's thread."""
        wanted = {_digest(given) for given in digests}
        if column is not None:
            wanted |= erasure.digests_under(self.reader(), column, keys)
        if not wanted:
            raise InvalidRequest(
                "no sample is named: none of these keys is in any commit", code="nothing-to-purge"
            )
        return sorted(wanted)

    async def _long(self, request: Request[T], progress: Progress | None) -> T:
        """Send a request that takes long, and ask meanwhile how far it is."""
        if progress is None:
            return await self._connection.send(request)
        asked = asyncio.ensure_future(self._connection.send(request))
        try:
            while not asked.done():
                await asyncio.wait([asked], timeout=POLL_S)
                if not asked.done():
                    stage = await self._connection.send(maintenance_stage())
                    if stage.stage:
                        progress(stage.stage, stage.done, stage.total)
            return asked.result()
        finally:
            asked.cancel()


def _in_requests(digests: list[bytes], dry_run: bool) -> list[integrity.PurgeRequest]:
    step = integrity.PURGE_DIGESTS_MAX
    return [
        integrity.PurgeRequest(digests=tuple(digests[begin : begin + step]), dry_run=dry_run)
        for begin in range(0, len(digests), step)
    ]


def _digest(given: str | bytes) -> bytes:
    """Errors: InvalidRequest (``invalid-digest``)."""
    if isinstance(given, bytes) and len(given) == 32:
        return bytes(given)
    try:
        digest = bytes.fromhex(given) if isinstance(given, str) else b""
    except ValueError:
        digest = b""
    if len(digest) != 32:
        raise InvalidRequest(
            f"{given!r} is no digest of a sample: give all its 64 hexadecimal digits",
            code="invalid-digest",
        )
    return digest


def _seconds(value: float | None, argument: str) -> float | None:
    """Errors: InvalidType, InvalidRequest (``invalid-seconds``)."""
    if value is None:
        return None
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise InvalidType(f"{argument}= is a number of seconds, not {value!r}")
    if not 0 <= value < float("inf"):
        raise InvalidRequest(
            f"{argument}= is a number of seconds from 0 on, not {value}", code="invalid-seconds"
        )
    return float(value)
