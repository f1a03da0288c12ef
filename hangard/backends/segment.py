"""What every segment offers, and the ``.rows`` file that each keeps beside its data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from hangard.backends.disk import Disk
from hangard.encoding.rows import HEADER_BYTES, encode_rows, rows_header
from hangard.errors import NoSpace
from hangard.model.directory import rows_path
from hangard.model.ragged import RaggedRows
from hangard.model.schema import Schema

Bytes = npt.NDArray[np.uint8]
Checksums = npt.NDArray[np.uint32]
ShapeIds = npt.NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class SegmentForm:
    """What the samples of one segment have in common: who has another form needs another segment.

    ``backend``      a format code
    ``ragged``       samples of any shapes; there is no ``shape`` then
    ``chunk_items``  items of one chunk of a ragged HDF5 segment, which all have one size there
    """

    backend: str
    dtype: str = ""
    shape: tuple[int, ...] = ()
    options: tuple[tuple[str, Any], ...] = ()
    ragged: bool = False
    chunk_items: int = 0

    @classmethod
    def of(cls, schema: Schema, chunk_items: int = 0) -> SegmentForm:
        """The form of a column's segments."""
        shape = () if schema.variable_shape else schema.shape
        return cls(
            schema.backend,
            schema.dtype,
            shape,
            schema.backend_options,
            schema.variable_shape,
            chunk_items,
        )


class SegmentLost(Exception):
    """The process that wrote the segment died; nothing of the batch is named.

    Seal it and append the same batch to a new segment. All that was appended before is intact.
    """


class SegmentFile(Protocol):
    """One data file of a backend: appended to while open, unchanged for ever once sealed.

    Appends may come from several threads at once. After an append raised, nothing of that batch is
    named anywhere; the segment may be sealed, or used on.
    """

    number: int
    format_code: int
    path: Path

    @property
    def is_lost(self) -> bool:
        """Whether its process died: the next start looks whether the file is what it should be."""

    @property
    def length_bytes(self) -> int:
        """Valid bytes of the data file."""

    @property
    def rows_bytes(self) -> int:
        """Valid bytes of the ``.rows`` file (of a log: of itself)."""

    @property
    def is_full(self) -> bool:
        """Whether the next batch belongs into another segment."""

    def sync(self) -> None:
        """Make all that was appended durable. Errors: NoSpace, Corrupt (``sync-failed``)."""

    def seal(self) -> None:
        """Bring the file into its final form and make it durable; no append after this."""

    def close(self) -> None:
        """Release the files; may be called twice."""


class Segment(SegmentFile, Protocol):
    """A segment of samples of one shape."""

    def append(self, rows: Bytes, digests: Bytes, crcs: Checksums) -> Bytes:
        """Store rows (n, row bytes); their specs (n, 32).

        When it returns, rows and their ``.rows`` record outlive this process.
        Errors: NoSpace before anything is named; OSError; SegmentLost.
        """


class RaggedSegment(SegmentFile, Protocol):
    """A segment of samples of any shapes."""

    def append_ragged(
        self, rows: RaggedRows, digests: Bytes, crcs: Checksums, shape_ids: ShapeIds
    ) -> Bytes:
        """Store rows; their specs (n, 32). As ``Segment.append``."""


def create_file(disk: Disk, path: Path, header: bytes) -> int:
    """A new file with its header, open; nothing is left of it when that fails.

    Errors: FileExistsError, NoSpace.
    """
    fd = disk.create(path)
    try:
        disk.write(fd, header, 0)
    except BaseException:
        disk.close(fd)
        disk.unlink(path)
        raise
    return fd


class RowsFile:
    """Appends to the ``.rows`` file of one segment."""

    def __init__(self, disk: Disk, data_path: Path, number: int) -> None:
        self._disk = disk
        path = Path(rows_path(str(data_path)))
        self._fd = create_file(disk, path, rows_header(number))
        self.length_bytes = HEADER_BYTES

    def append(self, digests: Bytes, specs: Bytes) -> None:
        record = encode_rows(digests, specs)
        self._disk.write(self._fd, record, self.length_bytes)
        self.length_bytes += len(record)

    def sync(self) -> None:
        self._disk.sync(self._fd)

    def close(self) -> None:
        if self._fd >= 0:
            self._disk.close(self._fd)
            self._fd = -1


class Reservation:
    """Disk space taken ahead of an append-only file's end, in steps that grow with the file."""

    STEP_BYTES_MIN = 1 << 20
    STEP_BYTES_MAX = 64 << 20

    def __init__(self, disk: Disk, fd: int, length_bytes: int) -> None:
        self._disk = disk
        self._fd = fd
        self._reserved_bytes = length_bytes

    def ensure(self, end_bytes: int) -> None:
        """Space up to ``end_bytes`` is there when this returns. Errors: NoSpace."""
        wanted = end_bytes - self._reserved_bytes
        if wanted <= 0:
            return
        step = min(max(end_bytes // 2, self.STEP_BYTES_MIN), self.STEP_BYTES_MAX)
        # On a disk that is nearly full, room is left for the other files.
        step = max(wanted, min(step, self._disk.free_bytes(self._fd) // 8))
        try:
            self._disk.reserve(self._fd, self._reserved_bytes, step)
        except NoSpace:
            if step == wanted:
                raise
            step = wanted
            self._disk.reserve(self._fd, self._reserved_bytes, step)
        self._reserved_bytes += step
