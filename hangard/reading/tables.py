"""LMDB's databases and typed reads of what is in them; encoding/records.py says what they hold.

A ReadTables lives as long as its transaction. Values are copies, so they stay valid after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hangard.encoding.objects import (
    KIND_COMMIT,
    KIND_SCHEMA,
    KIND_TAG,
    KIND_TREE,
    decode_commit,
    decode_schema,
    decode_tag,
    decode_tree,
    stored_record,
)
from hangard.encoding.records import (
    ANNOTATIONS,
    COUNTER,
    HEAD,
    OTHER_NAMES,
    PURGED,
    U32_KEY,
    CommandRecord,
    ReflogEntry,
    SessionRecord,
    decode_record,
    decode_shape,
)
from hangard.errors import Corrupt
from hangard.model.commit import ColumnEntry, Commit, Digest, Tag
from hangard.model.files import FileRecord
from hangard.model.schema import Schema

Bytes = npt.NDArray[np.uint8]

DIGEST_BYTES = 32
SPEC_BYTES = 32

_NO_SPEC = bytes(SPEC_BYTES)


class Databases(NamedTuple):
    """Handles of the named databases, in the order of DATABASES."""

    refs: Any
    reflog: Any
    objects: Any
    shapes: Any
    config: Any
    files: Any
    index: Any
    sessions: Any
    commands: Any
    meta: Any


DATABASES = tuple(name.encode() for name in Databases._fields)


class ReadTables:
    """Typed reads within one transaction."""

    __slots__ = ("databases", "txn")

    def __init__(self, txn: Any, databases: Databases) -> None:
        self.txn = txn
        self.databases = databases

    # Refs. Names are full: "heads/main", "tags/v1".

    def ref(self, name: str) -> Digest | None:
        """The commit a ref points to; b"" for a branch without a commit; None if there is none."""
        value = self.txn.get(name.encode(), db=self.databases.refs)
        return None if value is None else _digest(value, f"ref {name}", may_be_empty=True)

    def refs(self, prefix: bytes = b"") -> Iterator[tuple[str, Digest]]:
        """Refs whose full names begin with ``prefix`` (``heads/`` or ``tags/``), by name; without
        one, the digests of annotations too."""
        for key, value in self._from(self.databases.refs, prefix):
            if not key.startswith(prefix):
                return
            if key != HEAD:
                yield key.decode(), _digest(value, f"ref {key!r}", may_be_empty=True)

    def find_annotation(self, tag: str) -> Tag | None:
        """The tag object of a tag; None for one that has none."""
        digest = self.txn.get(ANNOTATIONS + tag.encode(), db=self.databases.refs)
        record = None if digest is None else self.find_object(KIND_TAG, bytes(digest))
        return None if record is None else decode_tag(record)

    def head(self) -> str:
        """The branch that ``HEAD`` names."""
        value = self.txn.get(HEAD, db=self.databases.refs)
        if value is None:
            raise Corrupt("the repository has no HEAD", code="damaged-database")
        return bytes(value).decode()

    def reflog(self, *, newest_first: bool = True) -> Iterator[ReflogEntry]:
        with self.txn.cursor(db=self.databases.reflog) as cursor:
            for value in (
                cursor.iterprev(keys=False) if newest_first else cursor.iternext(keys=False)
            ):
                yield decode_record(ReflogEntry, value)

    # Objects. None for what is not there; Corrupt if it does not match its digest.

    def find_object(self, kind: bytes, digest: Digest) -> bytes | None:
        """The record of kind KIND_COMMIT, KIND_TREE or KIND_SCHEMA."""
        stored = self.txn.get(digest, db=self.databases.objects)
        return None if stored is None else stored_record(kind, digest, stored)

    def has_object(self, digest: Digest) -> bool:
        return self.txn.get(digest, db=self.databases.objects) is not None

    def find_commit(self, digest: Digest) -> Commit | None:
        record = self.find_object(KIND_COMMIT, digest)
        return None if record is None else decode_commit(record)

    def find_tree(self, digest: Digest) -> dict[str, ColumnEntry] | None:
        record = self.find_object(KIND_TREE, digest)
        return None if record is None else decode_tree(record)

    def find_schema(self, digest: Digest) -> Schema | None:
        record = self.find_object(KIND_SCHEMA, digest)
        return None if record is None else decode_schema(record)

    def objects(self) -> Iterator[tuple[Digest, bytes]]:
        """Digests of all objects, rising, and the kind of each (KIND_*)."""
        for key, value in self._from(self.databases.objects):
            yield key, value[:1]

    def commits_from(self, first: bytes) -> Iterator[Digest]:
        """Digests of commits, rising, from the smallest that is not below ``first``."""
        for key, value in self._from(self.databases.objects, first):
            if value[:1] == KIND_COMMIT:
                yield key

    # The index entries of recent small commits.

    def find_spec(self, digest: Digest) -> bytes | None:
        return self.txn.get(digest, db=self.databases.index)  # type: ignore[no-any-return]

    def find_specs(self, digests: Bytes) -> tuple[Bytes, npt.NDArray[np.bool_]]:
        """Specs of digests (n, 32) as (n, 32), and which were found (n,)."""
        get, index = self.txn.get, self.databases.index
        whole = digests.tobytes()
        specs = [
            get(whole[begin : begin + DIGEST_BYTES], db=index)
            for begin in range(0, len(whole), DIGEST_BYTES)
        ]
        packed = bytearray().join([_NO_SPEC if spec is None else spec for spec in specs])
        return (
            np.frombuffer(packed, dtype=np.uint8).reshape(len(specs), SPEC_BYTES),
            np.array([spec is not None for spec in specs], dtype=np.bool_),
        )

    def index_entries(self) -> tuple[Bytes, Bytes]:
        """All of them: digests (n, 32), rising, and specs (n, 32)."""
        with self.txn.cursor(db=self.databases.index) as cursor:
            pairs = list(cursor)
        digests = b"".join([key for key, _ in pairs])
        specs = b"".join([spec for _, spec in pairs])
        return (
            np.frombuffer(digests, dtype=np.uint8).reshape(-1, DIGEST_BYTES),
            np.frombuffer(specs, dtype=np.uint8).reshape(-1, SPEC_BYTES),
        )

    def index_count(self) -> int:
        return int(self.txn.stat(self.databases.index)["entries"])

    # Files, shapes, sessions, commands, configuration, counters.

    def find_file(self, path: str) -> FileRecord | None:
        value = self.txn.get(path.encode(), db=self.databases.files)
        return None if value is None else decode_record(FileRecord, value)

    def files(self, prefix: str = "") -> Iterator[tuple[str, FileRecord]]:
        """Paths below ``.hangard`` that begin with ``prefix``, with their records."""
        start = prefix.encode()
        for key, value in self._from(self.databases.files, start):
            if not key.startswith(start):
                return
            yield key.decode(), decode_record(FileRecord, value)

    def find_shape(self, number: int) -> tuple[int, ...] | None:
        value = self.txn.get(U32_KEY.pack(number), db=self.databases.shapes)
        return None if value is None else decode_shape(value)

    def shapes(self) -> Iterator[tuple[int, tuple[int, ...]]]:
        for key, value in self._from(self.databases.shapes):
            yield U32_KEY.unpack(key)[0], decode_shape(value)

    def find_session(self, session_id: str) -> SessionRecord | None:
        value = self.txn.get(session_id.encode(), db=self.databases.sessions)
        return None if value is None else decode_record(SessionRecord, value)

    def sessions(self) -> Iterator[SessionRecord]:
        for _, value in self._from(self.databases.sessions):
            yield decode_record(SessionRecord, value)

    def command(self, command_id: bytes) -> CommandRecord | None:
        value = self.txn.get(b"i" + command_id, db=self.databases.commands)
        return None if value is None else decode_record(CommandRecord, value)

    def find_config(self, name: str) -> str | None:
        value = self.txn.get(name.encode(), db=self.databases.config)
        return None if value is None else bytes(value).decode()

    def config(self) -> dict[str, str]:
        return {key.decode(): value.decode() for key, value in self._from(self.databases.config)}

    def counter(self, name: str) -> int:
        """A number in ``meta``; 0 before it was first set."""
        value = self.txn.get(name.encode(), db=self.databases.meta)
        return 0 if value is None else int(COUNTER.unpack(value)[0])

    def is_purged(self, digest: Digest) -> bool:
        """Whether the sample with this digest was erased."""
        return self.txn.get(PURGED + digest, db=self.databases.meta) is not None

    def purged(self) -> Iterator[tuple[Digest, int]]:
        """Digests of erased samples, rising, and when that was, in nanoseconds since the epoch."""
        for key, value in self._from(self.databases.meta, PURGED):
            if not key.startswith(PURGED):
                return
            yield key[len(PURGED) :], int(COUNTER.unpack(value)[0])

    def find_meta(self, name: str) -> bytes | None:
        return self.txn.get(name.encode(), db=self.databases.meta)  # type: ignore[no-any-return]

    def other_names(self, first: str) -> Iterator[tuple[str, Digest]]:
        """Names that begin with ``first`` and that commits have elsewhere, with those."""
        start = OTHER_NAMES + first.encode()
        for key, value in self._from(self.databases.meta, start):
            if not key.startswith(start):
                return
            yield key.removeprefix(OTHER_NAMES).decode(), _digest(value, f"name {key!r}")

    def _from(self, database: Any, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        with self.txn.cursor(db=database) as cursor:
            if cursor.set_range(start) if start else cursor.first():
                yield from cursor


def _digest(value: bytes, name: str, *, may_be_empty: bool = False) -> Digest:
    if len(value) != DIGEST_BYTES and not (may_be_empty and not value):
        raise Corrupt(f"{name} is damaged: {len(value)} bytes", code="damaged-database")
    return bytes(value)


def digest_row(digest: bytes) -> Bytes:
    """One digest as an array (1, 32)."""
    return np.frombuffer(digest, dtype=np.uint8).reshape(1, DIGEST_BYTES)
