"""A repository, for asyncio."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

from hangard.config import find_author
from hangard.errors import Closed, HangardError, InvalidRequest, NoRepository, UnknownRevision
from hangard.model.commit import Digest
from hangard.reading.checkout import TreeReader
from hangard.reading.differences import ColumnChanges
from hangard.reading.snapshot import RepositoryReader
from hangard.wire import leases, requests
from hangard.wire.endpoint import read_endpoint
from hangard.wire.messages import OpenSession, SessionInfo, SessionState
from hangard_client import starting
from hangard_client.async_checkouts import AsyncCheckout, AsyncWriteCheckout, Opening
from hangard_client.async_configuration import AsyncConfiguration
from hangard_client.async_integrity import AsyncIntegrity
from hangard_client.async_log import AsyncLog
from hangard_client.async_merging import AsyncMerging
from hangard_client.async_refs import AsyncRefs, system_user
from hangard_client.async_repacking import AsyncRepacking
from hangard_client.commit_arguments import checked_flag, checked_message
from hangard_client.connection import Connection, in_thread
from hangard_client.hangar_import.verbs import AsyncHangarImports
from hangard_client.history import Revision, plain_revision
from hangard_client.lease import Lease
from hangard_client.remote import LOCAL_FAILURES, RemoteSource, RemoteTree
from hangard_client.reopening import Origin
from hangard_client.sender import Sender
from hangard_client.staging import Start


class AsyncRepository(
    AsyncRefs,
    AsyncLog,
    AsyncIntegrity,
    AsyncMerging,
    AsyncConfiguration,
    AsyncRepacking,
    AsyncHangarImports,
):
    """A repository. Reading touches files only; what writes or controls asks its daemon, which is
    started if there is none.

    ``create``  make the repository if there is none; ``branch`` names its first branch
    ``user_name``, ``user_email``  the author of commits; otherwise as hangard.config finds it
    ``idle_s``  a daemon that this client starts ends after so many seconds without a request
    ``shared_memory``  rows travel through windows, not in the bodies of requests

    Use it on one event loop. Errors: NoRepository.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        create: bool = False,
        branch: str = "main",
        user_name: str | None = None,
        user_email: str | None = None,
        idle_s: float = starting.IDLE_S,
        shared_memory: bool = True,
    ) -> None:
        self.path = Path(path).absolute()
        self._author = user_name, user_email
        self._idle_s = idle_s
        self._remote: RemoteSource | None = None
        self._start: Start | None = None
        self._reader: RepositoryReader | None = None
        self._connection = Connection(self.path, idle_s=idle_s, shared_memory=shared_memory)
        try:
            self._reader = RepositoryReader(self.path)
        except NoRepository:
            if not create:
                raise
            starting.create(self.path, branch, idle_s=idle_s)
            self._reader = RepositoryReader(self.path)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {str(self.path)!r}>"

    def checkout(
        self,
        revision: Revision | None = None,
        *,
        write: bool = False,
        branch: str | None = None,
        commit: Revision | None = None,
        session: str | None = None,
        name: str | None = None,
        autocommit: str | None = None,
        exclusive: bool = False,
    ) -> Opening[Any]:
        """Open a commit to read, or with ``write=True`` a session on a branch.

        ``revision`` is a branch, tag, digest, the beginning of one, or ``main~2``; ``branch`` and
        ``commit`` say the same by kind. A session begins at its branch's head, or at ``commit``;
        ``session`` resumes one that was left, ``name`` gives it an id of your choice or resumes the
        one that has it. ``autocommit`` is the message of a commit at the end of the ``with`` block.
        ``exclusive`` keeps others from committing to the branch.

        Errors: UnknownRevision, UnknownSession, Busy, InvalidRequest.
        """
        checked_flag(write, "write")
        checked_flag(exclusive, "exclusive")
        if autocommit is not None:
            checked_message(autocommit, "autocommit")
        if write or session is not None:
            return Opening(
                lambda: self._open_writer(
                    revision, branch, commit, session, name, autocommit, exclusive
                )
            )
        if autocommit is not None or exclusive:
            raise InvalidRequest("autocommit= and exclusive= need write=True", code="read-checkout")
        return Opening(lambda: self._open_reader(revision, branch, commit))

    async def diff(self, before: Revision, after: Revision) -> list[ColumnChanges]:
        """The columns that differ between two revisions; ``samples()`` of each streams its keys.

        Errors: UnknownRevision.
        """
        return self.read_diff(before, after)

    async def join(self, session: str) -> AsyncWriteCheckout:
        """Write in a session that another process has open, and commits: as
        ``checkout(session=...)``, but the lease of an exclusive one stays with who holds it.

        Errors: UnknownSession.
        """
        state = await self._connection.send(requests.resume_session(session))
        return self._write_checkout(state, True, None, None)

    async def sessions(self) -> list[SessionInfo]:
        """All sessions, the oldest first."""
        return list((await self._connection.send(requests.sessions())).sessions)

    @property
    def created_version(self) -> str:
        """The version of hangard that made the repository; empty before that was recorded."""
        return self.reader().created_version()

    async def exclusive_session(self) -> SessionInfo | None:
        """The session whose client holds the exclusive lease; None, too, if no daemon runs."""
        if await in_thread(starting.find_endpoint, self.path) is None:
            return None
        return (await self._connection.send(leases.find_holder())).session

    async def release_exclusive(self) -> SessionInfo | None:
        """End the exclusive lease whoever holds it, who is refused from then on; its session, with
        all that is staged in it. None if nobody held it."""
        if await in_thread(starting.find_endpoint, self.path) is None:
            return None
        return (await self._connection.send(leases.take_lease())).session

    async def close_session(self, session: str) -> None:
        """End a session that nobody uses, and that holds no changes.

        Errors: UnknownSession; Busy (``session-in-use``); InvalidRequest (``session-changed``).
        """
        request = requests.close_session(session, abort=False, unattached=True)
        await self._connection.send(request)

    async def abort_session(self, session: str) -> None:
        """Drop a session and everything staged in it. Errors: UnknownSession."""
        await self._connection.send(requests.close_session(session, abort=True))

    async def status(self) -> dict[str, Any]:
        """What the daemon tells of itself; starts it if there is none."""
        return await self._connection.send(requests.status())

    async def stop(self) -> bool:
        """End the daemon when its work is done; False if none runs."""
        endpoint = await in_thread(starting.find_endpoint, self.path)
        if endpoint is None:
            return False
        process = starting.open_process(endpoint.pid)
        await self._connection.send(requests.stop())
        if process is not None:
            await in_thread(starting.wait_for_end, process)
        return True

    async def close(self) -> None:
        """Close files and connections; checkouts should be closed first. May be called twice."""
        await self.close_connections()
        self.close_files()

    async def __aenter__(self) -> AsyncRepository:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # Local reads, which the synchronous client uses without a hop to the loop.

    def reader(self) -> RepositoryReader:
        """Errors: Closed."""
        if self._reader is None:
            raise Closed("the repository object is closed; open it again", code="client-closed")
        return self._reader

    async def close_connections(self) -> None:
        """What is left to do for a repository that was dropped; its checkouts may read on."""
        await self._connection.close()

    def close_files(self) -> None:
        remote, self._remote = self._remote, None
        if remote is not None:
            remote.close()
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    def read_diff(self, before: Revision, after: Revision) -> list[ColumnChanges]:
        return list(self.reader().diff(plain_revision(before), plain_revision(after)))

    def read_checkout(
        self, revision: Revision | None, branch: str | None, commit: Revision | None
    ) -> AsyncCheckout:
        reader = self.reader()
        given = [plain_revision(value) for value in (revision, branch, commit) if value is not None]
        if len(given) > 1:
            raise InvalidRequest(
                "give one of revision, branch and commit", code="several-revisions"
            )
        try:
            return self._read_local(reader, given, branch, commit)
        except HangardError as error:
            if error.code not in LOCAL_FAILURES or not given:
                raise
        if self._remote is None:
            self._remote = RemoteSource(Connection(self.path, idle_s=self._idle_s))
        return self._opened(RemoteTree(self._remote, given[0]))

    def _read_local(
        self,
        reader: RepositoryReader,
        given: list[str | bytes],
        branch: str | None,
        commit: Revision | None,
    ) -> AsyncCheckout:
        name = branch if branch is not None else given[0] if given else self._only_branch()
        if commit is None and isinstance(name, str) and (branch or name in reader.branches()):
            return self._opened(reader.checkout_commit(reader.branch(name)))
        return self._opened(reader.checkout(name))

    def read_tree(self, commit: Digest | None) -> TreeReader | RemoteTree:
        """The columns of a commit, or None: of a branch before its first."""
        if commit is None:
            return self.reader().checkout_commit(None)
        return self.read_checkout(None, None, commit).origin.tree

    def _opened(self, tree: TreeReader | RemoteTree) -> AsyncCheckout:
        return AsyncCheckout(Origin(self.path, tree.commit, tree))

    def use_start(self, start: Start) -> None:
        """Post batches through another thread's loop (the synchronous client's)."""
        self._start = start

    async def _open_reader(
        self, revision: Revision | None, branch: str | None, commit: Revision | None
    ) -> AsyncCheckout:
        return self.read_checkout(revision, branch, commit)

    async def _open_writer(
        self,
        revision: Revision | None,
        branch: str | None,
        commit: Revision | None,
        session: str | None,
        name: str | None,
        autocommit: str | None,
        exclusive: bool,
    ) -> AsyncWriteCheckout:
        if session is not None:
            if revision is not None or branch is not None or commit is not None or exclusive:
                raise InvalidRequest(
                    "a session that is resumed has its branch already", code="several-revisions"
                )
            state = await self._connection.send(requests.resume_session(session))
        else:
            message = OpenSession(
                name=name or "",
                branch=branch if branch is not None else self._branch_name(revision),
                commit=self._resolved(commit) if commit is not None else None,
                exclusive=exclusive,
                user=system_user(),
                pid=os.getpid(),
            )
            state = await self._connection.send(requests.open_session(message))
        lease = await self._hold_lease(state.info.id) if state.info.exclusive else None
        resumed = session is not None or name is not None
        return self._write_checkout(state, resumed, autocommit, lease)

    def _write_checkout(
        self, state: SessionState, resumed: bool, autocommit: str | None, lease: Lease | None
    ) -> AsyncWriteCheckout:
        return AsyncWriteCheckout(
            self.reader(),
            Sender(self._connection, state),
            self._start or asyncio.get_running_loop().create_task,
            self._find_author,
            resumed=resumed,
            autocommit=autocommit,
            lease=lease,
            column_defaults=self.column_defaults,
        )

    def _branch_name(self, revision: Revision | None) -> str:
        if revision is None:
            return self._only_branch()
        branches = self.reader().branches()
        if revision in ("HEAD", "@"):
            return self.reader().head()
        if isinstance(revision, str) and revision not in branches:
            full = revision.removeprefix("heads/")
            revision = full if full in branches else revision
        if not isinstance(revision, str) or revision not in branches:
            raise UnknownRevision(
                f"a session needs a branch, and {str(revision)[:80]!r} is none; commit= names"
                " where it begins",
                code="unknown-branch",
                revision=str(revision),
            )
        return revision

    async def _hold_lease(self, session: str) -> Lease:
        lease = Lease(self._connection, session)
        await lease.hold()
        return lease

    def _find_author(self) -> tuple[str, str]:
        endpoint = read_endpoint(self.path)
        daemon = endpoint.config if endpoint is not None else None
        return find_author(*self._author, repository=self.reader().config(), daemon=daemon)
