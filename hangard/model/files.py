"""What is known of each file of a repository; LMDB's ``files`` database holds one record a file."""

from __future__ import annotations

from typing import Literal

import msgspec

FileKind = Literal["log", "hdf5", "numpy", "packed", "run"]
FileState = Literal["open", "sealed", "dropped"]


class FileRecord(msgspec.Struct, frozen=True, array_like=True):
    """One file below ``.hangard/``.

    ``number``          segment or run number
    ``state``           dropped: nothing names what is in it; it is about to be unlinked
    ``length_bytes``    valid length of the log or data file once sealed, else as of the last
    checkpoint
    ``indexed_bytes``   how far its log or ``.rows`` file is in the persistent index; recovery
    reads on from there
    ``entries``, ``level``  of a run
    ``dtype``, ``shape``, ``options``  of a segment: enough to open it for appending
    """

    kind: FileKind
    number: int
    state: FileState
    length_bytes: int = 0
    indexed_bytes: int = 0
    entries: int = 0
    level: int = 0
    dtype: str = ""
    shape: tuple[int, ...] = ()
    options: tuple[tuple[str, str | int | bool | None], ...] = ()
