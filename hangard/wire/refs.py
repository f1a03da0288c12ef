"""Messages and requests about branches, tags and HEAD. ``user`` is who the reflog names."""

from __future__ import annotations

from typing import Annotated

import msgspec

from hangard.limits import MESSAGE_BYTES_MAX
from hangard.wire import protocol
from hangard.wire.messages import Digest32, Done, Name, SessionState
from hangard.wire.requests import Request, message_request

RevisionText = Annotated[str, msgspec.Meta(max_length=4096)]


class CreateBranch(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Create a branch at a commit (None: HEAD's commit, or an empty branch if there is none)."""

    name: Name
    commit: Digest32 | None = None
    user: Name = ""


class DeleteBranch(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Delete a branch; ``force`` although commits would be reached by no other ref."""

    name: Name
    force: bool = False
    user: Name = ""


class RenameBranch(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Give a branch another name."""

    old: Name
    new: Name
    user: Name = ""


class ResetBranch(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Move a branch to a commit, which ``revision`` named."""

    branch: Name
    commit: Digest32
    revision: RevisionText = ""
    user: Name = ""


class ResetSession(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Drop what a session has staged; with ``commit``, move its branch there, too."""

    session: Name
    commit: Digest32 | None = None
    revision: RevisionText = ""
    user: Name = ""


class SetHead(msgspec.Struct, frozen=True, kw_only=True):
    """Set HEAD to a branch."""

    branch: Name


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """The head of a branch; None before its first commit."""

    branch: str
    commit: Digest32 | None = None


class CreateTag(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Name a commit for good."""

    name: Name
    commit: Digest32
    tagger_name: Name
    tagger_email: Name
    message: Annotated[str, msgspec.Meta(max_length=MESSAGE_BYTES_MAX)] = ""


class DeleteTag(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Take a name from its commit."""

    name: Name
    user: Name = ""


class TagState(msgspec.Struct, frozen=True, kw_only=True):
    """A tag as it was made."""

    name: str
    commit: Digest32
    time_ns: int


def create_branch(name: str, commit: bytes | None, *, user: str) -> Request[Head]:
    message = CreateBranch(name=name, commit=commit, user=user)
    return message_request(protocol.BRANCH_CREATE, message, Head, idempotent=False)


def delete_branch(name: str, *, force: bool, user: str) -> Request[Head]:
    message = DeleteBranch(name=name, force=force, user=user)
    return message_request(protocol.BRANCH_DELETE, message, Head, idempotent=False)


def rename_branch(old: str, new: str, *, user: str) -> Request[Head]:
    message = RenameBranch(old=old, new=new, user=user)
    return message_request(protocol.BRANCH_RENAME, message, Head, idempotent=False)


def reset_branch(message: ResetBranch) -> Request[Head]:
    return message_request(protocol.BRANCH_RESET, message, Head)


def reset_session(message: ResetSession) -> Request[SessionState]:
    return message_request(protocol.SESSION_RESET, message, SessionState)


def set_head(branch: str) -> Request[Head]:
    return message_request(protocol.HEAD, SetHead(branch=branch), Head)


def create_tag(message: CreateTag) -> Request[TagState]:
    return message_request(protocol.TAG_CREATE, message, TagState, idempotent=False)


def delete_tag(name: str, *, user: str) -> Request[Done]:
    message = DeleteTag(name=name, user=user)
    return message_request(protocol.TAG_DELETE, message, Done, idempotent=False)
