"""Session journals: staged changes on disk, so that they survive a kill of the daemon.

A journal is written to the page cache only: it outlives the process, and a power cut may take it.
A commit that names changes which were lost that way is refused.
"""

from __future__ import annotations

from pathlib import Path

from hangard.backends.disk import Disk
from hangard.encoding.journal import (
    HEADER,
    JournalRecord,
    encode_journal_record,
    scan_journal,
)
from hangard.errors import Closed


class JournalWriter:
    """Appends records to one session's journal.

    The file is made by the first append, so that a session which changes nothing costs no file, and
    a commit that begins a new journal cannot fail on it.
    """

    def __init__(self, path: Path, disk: Disk, *, length_bytes: int = 0) -> None:
        """Go on behind byte ``length_bytes``: what lies there is no part of the journal."""
        self.path = path
        self.length_bytes = max(length_bytes, len(HEADER))
        self._disk = disk
        self._fd = -1
        self._closed = False

    def append(self, *records: JournalRecord) -> int:
        """Write records at once; the journal's length behind them. Errors: NoSpace, OSError,
        Closed.

        One that fails half-way is written over by the next.
        """
        if self._closed:
            raise Closed(f"journal {self.path.name} is closed", code="session-closed")
        if self._fd < 0:
            self._open()
        payload = b"".join(map(encode_journal_record, records))
        self._disk.write(self._fd, payload, self.length_bytes)
        self.length_bytes += len(payload)
        return self.length_bytes

    def _open(self) -> None:
        fd = self._disk.open_or_create(self.path)
        try:
            # Records of a state that is gone would count as valid once those before them are.
            self._disk.cut(fd, self.length_bytes)
            self._disk.write(fd, HEADER, 0)
        except BaseException:
            self._disk.close(fd)
            raise
        self._fd = fd

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._closed = True
        if self._fd >= 0:
            self._disk.close(self._fd)
            self._fd = -1

    def reopen(self) -> None:
        """Take appends again."""
        self._closed = False


def read_journal(path: Path, start_bytes: int) -> list[tuple[JournalRecord, int]]:
    """The valid records from ``start_bytes`` on, each with the offset behind it.

    ``start_bytes`` is 0 or such an offset; before it the journal may be damaged, or gone with a
    power cut. Errors: Corrupt (``not-a-journal``).
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    return list(scan_journal(content, start_bytes))
