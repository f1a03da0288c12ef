"""Writing run files: whole, synced, and only then under their name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
from hangard_ext.runwriter import RunWriter

Bytes = npt.NDArray[np.uint8]

PIECE_ENTRIES = 16_384  # 1 MiB of file
RUN_BYTES_PER_ENTRY = 68  # 64, and filter, directory and checksums
RUN_BYTES_MIN = 4096 + 8192 + 1024


class RunDisk(Protocol):
    """What this package asks of a disk; hangard.backends.disk has it."""

    def create(self, path: Path) -> int: ...
    def write(self, fd: int, data: bytes | memoryview, offset: int) -> None: ...
    def reserve(self, fd: int, offset: int, length: int) -> None: ...
    def release_reserved(self, fd: int) -> None: ...
    def sync(self, fd: int) -> None: ...
    def close(self, fd: int) -> None: ...
    def rename(self, source: Path, target: Path) -> None: ...
    def sync_directory(self, path: Path) -> None: ...
    def unlink(self, path: Path) -> None: ...


def run_pieces(number: int, digests: Bytes, specs: Bytes) -> Iterator[bytes]:
    """The bytes of a run of these entries, sorted by digest; its sequence is its number."""
    writer = RunWriter(number, number, len(digests))
    for begin in range(0, len(digests), PIECE_ENTRIES):
        piece = slice(begin, begin + PIECE_ENTRIES)
        yield writer.add(digests[piece], specs[piece])
    yield writer.finish()


def shown_pieces(
    blocks: Iterable[tuple[Bytes, Bytes]], number: int, sequence: int, entries: int
) -> Iterator[bytes]:
    """The bytes of a run of ``entries`` entries, given in ascending order in blocks."""
    writer = RunWriter(number, sequence, entries)
    for digests, specs in blocks:
        if len(digests):
            yield writer.add(np.ascontiguousarray(digests), np.ascontiguousarray(specs))
    yield writer.finish()


def write_run_file(disk: RunDisk, path: Path, pieces: Iterable[bytes], entries: int) -> int:
    """Write a run's pieces; the file and its name are durable on return. Its length in bytes.

    Errors: FileExistsError; NoSpace before a byte is written, mostly; whatever the disk or
    ``pieces`` raise. Then there is no file.
    """
    unfinished = path.with_suffix(".tmp")
    disk.unlink(unfinished)
    fd = disk.create(unfinished)
    try:
        disk.reserve(fd, 0, RUN_BYTES_MIN + entries * RUN_BYTES_PER_ENTRY)
        length = 0
        for piece in pieces:
            disk.write(fd, piece, length)
            length += len(piece)
        disk.release_reserved(fd)
        disk.sync(fd)
        if path.exists():
            raise FileExistsError(f"{path} is there already: a run is never replaced")
        disk.rename(unfinished, path)
    except BaseException:
        disk.unlink(unfinished)
        raise
    finally:
        disk.close(fd)
    disk.sync_directory(path.parent)
    return length
