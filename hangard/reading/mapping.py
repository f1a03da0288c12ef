"""Data files mapped into memory, a bounded number of them.

A file on its way out of the cache stays mapped as long as an array over it lives. Readers of an
open segment map it again once it has grown. Before each use the mapping is compared with what fstat
says: a read beyond the end of a file is a signal, not an error.
"""

from __future__ import annotations

import mmap
import os
from collections import OrderedDict
from pathlib import Path

from hangard.errors import Corrupt
from hangard.limits import MAPPED_FILES_MAX
from hangard.model.directory import data_path

# format code u8, flags u8, codec u8, 0, segment u32: what of a spec names the file, and a bit more.
SPEC_HEAD_BYTES = 8


class MappedFiles:
    """The data files below ``directory`` (``PATH/.hangard``), by specs.

    Errors: FileNotFoundError for a file that is gone (the caller resolves the spec once more);
    Corrupt (``damaged-spec``, ``empty-file``).
    """

    def __init__(self, directory: Path, *, files_max: int = MAPPED_FILES_MAX) -> None:
        self._directory = directory
        self._files_max = files_max
        # Single operations of an OrderedDict are atomic, and a file mapped twice does no harm.
        self._mapped: OrderedDict[bytes, mmap.mmap] = OrderedDict()

    def __len__(self) -> int:
        return len(self._mapped)

    def of(self, spec: bytes) -> mmap.mmap:
        """The file that a spec points into, as long as it was at some time before now.

        Use ``longer`` if the spec's range lies beyond its end.
        """
        head = spec[:SPEC_HEAD_BYTES]
        mapped = self._mapped.get(head)
        if mapped is None:
            return self._map(head)
        if mapped.size() < len(mapped):
            return self._map(head)
        return mapped

    def longer(self, spec: bytes, mapped: mmap.mmap) -> mmap.mmap | None:
        """The file anew if it has grown since ``mapped``, else None."""
        if mapped.size() > len(mapped):
            return self._map(spec[:SPEC_HEAD_BYTES])
        return None

    def forget(self, spec: bytes) -> None:
        """Map the file anew at its next use."""
        self._mapped.pop(spec[:SPEC_HEAD_BYTES], None)

    def path_of(self, spec: bytes) -> Path:
        """Errors: Corrupt (``damaged-spec``) for an unknown format code."""
        try:
            name = data_path(spec[0], int.from_bytes(spec[4:8], "little"))
        except ValueError as error:
            raise Corrupt(f"spec {spec.hex()} is damaged: {error}", code="damaged-spec") from None
        return self._directory / name

    def close(self) -> None:
        """Lets go of all files; arrays over them stay valid."""
        self._mapped.clear()

    def _map(self, head: bytes) -> mmap.mmap:
        path = self.path_of(head)
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            length = os.fstat(fd).st_size
            if length == 0:
                raise Corrupt(f"{path} is empty", code="empty-file", file=str(path))
            mapped = mmap.mmap(fd, length, access=mmap.ACCESS_READ)
        finally:
            os.close(fd)
        self._mapped[head] = mapped
        while len(self._mapped) > self._files_max:
            try:
                self._mapped.popitem(last=False)
            except KeyError:
                break
        return mapped
