"""What a write checkout does about its branch's other commits, for asyncio: its own differences,
conflicts that a callback settles, merges that it goes on from."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from hangard.encoding.objects import encode_schema, schema_digest
from hangard.errors import Busy, Conflict, HeadMoved, UnknownKey
from hangard.model.commit import ColumnEntry, Digest
from hangard.model.keys import encode_keys
from hangard.model.schema import Schema
from hangard.reading.differences import ColumnChanges
from hangard.reading.snapshot import RepositoryReader
from hangard.tree.edit import edit
from hangard.tree.store import EMPTY_ROOT, MemoryNodes
from hangard.wire import merging
from hangard.wire.merging import MergeRequest, MergeResult
from hangard.wire.messages import Choice, CommitResult, SchemaMessage, StagedColumn
from hangard_client.async_merging import FastForward, carry_out, merge_request, with_author
from hangard_client.clashes import Clash, Decide
from hangard_client.commit_arguments import Strategy
from hangard_client.deciding import decide_all
from hangard_client.history import Revision
from hangard_client.merge_report import MergeReport
from hangard_client.overlay import Overlay
from hangard_client.sender import Sender
from hangard_client.staging import Staging

ROUNDS_MAX = 1000  # each settles CONFLICT_KEYS_MAX keys, or finds that the branch moved

CommitOnce = Callable[[tuple[Choice, ...] | None, Digest | None], Awaitable[CommitResult]]


class AsyncSessionMerging:
    """What AsyncWriteCheckout can do about other commits of its branch."""

    _branch: str
    _reader: RepositoryReader
    _sender: Sender
    _staging: Staging
    _base: Digest | None
    _overlays: dict[str, Overlay]
    _find_author: Callable[[], tuple[str, str]]
    _forget_column: Callable[[str], None]
    _set_base: Callable[[Digest | None], None]

    @property
    @abstractmethod
    def branch(self) -> str:
        """The branch that commits go to."""

    @property
    @abstractmethod
    def session(self) -> str:
        """The session's id."""

    async def merge(
        self,
        revision: Revision,
        message: str | None = None,
        *,
        metadata: Mapping[str, str] | None = None,
        strategy: Strategy = None,
        ff: FastForward = "auto",
        dry_run: bool = False,
        allow_empty_message: bool = False,
    ) -> MergeReport:
        """Merge a revision into this checkout's branch, and go on from the result.

        As the repository's ``merge``; the session must have nothing staged.
        Errors: also InvalidRequest (``session-changed``).
        """
        self._staging.enqueue_all()
        await self._sender.flush()
        request = merge_request(
            self._reader,
            revision,
            self.branch,
            message,
            metadata,
            ff,
            dry_run=dry_run,
            allow_empty_message=allow_empty_message,
            session=self.session,
        )

        async def send(wanted: MergeRequest) -> MergeResult:
            async def attempt() -> MergeResult:
                # Within: a session that is resumed has another stream.
                numbered = msgspec.structs.replace(wanted, last_sequence=self._sender.last_sequence)
                return await self._sender.connection.send(merging.merge(numbered))

            return await self._sender.ask(attempt)

        request = with_author(request, self._find_author)
        result = await carry_out(send, self._reader, request, strategy)
        self._branch = result.branch  # it may have been renamed
        if result.state is not None and not dry_run:
            for name in self._staging.take_columns(result.state.columns):
                self._forget_column(name)
            self._set_base(result.state.info.base)
        return MergeReport.of(result)

    def _follow(self, commit: Digest) -> None:
        """A commit was put on top of others: take the columns that these brought, took away or
        gave other data."""
        before = self._reader.commit_tree(self._base) if self._base else {}
        after = self._reader.commit_tree(commit)
        columns = {
            name: column
            for name, column in self._staging.described().items()
            if name in after or name not in before  # then it was added behind the commit
        }
        for name, entry in after.items():
            if name not in columns or before.get(name) != entry:
                schema = SchemaMessage.of(self._reader.schema(entry.schema))
                columns[name] = StagedColumn(schema, changed=False)
        for name in self._staging.take_columns(columns):
            self._forget_column(name)

    async def diff(self) -> list[ColumnChanges]:
        """What is staged in the session, against the commit it goes on from; ``samples()`` of each
        column streams its keys. All that is buffered is sent first."""
        self._staging.enqueue_all()
        await self._sender.flush()
        base = self._reader.commit_tree(self._base) if self._base else {}
        nodes = MemoryNodes(self._reader.nodes)
        result = []
        for name in sorted({*base, *self._staging.names}):
            before, after, schema = base.get(name), None, None
            if name in self._staging.names:
                schema = self._staging.schema(name)
                kept = before is not None and not self._staging.is_reset(name)
                root = before.root if before is not None and kept else EMPTY_ROOT
                changes = await self._overlay(name).staged_changes()
                if len(changes[1]):
                    root = edit(nodes, root, *changes)
                after = ColumnEntry(schema_digest(encode_schema(schema)), root)
            if before != after:
                known = self._reader.schema(before.schema) if before is not None else None
                result.append(ColumnChanges(name, known, schema, before, after, nodes))
        return result

    async def _commit_deciding(self, decide: Decide, commit: CommitOnce) -> CommitResult:
        """Commit, and ask ``decide`` about what conflicts, until nothing does."""
        choices: tuple[Choice, ...] = ()
        head: Digest | None = None
        for _ in range(ROUNDS_MAX):
            try:
                return await commit(choices or None, head)
            except HeadMoved:
                choices, head = (), None
            except Conflict as error:
                if error.code != "commit-conflict":
                    raise
                if error.details["head"] != head:
                    choices = ()
                head = error.details["head"]
                clashes = [clash async for clash in self._clashes(error.details)]
                choices += await decide_all(decide, clashes)
        raise Busy(
            f"branch {self.branch!r} moved each time while its conflicts were decided",
            code="branch-keeps-moving",
        )

    async def _clashes(self, details: Mapping[str, Any]) -> Any:
        """The conflicts that a commit was refused with, with the samples of their sides."""
        with (
            self._reader.checkout_commit(details["base"]) as base,
            self._reader.checkout_commit(details["head"]) as theirs,
        ):
            for (column, key), kind in zip(details["keys"], details["kinds"], strict=True):
                if key is None:
                    ours = self._staging.schema(column) if column in self._staging.names else None
                    sides = [_schema(base, column), ours, _schema(theirs, column)]
                else:
                    key = tuple(key) if isinstance(key, list) else key
                    packed = encode_keys([key])
                    sides = [
                        _sample(base, column, packed),
                        await self._own_sample(column, packed),
                        _sample(theirs, column, packed),
                    ]
                yield Clash(column, key, kind, *sides)

    async def _own_sample(self, column: str, packed: Any) -> Any:
        try:
            return (await self._overlay(column).get_many(packed, None))[0]
        except UnknownKey:
            return None

    def _overlay(self, name: str) -> Overlay:
        self[name]  # type: ignore[index]
        return self._overlays[name]


def _schema(tree: Any, column: str) -> Schema | None:
    return tree[column].schema if column in tree else None


def _sample(tree: Any, column: str, packed: Any) -> Any:
    if column not in tree:
        return None
    digests, found = tree[column].find_digests(*packed)
    return tree[column].read_digests(digests)[0] if found[0] else None
