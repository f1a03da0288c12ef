"""Merge, revert, cherry-pick and what they would meet, for asyncio."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal

import msgspec

from hangard.errors import Busy, HeadMoved, InvalidRequest, InvalidType
from hangard.model.commit import Commit, Digest
from hangard.model.diff import MergeConflict
from hangard.model.schema import Schema
from hangard.reading.conflicts import find_conflicts
from hangard.reading.snapshot import RepositoryReader
from hangard.wire import merging
from hangard.wire.merging import MergeRequest, MergeResult
from hangard_client.clashes import read_clashes
from hangard_client.commit_arguments import (
    Strategy,
    checked_flag,
    checked_message,
    checked_metadata,
    checked_strategy,
)
from hangard_client.connection import Connection
from hangard_client.deciding import decide_all
from hangard_client.history import CommitDigest, Revision, plain_revision
from hangard_client.merge_report import MergeReport

FastForward = Literal["auto", "never", "only"]
FAST_FORWARDS = ("auto", "never", "only")
ATTEMPTS_MAX = 16  # of a callback strategy whose branch moves while it thinks

PICKED_FROM = "cherry-picked-from"  # name in a commit's metadata

Send = Callable[[MergeRequest], Awaitable[MergeResult]]


class AsyncMerging:
    """What AsyncRepository can do about histories that went apart."""

    _connection: Connection
    reader: Callable[[], RepositoryReader]
    _only_branch: Callable[[], str]
    _find_author: Callable[[], tuple[str, str]]

    async def merge(
        self,
        revision: Revision,
        *,
        into: str,
        message: str | None = None,
        metadata: Mapping[str, str] | None = None,
        strategy: Strategy = None,
        ff: FastForward = "auto",
        dry_run: bool = False,
        allow_empty_message: bool = False,
    ) -> MergeReport:
        """Merge a revision into a branch; durable when this returns.

        ``strategy``  settles conflicts: "ours" (the branch's side), "theirs", ``{column: side}``,
                      ``{column: {key: side}}``, or a function that is given a Clash
        ``ff``        auto: only move the branch if it has nothing of its own; never: always make a
                      merge commit; only: refuse to make one
        ``dry_run``   change nothing, and tell what would happen, conflicts included
        ``allow_empty_message``  the message may be ""

        Sessions on the branch go on, and are put on top of the result when they commit.
        Errors: Conflict, which names keys and kinds and changes nothing; InvalidRequest
        (``not-fast-forward``, ``invalid-strategy``); UnknownRevision; Busy; NoSpace.
        """
        request = merge_request(
            self.reader(),
            revision,
            into,
            message,
            metadata,
            ff,
            dry_run=dry_run,
            allow_empty_message=allow_empty_message,
        )
        return await self._carry_out(request, strategy)

    async def revert(
        self,
        revision: Revision,
        *,
        branch: str | None = None,
        message: str | None = None,
        metadata: Mapping[str, str] | None = None,
        strategy: Strategy = None,
        mainline: int | None = None,
        dry_run: bool = False,
    ) -> MergeReport:
        """Take the changes of one commit back, by a new commit on a branch.

        ``branch`` may be left out if there is only one. ``mainline`` (from 1 on) says with which
        parent a merge commit is compared. Otherwise as ``merge``, where theirs is the state before
        the commit. Errors: also NothingStaged (``nothing-changes``), InvalidRequest (``mainline``).
        """
        reader = self.reader()
        digest, commit = _commit(reader, revision)
        if message is None:
            title = commit.message.partition("\n")[0]
            message = f'Revert "{title}"\n\nThis reverts commit {digest.hex()}.'
        request = MergeRequest(
            verb="revert",
            branch=self._branch_of(branch),
            commit=digest,
            command_id=secrets.token_bytes(16),
            message=checked_message(message),
            metadata=checked_metadata(metadata),
            mainline=_mainline(mainline),
            dry_run=checked_flag(dry_run, "dry_run"),
        )
        return await self._carry_out(request, strategy)

    async def cherry_pick(
        self,
        revision: Revision,
        *,
        branch: str | None = None,
        message: str | None = None,
        metadata: Mapping[str, str] | None = None,
        strategy: Strategy = None,
        mainline: int | None = None,
        dry_run: bool = False,
    ) -> MergeReport:
        """Make the changes of one commit on a branch, too.

        The new commit keeps author, message and metadata, and names its origin in its metadata as
        ``cherry-picked-from``. Otherwise as ``revert``.
        """
        reader = self.reader()
        digest, commit = _commit(reader, revision)
        given = checked_metadata(metadata)
        request = MergeRequest(
            verb="cherry-pick",
            branch=self._branch_of(branch),
            commit=digest,
            command_id=secrets.token_bytes(16),
            author_name=commit.author.name,
            author_email=commit.author.email,
            message=commit.message if message is None else checked_message(message),
            allow_empty_message=message is None,
            metadata=tuple(
                sorted({**dict(commit.metadata), PICKED_FROM: digest.hex(), **dict(given)}.items())
            ),
            mainline=_mainline(mainline),
            dry_run=checked_flag(dry_run, "dry_run"),
        )
        return await self._carry_out(request, strategy)

    async def conflicts(self, ours: Revision, theirs: Revision) -> list[MergeConflict]:
        """What a merge of ``theirs`` into ``ours`` would conflict in, all of it, by column and key.

        Reads files only. Errors: UnknownRevision.
        """
        return self.read_conflicts(ours, theirs)

    async def merge_base(self, ours: Revision, theirs: Revision) -> list[CommitDigest]:
        """The best common ancestors of two revisions: one as a rule, several in criss-cross
        histories, none where they never met. Errors: UnknownRevision."""
        return self.read_merge_base(ours, theirs)

    def read_conflicts(self, ours: Revision, theirs: Revision) -> list[MergeConflict]:
        """What ``conflicts`` gives, read on the caller's thread."""
        return self.reader().conflicts(plain_revision(ours), plain_revision(theirs))

    def read_merge_base(self, ours: Revision, theirs: Revision) -> list[CommitDigest]:
        """What ``merge_base`` gives, read on the caller's thread."""
        base = self.reader().merge_base(plain_revision(ours), plain_revision(theirs))
        return list(map(CommitDigest, base.commits))

    async def _carry_out(self, request: MergeRequest, strategy: Strategy) -> MergeReport:
        async def send(message: MergeRequest) -> MergeResult:
            return await self._connection.send(merging.merge(message))

        request = with_author(request, self._find_author)
        return MergeReport.of(await carry_out(send, self.reader(), request, strategy))

    def _branch_of(self, branch: str | None) -> str:
        return self._only_branch() if branch is None else branch


def merge_request(
    reader: RepositoryReader,
    revision: Revision,
    into: str,
    message: str | None,
    metadata: Mapping[str, str] | None,
    ff: str,
    *,
    dry_run: bool,
    allow_empty_message: bool,
    session: str = "",
) -> MergeRequest:
    """A merge without its author. Errors: UnknownRevision, InvalidType, InvalidRequest."""
    digest, _ = _commit(reader, revision)
    if ff not in FAST_FORWARDS:
        raise InvalidRequest(f"ff= is one of {', '.join(FAST_FORWARDS)}, not {ff!r}", code="ff")
    if message is None:
        name = plain_revision(revision)
        if isinstance(name, bytes):
            name = digest.hex()[:16]
        message = f"Merge {name} into {into}"
    return MergeRequest(
        verb="merge",
        branch=into,
        commit=digest,
        command_id=secrets.token_bytes(16),
        message=checked_message(message, may_be_empty=allow_empty_message),
        metadata=checked_metadata(metadata),
        ff=ff,  # type: ignore[arg-type]
        dry_run=checked_flag(dry_run, "dry_run"),
        allow_empty_message=checked_flag(allow_empty_message, "allow_empty_message"),
        session=session,
    )


def with_author(request: MergeRequest, find: Callable[[], tuple[str, str]]) -> MergeRequest:
    """The request with who does it; a dry run needs nobody. Errors: as ``find``."""
    if request.dry_run:
        return request
    name, email = find()
    if request.author_name:
        return msgspec.structs.replace(request, user=f"{name} <{email}>")
    return msgspec.structs.replace(request, author_name=name, author_email=email)


async def carry_out(
    send: Send, reader: RepositoryReader, request: MergeRequest, strategy: Strategy
) -> MergeResult:
    """Send the request, after a callback strategy was asked about every conflict.

    Errors: as the daemon's; Busy (``branch-keeps-moving``).
    """
    if not callable(strategy):
        return await send(msgspec.structs.replace(request, strategy=checked_strategy(strategy)))
    for _ in range(ATTEMPTS_MAX):
        head = reader.branch(request.branch)
        if head is None:
            return await send(request)
        clashes = read_clashes(
            reader, _conflicts(reader, request, head), _schemas(reader, head, request.commit)
        )
        choices = await decide_all(strategy, clashes)
        settled = msgspec.structs.replace(
            request,
            strategy=choices or None,
            strategy_head=head,
            command_id=secrets.token_bytes(16),
        )
        try:
            return await send(settled)
        except HeadMoved:
            continue
    raise Busy(
        f"branch {request.branch!r} moved each time while its conflicts were decided",
        code="branch-keeps-moving",
    )


def _conflicts(
    reader: RepositoryReader, request: MergeRequest, head: Digest
) -> list[MergeConflict]:
    if request.verb == "merge":
        return reader.conflicts(head, request.commit)
    parents = reader.commit(request.commit).parents
    number = max(request.mainline, 1)
    if number > len(parents) > 0 or (not request.mainline and len(parents) > 1):
        return []  # the daemon says what is wrong with that
    before = reader.commit_tree(parents[number - 1]) if parents else {}
    after = reader.commit_tree(request.commit)
    base, theirs = (before, after) if request.verb == "cherry-pick" else (after, before)
    return find_conflicts(
        base, reader.commit_tree(head), theirs, schema=reader.schema, nodes=reader.nodes
    )


def _schemas(reader: RepositoryReader, *commits: Digest) -> Callable[[str], Schema]:
    """Schemas of columns by name; where samples conflict, both sides have one that reads both."""
    trees = [reader.commit_tree(commit) for commit in commits]
    for commit in commits:
        trees += [reader.commit_tree(parent) for parent in reader.commit(commit).parents]

    def find(column: str) -> Schema:
        return next(reader.schema(tree[column].schema) for tree in trees if column in tree)

    return find


def _commit(reader: RepositoryReader, revision: Revision) -> tuple[Digest, Commit]:
    digest = bytes(reader.resolve(plain_revision(revision)))
    return digest, reader.commit(digest)


def _mainline(number: Any) -> int:
    if number is None:
        return 0
    if isinstance(number, bool) or not isinstance(number, int):
        raise InvalidType(
            f"mainline= is the number of a parent, not {type(number).__name__}",
            code="mainline-type",
        )
    if number < 1:
        raise InvalidRequest("parents are numbered from 1 on", code="mainline")
    return number
