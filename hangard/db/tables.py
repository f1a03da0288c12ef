"""Typed writes to LMDB's databases, beside the reads that hangard.reading.tables gives."""

from __future__ import annotations

import numpy as np

from hangard.encoding.objects import object_digest
from hangard.encoding.records import (
    ANNOTATIONS,
    COUNTER,
    HEAD,
    OTHER_NAMES,
    PURGED,
    U32_KEY,
    U64_KEY,
    CommandRecord,
    ReflogEntry,
    SessionRecord,
    decode_record,
    encode_record,
    encode_shape,
)
from hangard.limits import COMMANDS_KEPT_MAX, REFLOG_ENTRIES_MAX
from hangard.model.commit import Digest
from hangard.model.files import FileRecord
from hangard.reading.tables import DIGEST_BYTES, SPEC_BYTES, Bytes, ReadTables


class WriteTables(ReadTables):
    """Typed reads and writes within the write transaction."""

    __slots__ = ()

    def put_ref(self, name: str, digest: Digest) -> None:
        """``name`` is full (``heads/main``); b"" for a branch without a commit."""
        self.txn.put(name.encode(), digest, db=self.databases.refs)

    def delete_ref(self, name: str) -> bool:
        """Whether there was one."""
        return bool(self.txn.delete(name.encode(), db=self.databases.refs))

    def put_annotation(self, tag: str, digest: Digest) -> None:
        """Names the tag object of a tag."""
        self.txn.put(ANNOTATIONS + tag.encode(), digest, db=self.databases.refs)

    def delete_annotation(self, tag: str) -> bool:
        return bool(self.txn.delete(ANNOTATIONS + tag.encode(), db=self.databases.refs))

    def put_head(self, branch: str) -> None:
        self.txn.put(HEAD, branch.encode(), db=self.databases.refs)

    def append_reflog(self, entry: ReflogEntry) -> None:
        """Adds it at the end; beyond REFLOG_ENTRIES_MAX the oldest goes."""
        with self.txn.cursor(db=self.databases.reflog) as cursor:
            number = U64_KEY.unpack(cursor.key())[0] + 1 if cursor.last() else 0
            cursor.put(U64_KEY.pack(number), encode_record(entry), append=True)
            while self.txn.stat(self.databases.reflog)["entries"] > REFLOG_ENTRIES_MAX:
                cursor.first()
                cursor.delete()

    def put_object(self, kind: bytes, record: bytes) -> Digest:
        """Stores a record of one of the kinds KIND_* under its digest, and returns that."""
        digest = object_digest(kind, record)
        self.txn.put(digest, kind + record, db=self.databases.objects, overwrite=False)
        return digest

    def delete_object(self, digest: Digest) -> bool:
        """Whether there was one."""
        return bool(self.txn.delete(digest, db=self.databases.objects))

    def prune_reflog(self, before_ns: int) -> int:
        """Deletes the entries older than that, from the oldest on; how many."""
        count = 0
        with self.txn.cursor(db=self.databases.reflog) as cursor:
            while cursor.first():
                if decode_record(ReflogEntry, cursor.value()).time_ns >= before_ns:
                    break
                cursor.delete()
                count += 1
        return count

    def put_purged(self, digest: Digest, time_ns: int) -> None:
        """A sample was erased; its digest stays known as such."""
        self.txn.put(PURGED + digest, COUNTER.pack(time_ns), db=self.databases.meta)

    def delete_purged(self, digest: Digest) -> bool:
        return bool(self.txn.delete(PURGED + digest, db=self.databases.meta))

    def put_specs(self, digests: Bytes, specs: Bytes) -> None:
        """Index entries: digests (n, 32), specs (n, 32). An entry that is there is replaced."""
        if digests.shape != (len(digests), DIGEST_BYTES) or specs.shape != (
            len(digests),
            SPEC_BYTES,
        ):
            raise ValueError(f"digests {digests.shape} and specs {specs.shape} are not (n, 32)")
        with self.txn.cursor(db=self.databases.index) as cursor:
            cursor.putmulti(sorted(zip(_rows(digests), _rows(specs), strict=True)))

    def delete_specs(self, digests: Bytes) -> None:
        """Entries that are not there are no error."""
        delete, index = self.txn.delete, self.databases.index
        for digest in sorted(_rows(digests)):
            delete(digest, db=index)

    def clear_specs(self) -> None:
        """Empties the index entries: a run holds them all."""
        self.txn.drop(self.databases.index, delete=False)

    def put_file(self, path: str, record: FileRecord) -> None:
        self.txn.put(path.encode(), encode_record(record), db=self.databases.files)

    def delete_file(self, path: str) -> bool:
        return bool(self.txn.delete(path.encode(), db=self.databases.files))

    def put_shape(self, number: int, shape: tuple[int, ...]) -> None:
        self.txn.put(U32_KEY.pack(number), encode_shape(shape), db=self.databases.shapes)

    def put_session(self, record: SessionRecord) -> None:
        self.txn.put(record.id.encode(), encode_record(record), db=self.databases.sessions)

    def delete_session(self, session_id: str) -> bool:
        return bool(self.txn.delete(session_id.encode(), db=self.databases.sessions))

    def put_command(
        self,
        command_id: bytes,
        *,
        commit: Digest,
        parent: Digest,
        branch: str,
        rebased: bool = False,
    ) -> None:
        """Remembers the answer to a command; beyond COMMANDS_KEPT_MAX the oldest is forgotten."""
        number = self.next_number("commands")
        record = CommandRecord(number, commit, parent, branch, rebased)
        commands = self.databases.commands
        self.txn.put(b"i" + command_id, encode_record(record), db=commands)
        self.txn.put(b"n" + U64_KEY.pack(number), command_id, db=commands)
        forgotten = b"n" + U64_KEY.pack(max(0, number - COMMANDS_KEPT_MAX))
        with self.txn.cursor(db=commands) as cursor:
            while cursor.set_range(b"n") and cursor.key() <= forgotten:
                old = cursor.value()
                if not cursor.delete():
                    break
                self.txn.delete(b"i" + old, db=commands)

    def put_config(self, name: str, value: str) -> None:
        self.txn.put(name.encode(), value.encode(), db=self.databases.config)

    def delete_config(self, name: str) -> bool:
        return bool(self.txn.delete(name.encode(), db=self.databases.config))

    def put_counter(self, name: str, value: int) -> None:
        self.txn.put(name.encode(), COUNTER.pack(value), db=self.databases.meta)

    def next_number(self, name: str, count: int = 1) -> int:
        """Takes ``count`` numbers from a counter in ``meta``, and returns the first; it begins
        with 1."""
        first = self.counter(name) + 1
        self.put_counter(name, first + count - 1)
        return first

    def put_other_name(self, name: str, digest: Digest) -> None:
        """``name`` is what a commit is called elsewhere (hangard.model.names)."""
        self.txn.put(OTHER_NAMES + name.encode(), digest, db=self.databases.meta)

    def put_meta(self, name: str, value: bytes) -> None:
        self.txn.put(name.encode(), value, db=self.databases.meta)


def _rows(array: Bytes) -> list[bytes]:
    whole = np.ascontiguousarray(array).tobytes()
    return [whole[i : i + DIGEST_BYTES] for i in range(0, len(whole), DIGEST_BYTES)]
