"""One writer's staged changes on a branch.

Work on a change is cut in two: ``prepare_rows`` hashes and stores (any thread, several at once),
``apply`` stages and journals (in sequence order; hangard.repository.streams).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hangard.encoding.journal import KIND_SKIP, JournalRecord
from hangard.errors import (
    AlreadyExists,
    Busy,
    Closed,
    Corrupt,
    HangardError,
    InvalidRequest,
    UnknownColumn,
)
from hangard.limits import COLUMNS_PER_TREE_MAX, JOURNAL_BYTES_MAX, STAGED_BYTES_MAX
from hangard.model.commit import Digest, Tree
from hangard.model.names import check_column_name
from hangard.model.ragged import RaggedRows, check_shapes, check_text
from hangard.model.schema import Schema
from hangard.repository.batching import Batcher, Counts, Rows
from hangard.repository.changes import (
    Change,
    ColumnChange,
    Deletion,
    Prepared,
    from_journal,
    to_journal,
)
from hangard.repository.journals import JournalWriter
from hangard.repository.staging import NOT_STAGED, ChangeBlock, Digests, Ends, StagedColumn
from hangard.repository.streams import STREAM_BITS, Streams


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A session's staged state at one moment, as a commit takes it.

    ``journal_bytes`` is how much of the journal it covers, ``streams`` the last applied sequence
    number of each stream.
    """

    base: Digest | None
    base_tree: Tree
    columns: Mapping[str, StagedColumn]
    journal_bytes: int
    streams: Mapping[int, int]


