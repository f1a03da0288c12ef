"""The past of a repository, synchronous: log, reflog, summary."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hangard_client.history import History, LogEntry, RefMovement, Revision
from hangard_client.summary import Summary

if TYPE_CHECKING:
    from hangard_client.async_repository import AsyncRepository


class Log:
    """What Repository tells of the past."""

    _inner: AsyncRepository

    def log(
        self,
        revision: Revision | None = None,
        *,
        limit: int | None = None,
        all_refs: bool = False,
    ) -> list[LogEntry]:
        """The history of a revision, newest first; it may be left out if there is one branch.

        ``all_refs``: of all branches and tags instead. Errors: UnknownRevision.
        """
        return list(self._inner.read_history(revision, limit, all_refs).entries)

    def history(
        self,
        revision: Revision | None = None,
        *,
        limit: int | None = None,
        all_refs: bool = False,
    ) -> History:
        """As ``log``, with the branches and tags that name commits. Errors: UnknownRevision."""
        return self._inner.read_history(revision, limit, all_refs)

    def reflog(self, ref: str | None = None, *, limit: int = 1000) -> list[RefMovement]:
        """The movements of a ref (a branch, ``tags/v1``, ``HEAD`` for HEAD's branch), or of all,
        newest first. ``main@{2}`` names where main was before the last two.

        Errors: UnknownRevision.
        """
        return self._inner.read_reflog(ref, limit)

    def summary(self, revision: Revision | None = None) -> Summary:
        """Disk use, the commit of a revision (default: HEAD) and its columns.

        Errors: UnknownRevision.
        """
        return self._inner.read_summary(revision)
