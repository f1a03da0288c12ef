"""The messages of the protocol: msgspec structs, sent as msgpack.

Keys are encoded keys (bytes, see ``hangard_ext.treekey``), digests 32 bytes, times seconds since
the epoch unless a name says otherwise. A receiver ignores fields it does not know, so fields may
be added with a default, and never change their meaning.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from hangard.errors import HangardError, rebuild
from hangard.limits import KEY_TEXT_BYTES_MAX, MESSAGE_BYTES_MAX
from hangard.model.diff import Side
from hangard.model.schema import Kind, Layout, Schema

Name = Annotated[str, msgspec.Meta(max_length=KEY_TEXT_BYTES_MAX)]
Digest32 = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
PREFIX_BYTES_MAX = 514  # an encoded nested key
Bytes16 = Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
Count = Annotated[int, msgspec.Meta(ge=0)]

DETACHED_PARENTS_MAX = 64
OTHER_NAMES_MAX = 4  # names of one commit


class ErrorMessage(msgspec.Struct, frozen=True, kw_only=True):
    """An error as it travels: class name and code of ``hangard.errors``."""

    error: str
    code: str
    message: str
    details: dict[str, Any] = {}

    @classmethod
    def of(cls, error: HangardError) -> ErrorMessage:
        return cls(
            error=type(error).__name__,
            code=error.code,
            message=error.message,
            details=error.details,
        )

    def rebuild(self) -> HangardError:
        """The error as its class; details that an error's own arguments hide are dropped."""
        hidden = {"message", "code", "class_name"}
        details = {name: value for name, value in self.details.items() if name not in hidden}
        return rebuild(self.error, self.code, self.message, details)


class Choice(msgspec.Struct, frozen=True, array_like=True):
    """How one conflict is settled. ``key`` is an encoded key, or empty for the column itself and,
    ``with_keys``, for each of its keys that no other choice names."""

    column: str
    key: bytes
    side: Side
    with_keys: bool = True


