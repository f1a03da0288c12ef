"""The changes that a session stages, and their form in its journal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hangard.encoding.journal import (
    KIND_ALTER,
    KIND_CREATE,
    KIND_DELETE,
    KIND_PUT,
    KIND_REMOVE,
    JournalRecord,
)
from hangard.encoding.objects import decode_schema, encode_schema
from hangard.errors import Corrupt
from hangard.model.schema import Schema
from hangard.repository.batching import Counts
from hangard.repository.staging import ChangeBlock, Ends


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Prepared:
    """Rows of one column that are stored and wait to be staged."""

    column: str
    schema: Schema
    block: ChangeBlock
    counts: Counts


@dataclass(frozen=True, slots=True)
class Deletion:
    """Packed keys of one column to delete."""

    column: str
    blob: bytes
    ends: Ends


@dataclass(frozen=True, slots=True)
class ColumnChange:
    """A column to create, to give another schema, or (``schema`` None) to remove."""

    column: str
    schema: Schema | None
    create: bool = False


Change = Prepared | Deletion | ColumnChange


def to_journal(sequence: int, change: Change, *, more: bool = False) -> JournalRecord:
    """The journal record of a change; ``more``: it is staged together with the next."""
    if isinstance(change, Prepared):
        block = change.block
        return JournalRecord(
            sequence,
            KIND_PUT,
            change.column,
            block.blob,
            block.ends,
            block.digests,
            more=more,
        )
    if isinstance(change, Deletion):
        return JournalRecord(
            sequence, KIND_DELETE, change.column, change.blob, change.ends, more=more
        )
    if change.schema is None:
        return JournalRecord(sequence, KIND_REMOVE, change.column)
    kind = KIND_CREATE if change.create else KIND_ALTER
    return JournalRecord(sequence, kind, change.column, schema=encode_schema(change.schema))


def from_journal(record: JournalRecord, columns: Mapping[str, Schema]) -> Change:
    """The change that a journal record stands for. Errors: Corrupt."""
    if record.kind == KIND_PUT:
        block = ChangeBlock(record.blob, record.ends, record.digests)
        schema = columns.get(record.column)
        if schema is None:
            raise Corrupt(
                f"the journal puts into column {record.column!r}, which does not exist",
                code="damaged-journal",
            )
        return Prepared(record.column, schema, block, Counts(len(block)))
    if record.kind == KIND_DELETE:
        return Deletion(record.column, record.blob, record.ends)
    if record.kind == KIND_REMOVE:
        return ColumnChange(record.column, None)
    return ColumnChange(
        record.column, decode_schema(record.schema), create=record.kind == KIND_CREATE
    )
