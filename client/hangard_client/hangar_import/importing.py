"""Carries the history of a Hangar repository over, commit by commit, parents first.

What a commit changes against its nearest parent is staged in a session that stands on that one,
and committed with the parents, author and time it had. No branch is touched until all commits are
there; then the branches move. An import that was broken off goes on where it was: commits that
are there already are known by their digests in Hangar.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from functools import partial
from typing import Any, Final

from hangard.errors import Conflict, HangardError, NotFound, UnknownRevision
from hangard.limits import MESSAGE_BYTES_MAX
from hangard.model.commit import Digest
from hangard.model.names import check_column_name, check_ref_name
from hangard.reading.snapshot import RepositoryReader
from hangard.wire.importing import BranchMove, MoveBranches, move_branches
from hangard_client.connection import Connection, in_thread
from hangard_client.hangar_import.planning import ColumnPlan, Step, plan_commit, schema_of
from hangard_client.hangar_import.records import (
    HANGAR_DIGEST,
    DamagedRecord,
    HangarCommit,
    Snapshot,
    is_renamed,
)
from hangard_client.hangar_import.results import HangarImport, ImportProgress, Missing, Report
from hangard_client.hangar_import.samples import Item, SampleReader
from hangard_client.hangar_import.session import ImportSession
from hangard_client.hangar_import.source import HangarSource
from hangard_client.history import CommitDigest

HANGAR_MISSING: Final = "hangar.missing"  # metadata: how many samples only a remote had
HANGAR_MESSAGE: Final = "hangar.message"  # metadata: a message longer than ours may be
SESSIONS_KEPT_MAX: Final = 16  # each holds what no branch names yet from being collected
STAGED_KEYS_MAX: Final = 1_000_000  # more go into several commits, of which the last counts


class HangarImporter:
    """One import into one repository."""

    def __init__(
        self,
        connection: Connection,
        reader: RepositoryReader,
        source: HangarSource,
        *,
        prefix: str = "",
        missing: Missing = "error",
        verify: bool = False,
        report: Report | None = None,
    ) -> None:
        self._connection = connection
        self._reader = reader
        self._source = source
        self._samples = SampleReader(source, verify=verify)
        self._prefix = prefix
        self._missing = missing
        self._report = report
        self._ours: dict[str, CommitDigest] = {}
        self._sessions: list[ImportSession] = []
        self._done = {"samples": 0, "sample_bytes": 0, "missing": 0, "renamed": 0}
        self._other_backends: set[str] = set()

    async def run(self) -> HangarImport:
        """Import what is not there yet. Errors: see AsyncRepository.import_hangar."""
        self._check_branches()
        try:
            commits = await in_thread(self._source.order, self._is_known)
            for number, commit in enumerate(commits):
                await self._import(commit, number, len(commits))
            branches = await self._move_branches()
        finally:
            self._samples.close()
            for session in self._sessions:
                with suppress(HangardError):
                    await session.abort()
        return HangarImport(
            branches=branches,
            commits=len(commits),
            other_backends=tuple(sorted(self._other_backends)),
            **self._done,
        )

    # Branches

    def _check_branches(self) -> None:
        """Before anything is staged. Errors: Conflict (``branch-diverged``) if a branch of ours
        has commits that the one of its name in Hangar does not have."""
        heads = self._reader.branches()
        for name, old in self._source.branches.items():
            head = heads.get(check_ref_name(self._prefix + name))
            if head is not None and old and not self._is_known(old):
                ancestors = {commit.digest for commit in self._source.order(_nothing)}
                if not any(self._find(digest) == head for digest in ancestors):
                    raise _diverged(self._prefix + name)
        self._ours.clear()

    async def _move_branches(self) -> dict[str, CommitDigest]:
        heads = self._reader.branches()
        result: dict[str, CommitDigest] = {}
        moves = []
        for source_name, old in self._source.branches.items():
            name = self._prefix + source_name
            head = heads.get(name)
            if not old:
                continue  # it has no commit yet
            after = self._ours[old] if old in self._ours else self._find(old)
            assert after is not None
            result[name] = after
            if head is None or self._descends(after, head):
                if head != after:
                    moves.append(BranchMove(name, bytes(head) if head else None, bytes(after)))
            elif self._descends(head, after):
                result[name] = CommitDigest(head)  # it went on here
            else:
                raise _diverged(name)
        if moves:
            message = MoveBranches(
                command_id=secrets.token_bytes(16),
                moves=tuple(moves),
                action="import-hangar: branch moved",
            )
            await self._connection.send(move_branches(message))
        return result

    def _descends(self, commit: Digest, ancestor: Digest) -> bool:
        return any(digest == ancestor for digest, _ in self._reader.log(bytes(commit)))

    def _is_known(self, old: str) -> bool:
        found = self._find(old)
        if found is not None:
            self._ours[old] = found
        return found is not None

    def _find(self, old: str) -> CommitDigest | None:
        try:
            return CommitDigest(self._reader.resolve(old))
        except UnknownRevision:
            return None

    # Commits

    async def _import(self, commit: HangarCommit, number: int, total: int) -> None:
        parents = tuple(bytes(self._ours[parent]) for parent in commit.parents)
        nearest, plans = await in_thread(self._plans, commit)
        session = await self._standing_on(bytes(self._ours[nearest]) if nearest else None)
        title = commit.message.partition("\n")[0]
        changes = sum(len(plan.put) for plan in plans)
        staged = missing = done = 0
        commit_as = partial(session.commit, commit.message, commit.author, commit.time_ns, parents)

        def tell() -> None:
            if self._report is not None:
                self._report(ImportProgress(number, total, title, done, changes))

        tell()
        for plan in plans:
            await self._prepare_column(session, plan)
            if plan.step is Step.REMOVE:
                continue
            await session.delete(plan.name, plan.deleted)
            items = await in_thread(self._items, plan, commit.digest)
            missing += len(plan.put) - len(items)
            batches = self._samples.batches(plan.schema, items)
            while (batch := await in_thread(next, batches, None)) is not None:
                keys, values, sample_bytes = batch
                await session.put(plan.name, keys, values)
                self._done["sample_bytes"] += sample_bytes
                done += len(keys)
                staged += len(keys)
                tell()
                if staged > STAGED_KEYS_MAX:
                    await commit_as({})
                    staged = 0
        self._done["samples"] += done
        self._done["missing"] += missing
        metadata = {HANGAR_DIGEST: commit.digest}
        if missing:
            metadata[HANGAR_MISSING] = str(missing)
        if len(commit.message) > MESSAGE_BYTES_MAX:
            metadata[HANGAR_MESSAGE] = commit.message
        self._ours[commit.digest] = await commit_as(metadata, (commit.digest,))

    def _plans(self, commit: HangarCommit) -> tuple[str | None, list[ColumnPlan]]:
        """The parent that it differs least from, and what it changes against that."""
        after = self._source.snapshot(commit.digest)
        nearest, before = None, Snapshot()
        if commit.parents:
            snapshots = {parent: self._source.snapshot(parent) for parent in commit.parents}
            changed = {
                parent: len(after.records ^ snapshot.records)
                for parent, snapshot in snapshots.items()
            }
            nearest = min(changed, key=lambda parent: changed[parent])
            before = snapshots[nearest]
        try:
            plans = plan_commit(before, after, self._source.schema)
        except DamagedRecord as error:
            raise self._source.damaged_commit(commit.digest, error) from error
        for plan in plans:
            check_column_name(plan.name)
            self._done["renamed"] += sum(is_renamed(key) for key, _ in plan.put)
        return nearest, plans

    def _items(self, plan: ColumnPlan, commit: str) -> list[Item]:
        """Where the samples of a plan lie; those that only a remote has are left out.

        Errors: NotFound (``missing-samples``) if that is not wanted.
        """
        items: list[Item] = []
        for key, digest in plan.put:
            place = self._source.place(digest)
            if place is not None:
                items.append((place, key, digest))
            elif self._missing == "error":
                raise NotFound(
                    f"sample {key!r} of column {plan.name!r} in commit {commit} is at a remote of"
                    " Hangar only: fetch it with hangar fetch-data, or leave such samples out"
                    " with --missing skip (missing='skip')",
                    code="missing-samples",
                    column=plan.name,
                    commit=commit,
                )
        return items

    # Sessions

    async def _standing_on(self, base: Digest | None) -> ImportSession:
        for session in self._sessions:
            if session.base == base:
                return session
        while len(self._sessions) >= SESSIONS_KEPT_MAX:
            await self._sessions.pop(0).abort()
        session = await ImportSession.open(self._connection, base, branch=self._reader.head())
        self._sessions.append(session)
        return session

    async def _prepare_column(self, session: ImportSession, plan: ColumnPlan) -> None:
        """What happens to the column itself."""
        if plan.step in (Step.REMOVE, Step.REPLACE):
            await session.change_column("remove", plan.name)
        if plan.step in (Step.ADD, Step.REPLACE, Step.RESTORE):
            schema, as_it_was = schema_of(plan.schema)
            if not as_it_was:
                self._other_backends.add(plan.name)
            kind: Any = "change" if plan.step is Step.RESTORE else "add"
            await session.change_column(kind, plan.name, schema)


def _nothing(_: str) -> bool:
    return False


def _diverged(name: str) -> Conflict:
    return Conflict(
        f"branch {name!r} is here already, with commits that the branch of Hangar does not have;"
        " import under other names with --prefix NAME/ (prefix='NAME/')",
        code="branch-diverged",
        branch=name,
    )
