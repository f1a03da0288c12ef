"""The ``format`` file, which says that a directory is a repository and how to read it.

0   8 bytes  magic, b"HANGARD\\0"
8   u32      version of the directory's layout, little-endian
12  u32      0
"""

from __future__ import annotations

import struct
from pathlib import Path

from hangard.errors import Corrupt, NoRepository, PermissionDenied, Unavailable
from hangard.model.directory import FORMAT, directory_of

FORMAT_VERSION = 1
_FORMAT = struct.Struct("<8sII")
_MAGIC = b"HANGARD\0"


def format_bytes(version: int = FORMAT_VERSION) -> bytes:
    return _FORMAT.pack(_MAGIC, version, 0)


def checked_directory(path: str | Path) -> Path:
    """The real path of ``PATH/.hangard``.

    Errors: NoRepository; Unavailable (``newer-format``) if a newer hangard made it; Corrupt
    (``damaged-format``); PermissionDenied.
    """
    directory = directory_of(path).resolve()
    try:
        content = (directory / FORMAT).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise NoRepository(
            f"there is no repository at {path}; `hangard init` makes one", path=str(path)
        ) from None
    except PermissionError as error:
        raise PermissionDenied(f"{directory} may not be read: {error}") from error
    if len(content) != _FORMAT.size or content[:8] != _MAGIC:
        raise Corrupt(f"{directory / FORMAT} is damaged", code="damaged-format")
    version = _FORMAT.unpack(content)[1]
    if version > FORMAT_VERSION:
        raise Unavailable(
            f"{path} has format {version}, this hangard reads {FORMAT_VERSION}; upgrade hangard",
            code="newer-format",
            format=version,
        )
    return directory
