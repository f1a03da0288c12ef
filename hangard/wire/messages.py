"""The messages of the protocol: msgspec structs, sent as msgpack.

Keys are encoded keys (bytes, see ``hangard_ext.treenode``), digests 32 bytes, times seconds since
the epoch unless a name says otherwise. A receiver ignores fields it does not know, so fields may
be added with a default, and never change their meaning.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from hangard.limits import KEY_TEXT_BYTES_MAX, MESSAGE_BYTES_MAX
from hangard.model.schema import Kind, Layout, Schema

Side = Literal["ours", "theirs"]
Name = Annotated[str, msgspec.Meta(max_length=KEY_TEXT_BYTES_MAX)]
Digest32 = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
Bytes16 = Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
Count = Annotated[int, msgspec.Meta(ge=0)]


class Choice(msgspec.Struct, frozen=True, array_like=True):
    """How one conflict is settled. ``key`` is an encoded key, or empty for the column itself."""

    column: str
    key: bytes
    side: Side


class CommitRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Commit what a session has staged.

    ``command_id``     chosen by the client; a repeated id returns the first answer
    ``last_sequence``  the commit must contain every change up to this number; 0: none was sent
    ``epoch``          the daemon's life in which those changes were accepted; empty: none was sent
    ``strategy``       ours = the session's side, theirs = the branch's new head; or single choices
    """

    session: str
    command_id: Bytes16
    message: Annotated[str, msgspec.Meta(max_length=MESSAGE_BYTES_MAX)]
    author_name: Name
    author_email: Name
    metadata: tuple[tuple[str, str], ...] = ()
    last_sequence: Count = 0
    epoch: bytes = b""
    strategy: Side | tuple[Choice, ...] | None = None
    allow_empty: bool = False


class CommitResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a commit did. ``parent`` is None for the first commit of a branch."""

    digest: Digest32
    branch: str
    parent: Digest32 | None = None
    rebased: bool = False


class SessionInfo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One session as ``sessions`` lists it. ``staged`` counts staged changes, all columns."""

    id: str
    branch: str
    base: Digest32 | None = None
    next_sequence: int = 1
    staged: int = 0
    exclusive: bool = False
    user: str = ""
    pid: int = 0
    opened_s: float = 0.0
    used_s: float = 0.0


class SchemaMessage(msgspec.Struct, frozen=True, array_like=True):
    """A schema on the way; the fields of ``hangard.model.schema.Schema``."""

    dtype: str
    shape: tuple[int, ...]
    backend: str
    backend_options: tuple[tuple[str, str | int | float | bool | None], ...] = ()
    kind: Kind = "ndarray"
    layout: Layout = "flat"
    variable_shape: bool = False

    @classmethod
    def of(cls, schema: Schema) -> SchemaMessage:
        return cls(
            schema.dtype,
            schema.shape,
            schema.backend,
            schema.backend_options,
            schema.kind,
            schema.layout,
            schema.variable_shape,
        )

    def schema(self) -> Schema:
        return Schema(
            dtype=self.dtype,
            shape=self.shape,
            backend=self.backend,
            backend_options=self.backend_options,
            kind=self.kind,
            layout=self.layout,
            variable_shape=self.variable_shape,
        )


class ErrorMessage(msgspec.Struct, frozen=True, kw_only=True):
    """An error as it travels: class name and code of ``hangard.errors``."""

    error: str
    code: str
    message: str
    details: dict[str, Any] = {}
