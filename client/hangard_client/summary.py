"""What a repository holds, in short."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hangard.model.schema import Schema
from hangard_client.history import LogEntry

BLOCK_BYTES = 512  # the unit of st_blocks, whatever the file system's own


@dataclass(frozen=True, slots=True)
class ColumnSummary:
    """A column: its schema, and how many samples it holds (of nested ones: subsamples)."""

    name: str
    schema: Schema
    samples: int


@dataclass(frozen=True, slots=True)
class Summary:
    """A repository at one commit.

    ``disk_bytes``  what all its files occupy, whatever commit they belong to
    ``branches``, ``tags``, ``commits``  how many there are; commits of all of them
    ``commit``      None before the first one; then there are no columns
    """

    path: Path
    disk_bytes: int
    branches: int
    tags: int
    commits: int
    revision: str
    commit: LogEntry | None
    columns: tuple[ColumnSummary, ...]


def disk_use(folder: Path) -> int:
    """Bytes that a folder's files occupy; links are not followed."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):  # files come and go under a daemon
                total += os.lstat(os.path.join(parent, name)).st_blocks * BLOCK_BYTES
    return total
