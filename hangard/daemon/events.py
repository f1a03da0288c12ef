"""The daemon's log: one JSON object a line, to standard error or to a file of bounded size.

Every line has ``time`` (UTC, ISO 8601), ``level`` and ``event``; other fields depend on the event.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

FILE_BYTES_MAX = 8 * 1024 * 1024  # then the file is renamed to NAME.1, and the last NAME.1 goes
FIELD_CHARACTERS_MAX = 4096


class EventLog:
    """Writes events. Thread-safe. ``path`` None means standard error."""

    def __init__(self, path: Path | None = None, *, bytes_max: int = FILE_BYTES_MAX) -> None:
        self._path = path
        self._bytes_max = bytes_max
        self._lock = threading.Lock()
        self._file: TextIO | None = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a", encoding="utf-8")

    def write(self, event: str, *, level: str = "info", **fields: Any) -> None:
        """Write one line. A log that cannot be written never stops the daemon."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        record = {"time": now, "level": level, "event": event}
        record.update((name, _plain(value)) for name, value in fields.items())
        line = json.dumps(record, ensure_ascii=False) + "\n"
        with self._lock:
            try:
                stream = self._file or sys.stderr
                stream.write(line)
                stream.flush()
                if self._file is not None and self._file.tell() > self._bytes_max:
                    self._turn_over()
            except (OSError, ValueError):
                return

    def close(self) -> None:
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    def _turn_over(self) -> None:
        assert self._path is not None
        assert self._file is not None
        self._file.close()
        self._path.replace(self._path.with_name(self._path.name + ".1"))
        self._file = self._path.open("a", encoding="utf-8")


class EventHandler(logging.Handler):
    """Brings what libraries log (asyncio, aiohttp) into the event log."""

    def __init__(self, events: EventLog) -> None:
        super().__init__(logging.WARNING)
        self._events = events

    def emit(self, record: logging.LogRecord) -> None:
        fields: dict[str, Any] = {"logger": record.name, "message": record.getMessage()}
        if record.exc_info and record.exc_info[1] is not None:
            fields["error"] = repr(record.exc_info[1])
        self._events.write("log", level=record.levelname.lower(), **fields)


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, bytes):
        value = value.hex()
    elif isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    elif isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return str(value)[:FIELD_CHARACTERS_MAX]
