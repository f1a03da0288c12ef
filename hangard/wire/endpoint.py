"""``.hangard/daemon.json``: where a repository's daemon listens.

Written with a rename, removed at an orderly stop. A file that stays after a crash is recognised:
nobody answers at its socket.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

FILE_NAME = "daemon.json"
FILE_BYTES_MAX = 64 * 1024


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Paths of the two sockets (requests; windows), who made them, and the daemon's settings."""

    protocol: int
    socket: str
    windows_socket: str
    pid: int
    epoch: str  # hexadecimal
    version: str
    config: dict[str, str] = {}


def read_endpoint(repository: Path) -> Endpoint | None:
    """The endpoint that a repository's daemon left; None if there is none or it is unreadable."""
    try:
        raw = (repository / ".hangard" / FILE_NAME).read_bytes()[:FILE_BYTES_MAX]
        return msgspec.json.decode(raw, type=Endpoint)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
