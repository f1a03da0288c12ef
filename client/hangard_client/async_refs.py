"""Branches, tags and HEAD, for asyncio."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable
from itertools import islice

from hangard.errors import HangardError, InvalidRequest
from hangard.limits import KEY_TEXT_BYTES_MAX
from hangard.reading.snapshot import RepositoryReader
from hangard.wire import refs
from hangard_client.commit_arguments import checked_message
from hangard_client.connection import Connection
from hangard_client.history import CommitDigest, Revision, Tag, plain_revision

BRANCHES_SHOWN_MAX = 10  # that an error names


class AsyncRefs:
    """What AsyncRepository can do with branches, tags and HEAD."""

    _connection: Connection
    reader: Callable[[], RepositoryReader]
    _find_author: Callable[[], tuple[str, str]]

    async def branches(self) -> dict[str, CommitDigest | None]:
        """Heads by name; None for a branch without a commit."""
        return self.read_branches()

    async def create_branch(
        self, name: str, revision: Revision | None = None
    ) -> CommitDigest | None:
        """Create a branch at a revision (default: the head of HEAD's branch); its digest.

        Errors: AlreadyExists, InvalidRequest, UnknownRevision.
        """
        digest = self._resolved(revision) if revision is not None else None
        head = await self._connection.send(refs.create_branch(name, digest, user=self._actor()))
        return CommitDigest.or_none(head.commit)

    async def delete_branch(self, name: str, *, force: bool = False) -> CommitDigest | None:
        """Delete a branch; the digest that its head had.

        Errors: UnknownRevision; InvalidRequest if it is HEAD's or the last, or, without
        ``force``, if it holds commits that no other branch and no tag has; Busy if a session
        writes it exclusively.
        """
        request = refs.delete_branch(name, force=force, user=self._actor())
        return CommitDigest.or_none((await self._connection.send(request)).commit)

    async def rename_branch(self, old: str, new: str) -> CommitDigest | None:
        """Give a branch another name; the digest of its head. HEAD, its sessions and its reflog
        follow.

        Errors: UnknownRevision, AlreadyExists, InvalidRequest; Busy if a session writes it
        exclusively.
        """
        request = refs.rename_branch(old, new, user=self._actor())
        return CommitDigest.or_none((await self._connection.send(request)).commit)

    async def reset(self, branch: str, revision: Revision) -> CommitDigest:
        """Move a branch to a revision; its digest. The reflog keeps where it was (``main@{1}``).

        Sessions on the branch keep what they have staged, and commit it on top of where the branch
        is then. Errors: UnknownRevision; Busy if a session writes it exclusively.
        """
        message = refs.ResetBranch(
            branch=branch,
            commit=self._resolved(revision),
            revision=revision_text(revision),
            user=self._actor(),
        )
        head = await self._connection.send(refs.reset_branch(message))
        assert head.commit is not None
        return CommitDigest(head.commit)

    async def head(self) -> str:
        """The branch that HEAD names; checkouts do not read it."""
        return self.reader().head()

    async def set_head(self, branch: str) -> None:
        """Point HEAD at a branch. Errors: UnknownRevision."""
        await self._connection.send(refs.set_head(branch))

    async def tags(self) -> dict[str, CommitDigest]:
        """Commits by the names of their tags."""
        return self.read_tags()

    async def tag(self, name: str) -> Tag:
        """A tag with who made it, when and why. Errors: UnknownRevision."""
        return self.read_tag(name)

    async def create_tag(
        self, name: str, revision: Revision | None = None, *, message: str = ""
    ) -> Tag:
        """Name a revision (default: the head of HEAD's branch) for good.

        The tagger is found as a commit's author is. Errors: AlreadyExists (a tag is never moved:
        delete it first), InvalidRequest, UnknownRevision.
        """
        if message != "":
            checked_message(message)
        tagger_name, tagger_email = self._find_author()
        request = refs.CreateTag(
            name=name,
            commit=self._resolved(revision if revision is not None else "HEAD"),
            tagger_name=tagger_name,
            tagger_email=tagger_email,
            message=message,
        )
        await self._connection.send(refs.create_tag(request))
        return self.read_tag(name)

    async def delete_tag(self, name: str) -> CommitDigest:
        """Take a name from its commit; that commit's digest. Errors: UnknownRevision."""
        tag = self.read_tag(name)
        await self._connection.send(refs.delete_tag(name, user=self._actor()))
        return tag.commit

    # Local reads, which the synchronous client uses without a hop to the loop.

    def read_branches(self) -> dict[str, CommitDigest | None]:
        heads = self.reader().branches()
        return {name: CommitDigest.or_none(digest) for name, digest in heads.items()}

    def read_tags(self) -> dict[str, CommitDigest]:
        return {name: CommitDigest(digest) for name, digest in self.reader().tags().items()}

    def read_tag(self, name: str) -> Tag:
        reader = self.reader()
        return Tag.of(name, reader.tag(name), reader.resolve(f"tags/{name}"))

    def _resolved(self, revision: Revision) -> bytes:
        """Errors: UnknownRevision."""
        return bytes(self.reader().resolve(plain_revision(revision)))

    def _only_branch(self) -> str:
        branches = self.reader().branches()
        if len(branches) != 1:
            shown = ", ".join(islice(branches, BRANCHES_SHOWN_MAX))
            more = len(branches) - BRANCHES_SHOWN_MAX
            raise InvalidRequest(
                "name a branch or another revision, since there are several branches:"
                f" {shown}{f' and {more} more' if more > 0 else ''}",
                code="no-revision",
            )
        return next(iter(branches))

    def _actor(self) -> str:
        """Who the reflog names: the author of commits, or who the system says."""
        try:
            name, email = self._find_author()
        except HangardError:
            return system_user()
        return f"{name} <{email}>"[:KEY_TEXT_BYTES_MAX]


def revision_text(revision: Revision) -> str:
    """A revision as the reflog tells it."""
    plain = plain_revision(revision)
    return plain.hex() if isinstance(plain, bytes) else plain


def system_user() -> str:
    """The name of the user that this process runs as."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
