"""The folder of a repository: where it may be, what it holds, how large it is."""

from __future__ import annotations

import os
from pathlib import Path

from hangard.errors import InvalidType, NoRepository, PermissionDenied
from hangard.model.directory import FORMAT, directory_of
from hangard_client.hangar.errors import as_builtin


def checked_path(path: object) -> Path:
    """An existing folder that may be written.

    Errors: InvalidType (a TypeError); NoRepository (a FileNotFoundError, or a NotADirectoryError);
    PermissionDenied (a PermissionError).
    """
    if not isinstance(path, str | Path):
        raise InvalidType(
            f"the path is a str or a pathlib.Path, not {type(path).__name__}",
            code="invalid-path-type",
        )
    found = Path(path).expanduser().absolute()
    if not found.exists():
        raise NoRepository(f"there is no folder {found}; create it first", path=str(found))
    if not found.is_dir():
        raise as_builtin(NoRepository(f"{found} is no folder", path=str(found)), NotADirectoryError)
    if not os.access(found, os.W_OK, effective_ids=True):
        raise PermissionDenied(f"{found} may not be written", path=str(found))
    return found


def holds_repository(path: Path) -> bool:
    return (directory_of(path) / FORMAT).exists()


def size_bytes(path: Path) -> int:
    """Of all files below a folder; symbolic links are not followed."""
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            try:
                found = os.lstat(os.path.join(folder, name))
            except FileNotFoundError:  # the daemon works on
                continue
            if not os.path.islink(os.path.join(folder, name)):
                total += found.st_size
    return total


def size_text(nbytes: float) -> str:
    """1234567 -> '1.23 MB'."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if nbytes < 1000 or unit == "TB":
            break
        nbytes /= 1000
    return f"{nbytes:.2f} {unit}"