class Detached(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A commit that no branch is moved for: the session's base with what is staged in it, under
    these ``parents`` and this time.

    ``names``  what the commit is called elsewhere; revisions know it by them (model/names.py)
    """

    parents: Annotated[tuple[Digest32, ...], msgspec.Meta(max_length=DETACHED_PARENTS_MAX)]
    time_ns: int
    names: Annotated[tuple[Name, ...], msgspec.Meta(max_length=OTHER_NAMES_MAX)] = ()


class CommitRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Commit what a session has staged.

    ``command_id``     chosen by the client; a repeated id returns the first answer
    ``last_sequence``  the commit must contain every change up to this number; 0: none was sent
    ``epoch``          the daemon's life in which those changes were accepted; empty: none was sent
    ``strategy``       ours = the session's side, theirs = the branch's new head; or single choices
    ``strategy_head``  the head that was looked at when they were made; HeadMoved if it is another
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
    allow_empty_message: bool = False
    strategy_head: Digest32 | None = None
    detached: Detached | None = None


class CommitResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a commit did. ``parent`` is None for the first commit of a branch."""

    digest: Digest32
    branch: str
    parent: Digest32 | None = None
    rebased: bool = False


class SessionInfo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One session as ``sessions`` lists it.

    ``staged``         counts staged changes, all columns; what they take in the daemon's memory
                       is ``staged_bytes`` (keys and digests), on disk ``journal_bytes``
    ``leased``         its client holds the repository's exclusive lease
    ``pid``, ``alive`` the process that opened it, and whether it runs (as far as is known)
    ``clients``        how many are attached, those that ended without a word included
    """

    id: str
    branch: str
    base: Digest32 | None = None
    next_sequence: int = 1
    staged: int = 0
    exclusive: bool = False
    leased: bool = False
    user: str = ""
    pid: int = 0
    opened_s: float = 0.0
    used_s: float = 0.0
    alive: bool = True
    clients: int = 0
    staged_bytes: int = 0
    journal_bytes: int = 0


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


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """Who answers. ``epoch`` is new in each life of a daemon."""

    protocol: int
    version: str
    pid: int
    epoch: bytes
    path: str


class OpenSession(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Open a session on a branch (None: the repository's HEAD), or from a commit.

    ``name``  the session's id; one of this id that is open on the same branch is resumed. Empty:
              a new session under an id that the daemon chooses
    ``orphan``  it begins with no commit, although the branch may have some
    """

    name: Name = ""
    branch: str | None = None
    commit: Digest32 | None = None
    exclusive: bool = False
    user: Name = ""
    pid: Count = 0
    orphan: bool = False


class ResumeSession(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Attach to a session. A client that goes on after the daemon's end names the last sequence
    number that was accepted from it, and is refused if that change is lost."""

    session: Name
    last_sequence: Count = 0


class CloseSession(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Leave a session. ``abort`` drops what it has staged; without it a session that has staged
    something stays and can be resumed. ``release``: the client held it exclusively, and does not
    any more when this is answered.

    ``last_sequence``  of the client's stream, which ends
    ``unattached``     asked by somebody who is not attached: a session that has clients, or holds
                       changes that ``abort`` does not drop, is left alone
    """

    session: Name
    abort: bool = False
    release: bool = False
    last_sequence: Count = 0
    unattached: bool = False


class SessionLeft(msgspec.Struct, frozen=True, kw_only=True):
    """``staged``: changes that were not committed; the session that holds them can be resumed."""

    staged: Count


class StagedColumn(msgspec.Struct, frozen=True, array_like=True):
    """A column as a session sees it. ``changed``: it has staged samples or deletions;
    ``reset``: the base commit's samples of this name do not belong to it."""

    schema: SchemaMessage
    changed: bool
    reset: bool = False


class SessionState(msgspec.Struct, frozen=True, kw_only=True):
    """A session as a client attaches to it.

    ``next_sequence``  the first number of this client's own stream: its upper 16 bits name the
                       stream, the lower 48 count
    """

    info: SessionInfo
    epoch: bytes
    next_sequence: int
    columns: dict[str, StagedColumn]


class ColumnState(msgspec.Struct, frozen=True, kw_only=True):
    """A column after it was added or changed; None: it was removed."""

    column: StagedColumn | None


ChangeKind = Literal["put", "delete", "abandon"]
RowsIn = Literal["body", "window", "upload"]


class Change(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Samples put under keys of one column, or keys deleted; the sections follow in the body.

    ``more``        it is staged together with the client's next change: both or neither, and so on
                    up to one without it; that one may ``abandon`` all of them
    ``keys_bytes``  length of the packed keys; ``count`` keys
    ``dtype``, ``shape``  of one row; the rows' bytes are little-endian, C order
    ``dimensions``  of rows of any shapes: the shapes, (count, dimensions) u64, are a section behind
                    the rows then, and ``shape`` is empty
    ``rows_bytes``  length of the rows in this body (0 if they lie elsewhere)
    ``rows_in``     body; window ``rows_id`` at byte ``rows_offset``; or upload ``rows_id``
    """

    kind: ChangeKind
    column: Name
    count: Count
    keys_bytes: Count
    dtype: Annotated[str, msgspec.Meta(max_length=16)] = ""
    shape: Annotated[tuple[Count, ...], msgspec.Meta(max_length=32)] = ()
    rows_bytes: Count = 0
    rows_in: RowsIn = "body"
    rows_id: Count = 0
    rows_offset: Count = 0
    dimensions: Annotated[int, msgspec.Meta(ge=0, le=32)] | None = None
    more: bool = False


class ChangeRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Header of a change request.

    ``epoch``     of the daemon's life in which the client attached
    ``sequence``  number of the first change; the others follow without gaps, so that a request
                  that is sent twice is applied once
    """

    session: Name
    epoch: bytes
    sequence: Count
    changes: tuple[Change, ...]


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """The changes are in the daemon's hands. ``failure``: changes accepted before could not be
    stored; the client raises it at the next call."""

    failure: ErrorMessage | None = None


class CommitBody(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Header of a commit request. Few small changes may ride on it: ``sequence`` numbers the first
    and ``commit.last_sequence`` the last of them."""

    commit: CommitRequest
    sequence: Count = 0
    changes: tuple[Change, ...] = ()


class FlushRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Answered when all changes of the session up to ``last_sequence`` survive a crash of the
    daemon."""

    session: Name
    last_sequence: Count = 0


class PieceRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Header of one piece of a row that is too large for one request.

    ``upload`` is the sequence number of the change that will use it. Pieces come in order, the
    first at offset 0; ``drop`` gives an upload up.
    """

    session: Name
    upload: Count
    total_bytes: Count
    offset: Count
    length: Count
    rows_in: RowsIn = "body"
    rows_id: Count = 0
    rows_offset: Count = 0
    drop: bool = False


class ColumnRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Add a column, remove one, or change how one is stored (a schema with the same data)."""

    kind: Literal["add", "remove", "change"]
    session: Name
    column: Name
    schema: SchemaMessage | None = None


class StagedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Header: are these keys staged? Sections: packed keys, ends."""

    session: Name
    column: Name
    count: Count
    keys_bytes: Count


class StagedAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Header; sections: states (n,) u8 (0 not staged, 1 staged, 2 deleted), digests (n, 32),
    specs (n, 32)."""

    count: Count


class StagedKeysRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Ask for all staged changes of a column, or a stretch of them, in key order; with ``prefix``
    for those whose encoded keys begin with it, as all of one sample of a nested column do."""

    session: Name
    column: Name
    start: Count = 0
    prefix: Annotated[bytes, msgspec.Meta(max_length=PREFIX_BYTES_MAX)] = b""


class StagedKeysAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Header; sections: packed keys, ends, digests (n, 32), zero for deleted keys. ``total``
    counts all of the column; ask again from ``start + count`` for the rest."""

    count: Count
    keys_bytes: Count
    total: Count


class OpenTree(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The columns of a commit, for a client that cannot read the files: by revision or digest."""

    revision: Annotated[str, msgspec.Meta(max_length=4096)] = ""
    commit: Digest32 | None = None


class TreeColumn(msgspec.Struct, frozen=True, array_like=True):
    """A column of a tree: its schema and the root of its samples."""

    schema: SchemaMessage
    root: Digest32


class TreeState(msgspec.Struct, frozen=True, kw_only=True):
    """A tree; ``commit`` is None for a branch without a commit."""

    commit: Digest32 | None
    columns: dict[str, TreeColumn]


class NodeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One node of a column's tree."""

    digest: Digest32


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """The node's bytes, as hangard_ext.treenode reads them."""

    record: bytes


class SamplesRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Header: samples by digest, all of one dtype and shape. Section: digests (n, 32).

    ``ragged``  the schema of samples that may differ in shape; ``shape`` is empty then
    """

    count: Count
    dtype: Annotated[str, msgspec.Meta(max_length=16)]
    shape: Annotated[tuple[Count, ...], msgspec.Meta(max_length=32)]
    ragged: SchemaMessage | None = None


class SamplesAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Header; section: rows (n, *shape), little-endian, C order.

    Samples of any shapes: ``count`` of those that were asked for, as many as one answer holds, and
    a second section with their shapes, (count, dimensions) u64.
    """

    rows_bytes: Count
    count: Count = 0


class Sessions(msgspec.Struct, frozen=True, kw_only=True):
    """All sessions of a repository."""

    sessions: tuple[SessionInfo, ...]


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """It is done, and there is nothing to tell."""
