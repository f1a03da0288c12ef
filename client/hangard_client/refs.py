"""Branches, tags and HEAD, synchronous."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hangard_client.history import CommitDigest, Revision, Tag
from hangard_client.portal import Portal

if TYPE_CHECKING:
    from hangard_client.async_repository import AsyncRepository


class Refs:
    """What Repository can do with branches, tags and HEAD."""

    _inner: AsyncRepository
    _portal: Portal

    def branches(self) -> dict[str, CommitDigest | None]:
        """Heads by name; None for a branch without a commit."""
        return self._inner.read_branches()

    def create_branch(self, name: str, revision: Revision | None = None) -> CommitDigest | None:
        """Create a branch at a revision (default: the head of HEAD's branch); its digest.

        Errors: AlreadyExists, InvalidRequest, UnknownRevision.
        """
        return self._portal.run(self._inner.create_branch(name, revision))

    def delete_branch(self, name: str, *, force: bool = False) -> CommitDigest | None:
        """Delete a branch; the digest that its head had.

        Errors: UnknownRevision; InvalidRequest if it is HEAD's or the last, or, without
        ``force``, if it holds commits that no other branch and no tag has; Busy if a session
        writes it exclusively.
        """
        return self._portal.run(self._inner.delete_branch(name, force=force))

    def rename_branch(self, old: str, new: str) -> CommitDigest | None:
        """Give a branch another name; the digest of its head. HEAD, its sessions and its reflog
        follow.

        Errors: UnknownRevision, AlreadyExists, InvalidRequest; Busy if a session writes it
        exclusively.
        """
        return self._portal.run(self._inner.rename_branch(old, new))

    def reset(self, branch: str, revision: Revision) -> CommitDigest:
        """Move a branch to a revision; its digest. The reflog keeps where it was (``main@{1}``).

        Sessions on the branch keep what they have staged, and commit it on top of where the branch
        is then. Errors: UnknownRevision; Busy if a session writes it exclusively.
        """
        return self._portal.run(self._inner.reset(branch, revision))

    def head(self) -> str:
        """The branch that HEAD names; checkouts do not read it."""
        return self._inner.reader().head()

    def set_head(self, branch: str) -> None:
        """Point HEAD at a branch. Errors: UnknownRevision."""
        self._portal.run(self._inner.set_head(branch))

    def tags(self) -> dict[str, CommitDigest]:
        """Commits by the names of their tags."""
        return self._inner.read_tags()

    def tag(self, name: str) -> Tag:
        """A tag with who made it, when and why. Errors: UnknownRevision."""
        return self._inner.read_tag(name)

    def create_tag(self, name: str, revision: Revision | None = None, *, message: str = "") -> Tag:
        """Name a revision (default: the head of HEAD's branch) for good.

        The tagger is found as a commit's author is. Errors: AlreadyExists (a tag is never moved:
        delete it first), InvalidRequest, UnknownRevision.
        """
        return self._portal.run(self._inner.create_tag(name, revision, message=message))

    def delete_tag(self, name: str) -> CommitDigest:
        """Take a name from its commit; that commit's digest. Errors: UnknownRevision."""
        return self._portal.run(self._inner.delete_tag(name))
