"""A repository, synchronous. Control verbs are one line each over AsyncRepository."""

from __future__ import annotations

import atexit
import os
import weakref
from collections.abc import Coroutine
from typing import Any, TypeVar

from hangard.reading.differences import ColumnChanges
from hangard.wire.messages import SessionInfo
from hangard_client import starting
from hangard_client.async_checkouts import AsyncWriteCheckout
from hangard_client.async_repository import AsyncRepository
from hangard_client.checkouts import Checkout, WriteCheckout
from hangard_client.configuration import Configuration
from hangard_client.hangar_import.verbs import HangarImports
from hangard_client.history import Revision
from hangard_client.integrity import Integrity
from hangard_client.log import Log
from hangard_client.merging import Merging
from hangard_client.portal import Portal
from hangard_client.refs import Refs
from hangard_client.repacking import Repacking

T = TypeVar("T")


class Repository(Refs, Log, Integrity, Merging, Configuration, Repacking, HangarImports):
    """A repository. Reading touches files only; what writes or controls asks its daemon, which is
    started if there is none. Many threads may use it.

    ``create``  make the repository if there is none; ``branch`` names its first branch
    ``user_name``, ``user_email``  the author of commits; otherwise as hangard.config finds it
    ``idle_s``  a daemon that this client starts ends after so many seconds without a request
    ``shared_memory``  rows travel through windows, not in the bodies of requests

    Errors: NoRepository.
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
        self._inner = AsyncRepository(
            path,
            create=create,
            branch=branch,
            user_name=user_name,
            user_email=user_email,
            idle_s=idle_s,
            shared_memory=shared_memory,
        )
        self._portal = Portal()
        self._inner.use_start(self._portal.start)
        self.path = self._inner.path
        self._writing: weakref.WeakSet[WriteCheckout] = weakref.WeakSet()
        dropped = weakref.finalize(self, self._portal.abandon, self._inner.close_connections)
        dropped.atexit = False
        _living.add(self)

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
    ) -> Any:
        """Open a commit to read (a Checkout), or with ``write=True`` a session on a branch (a
        WriteCheckout).

        ``revision`` is a branch, tag, digest, the beginning of one, or ``main~2``; ``branch`` and
        ``commit`` say the same by kind. A session begins at its branch's head, or at ``commit``;
        ``session`` resumes one that was left, ``name`` gives it an id of your choice or resumes the
        one that has it. ``autocommit`` is the message of a commit at the end of the ``with`` block.
        ``exclusive`` keeps others from committing to the branch.

        Errors: UnknownRevision, UnknownSession, Busy, InvalidRequest.
        """
        opening = self._inner.checkout(
            revision,
            write=write,
            branch=branch,
            commit=commit,
            session=session,
            name=name,
            autocommit=autocommit,
            exclusive=exclusive,
        )
        if not write and session is None:
            return Checkout(self._inner.read_checkout(revision, branch, commit).origin)
        inner: AsyncWriteCheckout = self._portal.run(_opened(opening))
        checkout = WriteCheckout(inner, self._run)
        self._writing.add(checkout)
        return checkout

    def diff(self, before: Revision, after: Revision) -> list[ColumnChanges]:
        """The columns that differ between two revisions; ``samples()`` of each streams its keys.

        Errors: UnknownRevision.
        """
        return self._inner.read_diff(before, after)

    def join(self, session: str) -> WriteCheckout:
        """Write in a session that another process has open, and commits: as
        ``checkout(session=...)``, but the lease of an exclusive one stays with who holds it.

        Errors: UnknownSession.
        """
        checkout = WriteCheckout(self._portal.run(self._inner.join(session)), self._run)
        self._writing.add(checkout)
        return checkout

    def sessions(self) -> list[SessionInfo]:
        """All sessions, the oldest first."""
        return self._portal.run(self._inner.sessions())

    @property
    def created_version(self) -> str:
        """The version of hangard that made the repository; empty before that was recorded."""
        return self._inner.created_version

    def exclusive_session(self) -> SessionInfo | None:
        """The session whose client holds the exclusive lease; None, too, if no daemon runs."""
        return self._portal.run(self._inner.exclusive_session())

    def release_exclusive(self) -> SessionInfo | None:
        """End the exclusive lease whoever holds it, who is refused from then on; its session, with
        all that is staged in it. None if nobody held it."""
        return self._portal.run(self._inner.release_exclusive())

    def close_session(self, session: str) -> None:
        """End a session that nobody uses, and that holds no changes.

        Errors: UnknownSession; Busy (``session-in-use``); InvalidRequest (``session-changed``).
        """
        self._portal.run(self._inner.close_session(session))

    def abort_session(self, session: str) -> None:
        """Drop a session and everything staged in it. Errors: UnknownSession."""
        self._portal.run(self._inner.abort_session(session))

    def status(self) -> dict[str, Any]:
        """What the daemon tells of itself; starts it if there is none."""
        return self._portal.run(self._inner.status())

    def stop(self) -> bool:
        """End the daemon when its work is done; False if none runs."""
        return self._portal.run(self._inner.stop())

    def close(self) -> None:
        """Close checkouts, files and connections. May be called twice."""
        try:
            for checkout in list(self._writing) if self._portal.is_running else ():
                checkout.close()
        finally:
            if self._portal.is_running:
                self._portal.run(self._inner.close())
            self._portal.close()
        self._inner.close_files()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        # Checkouts hold this method, and so the repository, whose end is the connection's.
        return self._portal.run(work)

    def __enter__(self) -> Repository:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_living: weakref.WeakSet[Repository] = weakref.WeakSet()


def _close_all() -> None:
    """At the end of the interpreter: send what is buffered. A forked child has no portal."""
    for repository in list(_living):
        repository.close()


atexit.register(_close_all)


async def _opened(opening: Any) -> Any:
    return await opening
