"""Branches, tags and HEAD of a repository: created, moved, renamed, deleted."""

from __future__ import annotations

import secrets
from typing import Any

from hangard.db.environment import WritableEnvironment
from hangard.db.writer import Writer
from hangard.encoding.records import TAGS
from hangard.errors import InvalidRequest, UnknownRevision
from hangard.model.commit import Author, Digest, Tag
from hangard.model.names import check_ref_name
from hangard.reading.ancestry import is_ancestor
from hangard.repository.branches import CreateBranch, DeleteBranch, SetHead, check_commit
from hangard.repository.clock import Clock
from hangard.repository.committing import Group, Heads
from hangard.repository.objects import Objects
from hangard.repository.publishing import Publication, Publisher
from hangard.repository.renaming import RenameBranch
from hangard.repository.resetting import RESET_TO, ResetSession
from hangard.repository.session_registry import SessionRegistry
from hangard.repository.tags import CreateTag, DeleteTag


class Refs:
    """Each change survives a power cut when it returns, and has its entry in the reflog.

    ``user`` is who the reflog names. Thread-safe.
    """

    def __init__(
        self,
        env: WritableEnvironment,
        writer: Writer,
        clock: Clock,
        *,
        objects: Objects,
        heads: Heads,
        sessions: SessionRegistry,
        publisher: Publisher,
    ) -> None:
        self._env = env
        self._writer = writer
        self._clock = clock
        self._objects = objects
        self._heads = heads
        self._sessions = sessions
        self._publisher = publisher

    def head(self) -> str:
        """The branch that HEAD names."""
        with self._env.read() as tables:
            return tables.head()

    def set_head(self, name: str) -> None:
        """Point HEAD at a branch. Errors: UnknownRevision."""
        self._run(SetHead(name))

    def create_branch(self, name: str, commit: Digest | None = None, *, user: str = "") -> Digest:
        """Create a branch at a commit (default: the head of HEAD's branch); the commit's digest.

        Errors: InvalidRequest (``invalid-name``), AlreadyExists, UnknownRevision.
        """
        check_ref_name(name)
        start = commit if commit is not None else self._heads.get(self.head()) or b""
        result: Digest = self._run(CreateBranch(name, start, self._clock.now_ns(), user))
        return result

    def delete_branch(self, name: str, *, force: bool = False, user: str = "") -> Digest:
        """Delete a branch; the digest its head had (b"" if it had no commit).

        Errors: UnknownRevision; InvalidRequest (``branch-is-head``, ``last-branch``,
        ``branch-not-merged`` unless ``force``: no other branch and no tag has its commits); Busy
        (``exclusive-session``).
        """
        heads = dict(self._heads)
        if name not in heads:
            raise UnknownRevision(f"there is no branch {name!r}", code="unknown-branch")
        if len(heads) == 1:
            raise InvalidRequest(f"{name!r} is the only branch", code="last-branch")
        self._sessions.check_lease(None, name)
        head = heads.pop(name)
        if head and not force:
            with self._env.read() as tables:
                tagged = [digest for _, digest in tables.refs(TAGS)]
            named = [digest for digest in [*heads.values(), *tagged] if digest]
            if not is_ancestor(self._objects.commit, head, named):
                raise InvalidRequest(
                    f"branch {name!r} holds commits that no other branch and no tag has; force"
                    " deletes it",
                    code="branch-not-merged",
                )
        result: Digest = self._run(DeleteBranch(name, head or b"", self._clock.now_ns(), user))
        return result

    def rename_branch(self, old: str, new: str, *, user: str = "") -> Digest:
        """Give a branch another name; the digest of its head. HEAD and its sessions follow.

        Errors: InvalidRequest (``invalid-name``), UnknownRevision, AlreadyExists; Busy
        (``exclusive-session``).
        """
        check_ref_name(new)
        self._sessions.check_lease(None, old)
        operation = RenameBranch(
            old,
            new,
            time_ns=self._clock.now_ns(),
            user=user,
            sessions=self._sessions.on_branch,
        )
        result: Digest = self._run(operation)
        return result

    def reset_branch(self, name: str, commit: Digest, revision: str, *, user: str = "") -> Digest:
        """Move a branch to a commit that exists, which ``revision`` named; the digest.

        Errors: UnknownRevision; Busy (``exclusive-session``).
        """

        with self._env.read() as tables:
            check_commit(tables, commit)

        def plan(head: Digest | None, group: Group) -> Publication:
            return Publication(head, commit)

        return self._publisher.publish(
            name,
            plan,
            command_id=secrets.token_bytes(16),
            action=RESET_TO + revision,
            user=user,
        ).digest

    def reset_session(
        self, identity: str, commit: Digest | None = None, revision: str = "", *, user: str = ""
    ) -> Digest | None:
        """Drop what a session has staged; with ``commit`` move its branch there, too.

        It goes on from its base, or from that commit: the digest. Errors: UnknownSession; Closed;
        UnknownRevision; Busy (``exclusive-session``).
        """
        session = self._sessions.get(identity)
        with session.committing:
            if commit is not None:
                self._sessions.check_lease(identity, session.branch)
                with self._env.read() as tables:
                    check_commit(tables, commit)
            operation = ResetSession(
                session,
                commit,
                name=revision,
                user=user,
                time_ns=self._clock.now_ns(),
                objects=self._objects,
            )
            result: Digest | None = self._run(operation)
            return result

    def create_tag(self, name: str, commit: Digest, tagger: Author, message: str = "") -> Tag:
        """Name a commit for good.

        Errors: InvalidRequest (``invalid-name``), AlreadyExists (``tag-exists``), UnknownRevision.
        """
        tag = Tag(commit, check_ref_name(name), tagger, message, self._clock.now_ns())
        self._run(CreateTag(tag))
        return tag

    def delete_tag(self, name: str, *, user: str = "") -> Digest:
        """Take a name from its commit; the commit's digest. Errors: UnknownRevision."""
        result: Digest = self._run(DeleteTag(name, self._clock.now_ns(), user))
        return result

    def _run(self, operation: Any) -> Any:
        return self._writer.run(operation)
