"""Session journals: staged changes on disk, so that they survive a kill of the daemon.

A journal is written to the page cache only: it outlives the process, and a power cut may take it.
A commit that names changes which were lost that way is refused.
"""

from __future__ import annotations

import os
from pathlib import Path

from hangard.encoding.journal import (
    HEADER,
    JournalRecord,
    encode_journal_record,
    scan_journal,
)
from hangard.errors import NoSpace


class JournalWriter:
    """Appends records to one session's journal; a record that fails half-way is cut off again."""

    def __init__(self, path: Path, *, length_bytes: int = 0) -> None:
        """Open, or create; ``length_bytes`` is where the valid part of an existing one ends.

        Errors: NoSpace, OSError.
        """
        self.path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.length_bytes = length_bytes
        if length_bytes == 0:
            self._write(HEADER)

    def append(self, record: JournalRecord) -> int:
        """Write a record; the journal's length behind it. Errors: NoSpace, OSError."""
        self._write(encode_journal_record(record))
        return self.length_bytes

    def close(self) -> None:
        """Close the file; may be called twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _write(self, payload: bytes) -> None:
        view, offset = memoryview(payload), self.length_bytes
        try:
            while view:
                written = os.pwrite(self._fd, view, offset)
                view, offset = view[written:], offset + written
        except OSError as error:
            # The next record is written over the torn one, so a reader never sees beyond it.
            raise NoSpace(
                f"cannot write the session journal {self.path.name}: {error.strerror}",
                code="journal-not-written",
            ) from error
        self.length_bytes = offset


def read_journal(path: Path, start_bytes: int) -> tuple[list[JournalRecord], int]:
    """The records from ``start_bytes`` on, and where the valid part ends (0: no journal)."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return [], 0
    records, length = [], min(len(content), len(HEADER))
    for record, end in scan_journal(content):
        if end > start_bytes:
            records.append(record)
        length = end
    return records, length if length >= len(HEADER) else 0
