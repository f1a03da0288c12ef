"""Operations of the writer that keep the records of sessions."""

from __future__ import annotations

from dataclasses import dataclass

from hangard.db.tables import WriteTables
from hangard.encoding.records import SessionRecord


@dataclass(frozen=True, slots=True)
class PutSession:
    """A session was opened, or its record changed."""

    record: SessionRecord

    def check(self, tables: WriteTables) -> None:
        """Always possible."""

    def apply(self, tables: WriteTables) -> None:
        tables.put_session(self.record)


@dataclass(frozen=True, slots=True)
class DeleteSession:
    """A session has ended."""

    identity: str

    def check(self, tables: WriteTables) -> None:
        """Always possible."""

    def apply(self, tables: WriteTables) -> None:
        tables.delete_session(self.identity)
