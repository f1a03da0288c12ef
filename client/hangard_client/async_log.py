"""The past of a repository, for asyncio: log, reflog, summary."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path

from hangard.errors import InvalidRequest
from hangard.model.commit import Digest
from hangard.reading import revisions
from hangard.reading.snapshot import RepositoryReader
from hangard_client.history import (
    CommitDigest,
    History,
    LogEntry,
    RefMovement,
    Revision,
    plain_revision,
)
from hangard_client.summary import ColumnSummary, Summary, disk_use


class AsyncLog:
    """What AsyncRepository tells of the past."""

    path: Path
    reader: Callable[[], RepositoryReader]
    _only_branch: Callable[[], str]

    async def log(
        self,
        revision: Revision | None = None,
        *,
        limit: int | None = None,
        all_refs: bool = False,
    ) -> list[LogEntry]:
        """The history of a revision, newest first; it may be left out if there is one branch.

        ``all_refs``: of all branches and tags instead. Errors: UnknownRevision.
        """
        return list(self.read_history(revision, limit, all_refs).entries)

    async def history(
        self,
        revision: Revision | None = None,
        *,
        limit: int | None = None,
        all_refs: bool = False,
    ) -> History:
        """As ``log``, with the branches and tags that name commits. Errors: UnknownRevision."""
        return self.read_history(revision, limit, all_refs)

    async def reflog(self, ref: str | None = None, *, limit: int = 1000) -> list[RefMovement]:
        """The movements of a ref (a branch, ``tags/v1``, ``HEAD`` for HEAD's branch), or of all,
        newest first. ``main@{2}`` names where main was before the last two.

        Errors: UnknownRevision.
        """
        return self.read_reflog(ref, limit)

    async def summary(self, revision: Revision | None = None) -> Summary:
        """Disk use, the commit of a revision (default: HEAD) and its columns.

        Errors: UnknownRevision.
        """
        return self.read_summary(revision)

    # Local reads, which the synchronous client uses without a hop to the loop.

    def read_history(self, revision: Revision | None, limit: int | None, all_refs: bool) -> History:
        reader = self.reader()
        _check_limit(limit)
        heads, tags = reader.branches(), reader.tags()
        starts: list[Digest] = []
        if all_refs:
            starts = [digest for digest in (*heads.values(), *tags.values()) if digest]
        else:
            start = plain_revision(revision) if revision is not None else self._only_branch()
            if not _is_unborn(reader, start, heads):
                starts = [reader.resolve(start)]
        commits = revisions.history(starts, reader.commit)
        entries = tuple(LogEntry.of(digest, commit) for digest, commit in islice(commits, limit))
        head = CommitDigest(starts[0]) if starts and not all_refs else None
        return History(head, entries, _names(heads), _names(tags))

    def read_reflog(self, ref: str | None, limit: int) -> list[RefMovement]:
        _check_limit(limit)
        return [
            RefMovement(
                entry.ref,
                CommitDigest.or_none(entry.before),
                CommitDigest.or_none(entry.after),
                entry.action,
                entry.user,
                entry.time_ns,
            )
            for entry in self.reader().reflog(ref, limit)
        ]

    def read_summary(self, revision: Revision | None) -> Summary:
        reader = self.reader()
        heads, tags = reader.branches(), reader.tags()
        start = plain_revision(revision) if revision is not None else reader.head()
        commit = None
        columns: tuple[ColumnSummary, ...] = ()
        if not _is_unborn(reader, start, heads):
            digest = reader.resolve(start)
            commit = LogEntry.of(digest, reader.commit(digest))
            with reader.checkout_commit(digest) as tree:
                columns = tuple(
                    ColumnSummary(name, column.schema, len(column)) for name, column in tree.items()
                )
        named = {digest for digest in (*heads.values(), *tags.values()) if digest}
        return Summary(
            path=self.path,
            disk_bytes=disk_use(reader.directory),
            branches=len(heads),
            tags=len(tags),
            commits=sum(1 for _ in revisions.history(named, reader.commit)),
            revision=start if isinstance(start, str) else start.hex(),
            commit=commit,
            columns=columns,
        )


def _check_limit(limit: object) -> None:
    """Errors: InvalidRequest (``invalid-limit``)."""
    if limit is not None and (not isinstance(limit, int) or limit < 0):
        raise InvalidRequest(
            f"limit= is a number of entries from 0 on, or None, not {limit!r}", code="invalid-limit"
        )


def _is_unborn(
    reader: RepositoryReader, start: str | bytes, heads: dict[str, Digest | None]
) -> bool:
    """Whether a revision is a branch that has no commit yet."""
    name = reader.head() if start in ("HEAD", "@") else start
    if isinstance(name, bytes):
        return False
    name = name.removeprefix("heads/") if name not in heads else name
    return name in heads and heads[name] is None


def _names(refs: dict[str, Digest] | dict[str, Digest | None]) -> dict[bytes, tuple[str, ...]]:
    result: dict[bytes, tuple[str, ...]] = {}
    for name, digest in refs.items():
        if digest:
            result[digest] = (*result.get(digest, ()), name)
    return result
