"""Which repository a command means: the one in the current folder or the nearest above it."""

from __future__ import annotations

from pathlib import Path

import hangard_client

from hangard.errors import NoRepository
from hangard.model.directory import FORMAT, directory_of


def find_repository(start: Path) -> Path:
    """The nearest folder, from ``start`` upward, that holds a repository. Errors: NoRepository."""
    start = start.resolve()
    for folder in (start, *start.parents):
        if (directory_of(folder) / FORMAT).exists():
            return folder
    raise NoRepository(
        f"there is no repository in {start} or above it; make one with: hangard init",
        path=str(start),
    )


def open_repository(
    user_name: str | None = None, user_email: str | None = None
) -> hangard_client.Repository:
    """The repository that this command is about."""
    path = find_repository(Path.cwd())
    return hangard_client.open(path, user_name=user_name, user_email=user_email)