class Session:
    """Staged changes from a base commit on, isolated from every other session. Thread-safe."""

    def __init__(
        self,
        *,
        identity: str,
        branch: str,
        base: Digest | None,
        base_tree: Tree,
        base_schemas: Mapping[str, Schema],
        opened_ns: int,
        user: str = "",
        pid: int = 0,
        exclusive: bool = False,
        journals: Callable[[int, int], JournalWriter],
        generation: int = 0,
        journal_bytes: int = 0,
        streams: Mapping[int, int] | None = None,
    ) -> None:
        self.id = identity
        self.branch = branch
        self.user = user
        self.pid = pid
        self.exclusive = exclusive
        self.opened_ns = opened_ns
        self.used_ns = opened_ns
        self.leased_ns = opened_ns  # when its client began to hold it exclusively, if one does
        self.counts = Counts()
        self.committing = threading.Lock()  # one commit of a session at a time
        self._base = base
        self._base_tree = base_tree
        self._base_schemas = dict(base_schemas)
        self._columns: dict[str, StagedColumn] = {}
        self._streams = Streams(streams or {})
        self._journals = journals
        self.generation = generation
        self._journal = journals(generation, journal_bytes)
        self._closed = False
        self._lock = threading.RLock()

    @property
    def base(self) -> Digest | None:
        return self._base

    @property
    def is_changed(self) -> bool:
        with self._lock:
            return any(column.is_changed for column in self._columns.values())

    def attach(self) -> int:
        """The first sequence number of a new stream."""
        with self._lock:
            return (self._streams.begin() << STREAM_BITS) + 1

    def forget_stream(self, sequence: int) -> None:
        """A client has left: nothing of its stream comes any more."""
        with self._lock:
            self._streams.forget(sequence)

    def columns(self) -> dict[str, Schema]:
        """The columns as this session sees them."""
        with self._lock:
            result = dict(self._base_schemas)
            for name, column in self._columns.items():
                if column.schema is None:
                    result.pop(name, None)
                else:
                    result[name] = column.schema
            return result

    def schema(self, column: str) -> Schema:
        """Errors: UnknownColumn."""
        with self._lock:
            staged = self._columns.get(column)
            schema = staged.schema if staged is not None else self._base_schemas.get(column)
            if schema is None:
                raise UnknownColumn(f"there is no column {column!r}", column=column)
            return schema

    def describe_column(self, column: str) -> tuple[Schema, bool, bool] | None:
        """Schema, whether something is staged, and whether the base's samples are not its own."""
        with self._lock:
            staged = self._columns.get(column)
            if staged is None:
                base = self._base_schemas.get(column)
                return None if base is None else (base, False, False)
            if staged.schema is None:
                return None
            return staged.schema, bool(staged.total), staged.reset

    def prepare_rows(
        self,
        batcher: Batcher,
        column: str,
        blob: bytes,
        ends: Ends,
        dtype: str,
        shape: tuple[int, ...],
        rows: Rows,
    ) -> Prepared:
        """Check a batch against the column's schema, hash it and store what is new of it.

        Shapes  rows (n, bytes of a sample) uint8, little-endian, one row a key; of a column of
                variable shape RaggedRows (``shape`` does not count then).
        Errors  UnknownColumn, InvalidRequest (``wrong-dtype``, ``wrong-shape``), NoSpace, Corrupt.
        """
        schema = self.schema(column)
        check_rows(schema, column, dtype, shape, rows, len(ends))
        block, counts = batcher.store(schema, blob, ends, rows)
        return Prepared(column, schema, block, counts)

    def apply(self, sequence: int, change: Change) -> bool:
        """Stage a change and journal it; it survives a kill of this process when this returns.

        False if the stream is already beyond this number (a repeated request).
        Errors  Closed (``staged-changes-lost``) when a number before it is missing, UnknownColumn,
                AlreadyExists, InvalidRequest (``schema-changed``).
        """
        return self.apply_together(sequence, [change])

    def apply_together(self, sequence: int, changes: Sequence[Change]) -> bool:
        """As ``apply``, of changes to samples numbered from ``sequence`` on: all or none of them,
        also after a kill."""
        stream = sequence >> STREAM_BITS
        with self._lock:
            self._check_open()
            expected = self._streams.last(stream) + 1
            if sequence < expected:
                return False
            if sequence > expected:
                raise staged_changes_lost(self.id, expected, sequence - 1)
            for change in changes:
                self._check(change)
            last = sequence + len(changes) - 1
            self._journal.append(
                *(
                    to_journal(number, change, more=number < last)
                    for number, change in enumerate(changes, sequence)
                )
            )
            for change in changes:
                self._stage(change)
            self._streams.advance(last)
            return True

    def skip(self, sequence: int) -> None:
        """Count a refused request as seen, so that the numbers after it are not taken for a gap."""
        stream = sequence >> STREAM_BITS
        with self._lock:
            if sequence == self._streams.last(stream) + 1:
                self._streams.advance(sequence)
                # On a full disk the changes behind it must be taken once there is space again.
                with suppress(HangardError, OSError):
                    self._journal.append(JournalRecord(sequence, KIND_SKIP))

    def check_contains(self, last_sequence: int) -> None:
        """Errors: Closed (``staged-changes-lost``) if changes up to that number are missing."""
        stream = last_sequence >> STREAM_BITS
        with self._lock:
            applied = self._streams.last(stream)
            if applied < last_sequence:
                raise staged_changes_lost(self.id, applied + 1, last_sequence)

    def replay(self, records: Iterable[tuple[JournalRecord, int]]) -> None:
        """Stage again what the journal holds: records, each with the offset behind it. The next
        change follows the last of them. Used before the session is served.

        Errors: Corrupt (``damaged-journal``) at the first record that cannot follow those before.
        """
        for record, end_bytes in records:
            if record.kind != KIND_SKIP:
                change = from_journal(record, self.columns())
                try:
                    self._check(change)
                except HangardError as error:
                    raise Corrupt(
                        f"the journal of session {self.id} does not fit it: {error}",
                        code="damaged-journal",
                    ) from error
                self._stage(change)
            self._streams.advance(record.sequence)
            self._journal.length_bytes = end_bytes

    def find(self, column: str, blob: bytes, ends: Ends) -> tuple[npt.NDArray[np.uint8], Digests]:
        """Staged states and digests of packed keys (staging.StagedColumn.find)."""
        with self._lock:
            staged = self._columns.get(column)
            if staged is None:
                return np.full(len(ends), NOT_STAGED, np.uint8), np.zeros((len(ends), 32), np.uint8)
            return staged.find(blob, ends)

    def staged_changes(self, column: str) -> ChangeBlock | None:
        """All staged changes of a column, sorted; None if it has none."""
        with self._lock:
            staged = self._columns.get(column)
            return staged.changes() if staged is not None else None

    def staged_columns(self) -> dict[str, StagedColumn]:
        """The changed columns by name; merged, and copied so that later changes do not show."""
        with self._lock:
            return {
                name: column.copy() for name, column in self._columns.items() if column.is_changed
            }

    def snapshot(self) -> Snapshot:
        """What a commit takes. The session must be held still (``hold``) until it is settled.

        Errors: Closed: an aborted session must not come back with the record of a late commit.
        """
        with self._lock:
            self._check_open()
            return Snapshot(
                self._base,
                self._base_tree,
                self.staged_columns(),
                self._journal.length_bytes,
                self._streams.all(),
            )

    def hold(self) -> threading.RLock:
        """The lock that keeps staged changes still while a commit is planned and written."""
        return self._lock

    def settle(
        self, base: Digest | None, base_tree: Tree, base_schemas: Mapping[str, Schema]
    ) -> None:
        """Everything staged is committed: ``base`` is the new commit. Call while held."""
        if self.wants_new_journal:
            self._begin_journal()
        self._base = base
        self._base_tree = base_tree
        self._base_schemas = dict(base_schemas)
        self._columns.clear()

    @property
    def journal_bytes(self) -> int:
        """Length of the journal's valid part."""
        return self._journal.length_bytes

    @property
    def wants_new_journal(self) -> bool:
        """Whether the next commit's record should name a new, empty journal."""
        return self._journal.length_bytes > JOURNAL_BYTES_MAX

    def _begin_journal(self) -> None:
        old = self._journal
        self.generation += 1
        self._journal = self._journals(self.generation, 0)
        old.close()
        old.path.unlink(missing_ok=True)

    def remove_journal(self) -> None:
        """Unlink the journal of a session that has ended."""
        self._journal.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Refuse every later change."""
        with self._lock:
            self._closed = True
            self._journal.close()

    def reopen(self) -> None:
        """Take changes again: what was to follow ``close`` failed."""
        with self._lock:
            self._closed = False
            self._journal.reopen()

    @property
    def memory_bytes(self) -> int:
        with self._lock:
            return sum(column.memory_bytes for column in self._columns.values())

    def check_room(self) -> None:
        """Errors: Busy (``too-much-staged``) when no more may be staged before a commit."""
        if self.memory_bytes > STAGED_BYTES_MAX:
            raise Busy(
                f"session {self.id} has staged more keys than fit {STAGED_BYTES_MAX} bytes;"
                " commit them first",
                code="too-much-staged",
            )

    @property
    def staged_total(self) -> int:
        """Staged changes of all columns; a key changed twice may count twice, and a column that
        was added, changed or removed counts as one if that is all."""
        with self._lock:
            return sum(max(column.total, column.is_changed) for column in self._columns.values())

    def _check_open(self) -> None:
        if self._closed:
            raise Closed(f"session {self.id} is closed", code="session-closed")

    def _check(self, change: Change) -> None:
        """Errors: as ``apply``; nothing is changed."""
        if isinstance(change, ColumnChange):
            self._check_column(change)
            return
        schema = self.schema(change.column)
        if isinstance(change, Prepared) and not schema.same_data_as(change.schema):
            raise schema_changed(change.column)

    def _check_column(self, change: ColumnChange) -> None:
        check_column_name(change.column)
        known = self.columns()
        if change.column not in known:
            if not change.create:
                raise UnknownColumn(f"there is no column {change.column!r}", column=change.column)
            if len(known) >= COLUMNS_PER_TREE_MAX:
                raise InvalidRequest(
                    f"at most {COLUMNS_PER_TREE_MAX} columns are possible", code="too-many-columns"
                )
        elif change.create:
            raise AlreadyExists(
                f"column {change.column!r} exists; remove it first, or change its backend",
                column=change.column,
            )
        elif change.schema is not None and not known[change.column].same_data_as(change.schema):
            raise schema_changed(change.column)

    def _stage(self, change: Change) -> None:
        if isinstance(change, ColumnChange):
            self._stage_column(change)
            return
        staged = self._columns.setdefault(change.column, StagedColumn(self.schema(change.column)))
        if isinstance(change, Deletion):
            digests = np.zeros((len(change.ends), 32), np.uint8)
            staged.add(ChangeBlock(change.blob, change.ends, digests))
        else:
            staged.add(change.block)
            self.counts += change.counts

    def _stage_column(self, change: ColumnChange) -> None:
        if change.schema is None:
            if change.column in self._base_schemas:
                self._columns.setdefault(change.column, StagedColumn(None)).remove()
            else:
                del self._columns[change.column]
            return
        staged = self._columns.setdefault(change.column, StagedColumn(change.schema))
        staged.schema = change.schema
        staged.schema_changed = change.schema != self._base_schemas.get(change.column)


def schema_changed(column: str) -> InvalidRequest:
    """The error for samples or a schema that do not fit the column as it is now."""
    return InvalidRequest(
        f"dtype, shape and layout of column {column!r} cannot change; only its backend can",
        code="schema-changed",
        column=column,
    )


def staged_changes_lost(session: str, first: int, last: int) -> Closed:
    """The error for changes that were accepted and are not there any more."""
    mask = (1 << STREAM_BITS) - 1
    return Closed(
        f"session {session} has lost the changes {first & mask} to {last & mask}: the daemon ended"
        " before it stored them. Stage them again",
        code="staged-changes-lost",
        session=session,
        first=first,
        last=last,
    )


def check_rows(
    schema: Schema,
    column: str,
    dtype: str,
    shape: tuple[int, ...],
    rows: Rows,
    n: int,
) -> None:
    """Errors: InvalidRequest (``wrong-dtype``, ``wrong-shape``, ``wrong-row-bytes``,
    ``invalid-text``)."""
    if dtype != schema.dtype:
        raise InvalidRequest(
            f"column {column!r} holds {schema.dtype}, not {dtype}",
            code="wrong-dtype",
            column=column,
        )
    if isinstance(rows, RaggedRows) != schema.variable_shape:
        raise InvalidRequest(
            f"column {column!r} holds samples of {'any' if schema.variable_shape else 'one'} shape",
            code="wrong-shape",
            column=column,
        )
    if isinstance(rows, RaggedRows):
        check_shapes(column, schema, rows.shapes)
        if schema.kind == "str":
            check_text(column, rows)
        return
    if tuple(shape) != schema.shape:
        raise InvalidRequest(
            f"column {column!r} holds samples of shape {schema.shape}, not {tuple(shape)}",
            code="wrong-shape",
            column=column,
        )
    if rows.shape != (n, schema.sample_bytes):
        raise InvalidRequest(
            f"{n} keys need rows of shape {(n, schema.sample_bytes)}, not {rows.shape}",
            code="wrong-row-bytes",
            column=column,
        )
