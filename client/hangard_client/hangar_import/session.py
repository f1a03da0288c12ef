"""A session that an import stages in: it stands on any commit, and makes commits that no branch is
moved for."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Iterable
from typing import Any, Literal

from hangard.limits import KEY_TEXT_BYTES_MAX, MESSAGE_BYTES_MAX
from hangard.model.commit import Author, Digest
from hangard.model.keys import Key, encode_key, encode_keys
from hangard.model.schema import Schema
from hangard.wire import requests
from hangard.wire.messages import (
    ColumnRequest,
    CommitRequest,
    Detached,
    OpenSession,
    SchemaMessage,
)
from hangard_client.connection import Connection, in_thread
from hangard_client.history import CommitDigest
from hangard_client.ragged_buffers import checked_batch
from hangard_client.sender import Sender
from hangard_client.staging import Staging


class ImportSession:
    """``base`` is the commit it stands on: the last one that it made."""

    @classmethod
    async def open(
        cls, connection: Connection, base: Digest | None, *, branch: str
    ) -> ImportSession:
        """A session on ``base`` (None: on no commit). ``branch`` exists, and stays as it is."""
        message = OpenSession(commit=base, orphan=base is None, branch=branch, pid=os.getpid())
        state = await connection.send(requests.open_session(message))
        return cls(connection, Sender(connection, state), base)

    def __init__(self, connection: Connection, sender: Sender, base: Digest | None) -> None:
        self.base = base
        self._connection = connection
        self._sender = sender
        self._staging = Staging(sender, asyncio.get_running_loop().create_task)

    async def change_column(
        self, kind: Literal["add", "remove", "change"], name: str, schema: Schema | None = None
    ) -> None:
        """Behind all that was put before. Errors: as the daemon's."""
        self._staging.enqueue_all()
        message = ColumnRequest(
            kind=kind,
            session=self._sender.session,
            column=name,
            schema=SchemaMessage.of(schema) if schema is not None else None,
        )
        request = requests.change_column(message)
        state = await self._sender.ask(lambda: self._connection.send(request))
        self._staging.take_column(name, state.column)

    async def put(self, name: str, keys: list[Key], values: Any) -> None:
        """Stage samples; they may be on their way still. Errors: what failed of earlier ones."""
        schema = self._staging.schema(name)
        packed = encode_keys(keys, schema.layout == "nested")
        rows = await in_thread(checked_batch, name, schema, values, len(keys))
        self._staging.put_many(self._staging.buffer(name), packed, rows)
        await self._wait()

    async def delete(self, name: str, keys: Iterable[Key]) -> None:
        """Stage deletions; as ``put``."""
        nested = self._staging.schema(name).layout == "nested"
        buffer = self._staging.buffer(name)
        for key in keys:
            if self._staging.delete(buffer, encode_key(key, nested)):
                await self._wait()

    async def commit(
        self,
        message: str,
        author: Author,
        time_ns: int,
        parents: tuple[Digest, ...],
        metadata: dict[str, str],
        names: tuple[str, ...] = (),
    ) -> CommitDigest:
        """Commit all that was put; what is longer than ours may be is cut."""
        request = CommitRequest(
            session=self._sender.session,
            command_id=secrets.token_bytes(16),
            message=message[:MESSAGE_BYTES_MAX],
            author_name=author.name[:KEY_TEXT_BYTES_MAX],
            author_email=author.email[:KEY_TEXT_BYTES_MAX],
            metadata=tuple(sorted(metadata.items())),
            allow_empty_message=True,
            detached=Detached(parents=parents, time_ns=time_ns, names=names),
        )
        result = await self._staging.commit(request)
        self.base = result.digest
        return CommitDigest(result.digest)

    async def abort(self) -> None:
        """End it; what it made stays."""
        self._staging.close()
        await self._connection.send(requests.close_session(self._sender.session, abort=True))

    async def _wait(self) -> None:
        """While too much is under way."""
        while (post := self._staging.oldest_post()) is not None:
            await asyncio.wait([post])  # type: ignore[type-var]
        self._staging.check()
