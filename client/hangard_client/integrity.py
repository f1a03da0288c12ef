"""Verbs about a repository's integrity, synchronous."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hangard.model.findings import Repaired, Verification
from hangard.reading import verification
from hangard.reading.erasure import Use
from hangard.reading.verification import Progress
from hangard.wire.integrity import GcResult, PurgeResult
from hangard_client.portal import Portal

if TYPE_CHECKING:
    from hangard_client.async_repository import AsyncRepository


class Integrity:
    """What Repository can do about integrity."""

    path: Path
    _inner: AsyncRepository
    _portal: Portal

    def verify(self, *, quick: bool = False, progress: Progress | None = None) -> Verification:
        """Verify everything: refs, history, trees, every sample's bytes, files, the index.

        Runs in this process, beside any number of writers, and starts no daemon. All that is wrong
        is in the ``findings`` of what it returns. ``quick`` spares samples' bytes. ``progress``
        gets the name of a stage, how much of it is done, and of how much (0: not known).
        """
        return verification.verify(self.path, quick=quick, progress=progress)

    def repair(self, *, dry_run: bool = False, progress: Progress | None = None) -> Repaired:
        """Mend what ``verify`` finds: the index, files, and what has another copy. Blocks writers.

        The daemon is stopped, and a process of its own does it; with ``dry_run`` only look. What
        is still wrong is in ``after`` of the report: samples that nothing has any more come back
        when equal ones are put again.

        Errors: Busy (``repository-locked``) if another process takes the repository meanwhile;
        NoSpace; Corrupt if it cannot be opened even so; Unavailable (``repair-failed``).
        """
        return self._portal.run(self._inner.repair(dry_run=dry_run, progress=progress))

    def gc(
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
        return self._portal.run(
            self._inner.gc(
                grace_s=grace_s,
                reflog_age_s=reflog_age_s,
                full=full,
                dry_run=dry_run,
                progress=progress,
            )
        )

    def purge(
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
        return self._portal.run(
            self._inner.purge(column, keys, digests=digests, dry_run=dry_run, progress=progress)
        )

    def undo_purge(self, digests: Iterable[str | bytes]) -> int:
        """Let content come in again that is equal to erased samples; how many were erased ones.

        Errors: InvalidRequest (``nothing-to-purge``, ``invalid-digest``); Busy.
        """
        return self._portal.run(self._inner.undo_purge(digests))

    def find_uses(self, digests: Iterable[str | bytes]) -> list[Use]:
        """Columns and keys in all history that name these samples, at most 1,000."""
        return self._portal.run(self._inner.find_uses(digests))

    def digests_under(self, column: str, keys: Iterable[Any]) -> list[bytes]:
        """The samples that keys of a column have in any commit. Errors: UnknownColumn."""
        return self._inner.read_digests_under(column, keys, ())
