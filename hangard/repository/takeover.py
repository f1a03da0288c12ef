"""What a daemon that was killed left open: brought into the index, and sealed.

Damage is logged and passed over. What was staged of it is lost, and whoever staged it is told;
reading what was committed of it raises Corrupt.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
from hangard_ext.recordspec import FLAG_RAGGED, unpack_many

from hangard.backends.disk import Disk
from hangard.backends.hdf5_rebuild import rebuild, wait_until_released
from hangard.backends.hdf5_writer import Hdf5Writer
from hangard.backends.log import scan_log
from hangard.backends.numpy_segment import seal_abandoned
from hangard.backends.segment import SegmentLost
from hangard.encoding.rows import scan_rows
from hangard.errors import Corrupt
from hangard.index import Index
from hangard.model.directory import data_path, format_code_of, rows_path
from hangard.model.files import FileRecord
from hangard.model.options import hdf5_options
from hangard.model.ragged import shape_of_id
from hangard.repository.storage import SYNC_FAILED

Bytes = npt.NDArray[np.uint8]

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Takeover:
    """Files of the last life. ``trusted``: what lies beyond the persistent index may be used, since
    it went through the memory of this very start of the machine.

    ``find_shape`` gives the interned shape of a number.
    ``files`` are the records of files sealed here, ``next_number`` the next one to give to a file.
    """

    directory: Path
    disk: Disk
    hdf5: Hdf5Writer
    index: Index
    trusted: bool
    next_number: int
    find_shape: Callable[[int], tuple[int, ...]]
    files: dict[str, FileRecord] = field(default_factory=dict)

    def take_over(self, path: str, record: FileRecord) -> None:
        """Seal a file that was open. Errors: NoSpace, Corrupt (``sync-failed``), Busy."""
        file = self.directory / path
        if record.kind == "hdf5":
            wait_until_released(file)
        damage: Exception | None = None
        digests, specs, end = *_nothing(), record.indexed_bytes
        try:
            if self.trusted:
                digests, specs, end = _named(file, record)
        except Corrupt as error:
            damage = error
        if not len(digests) and not record.indexed_bytes and damage is None:
            # Nothing in it was ever named by an answer that survives.
            file.unlink()
            Path(rows_path(str(file))).unlink(missing_ok=True)
            return
        try:
            if record.kind == "hdf5" and record.dtype and not self.hdf5.is_readable(file):
                digests, specs = self._rebuilt(path, record, end)
            if record.kind == "numpy":
                seal_abandoned(file, scan_rows(_rows_of(file)[:end])[1], self.disk)
        except (ValueError, SegmentLost) as error:
            damage = error
        except Corrupt as error:
            if error.code == "sync-failed":
                raise
            damage = error
        if damage is not None:
            _log.error("%s is damaged: %s", file, damage)
        if len(digests):
            self._sync(file)
        self.index.add(digests, specs)
        self.files[path] = msgspec.structs.replace(
            record,
            state="sealed",
            length_bytes=end if record.kind == "log" else file.stat().st_size,
            indexed_bytes=end,
        )

    def _sync(self, file: Path) -> None:
        """The last life may have left it in the kernel's cache only; now commits may name it."""
        for path in (file, Path(rows_path(str(file)))):
            if not path.exists():
                continue
            fd = self.disk.open(path)
            try:
                self.disk.sync(fd)
            except Corrupt:
                # The kernel tells of it once: the next life must not trust these bytes either.
                (self.directory / SYNC_FAILED).touch()
                raise
            finally:
                self.disk.close(fd)

    def _rebuilt(self, old: str, record: FileRecord, end: int) -> tuple[Bytes, Bytes]:
        """Copy all rows into a new file; digests and their new specs. The old file stays."""
        file, format_code = self.directory / old, format_code_of(old)
        digests, specs, _ = scan_rows(_rows_of(file)[:end])
        sizes = self._sizes(record, specs)
        number, self.next_number = self.next_number, self.next_number + 1
        path = data_path(format_code, number)
        rebuilt = rebuild(
            file,
            digests,
            specs,
            self.directory / path,
            number,
            record.dtype,
            record.shape,
            options=hdf5_options(dict(record.options)),
            disk=self.disk,
            writer=self.hdf5,
            format_code=format_code,
            sizes=sizes,
        )
        _log.warning("%s was no valid HDF5 file; its rows are in %s now", file, path)
        if len(rebuilt.lost):
            _log.error("%s: %d damaged samples could not be copied", file, len(rebuilt.lost))
        self.files[path] = msgspec.structs.replace(
            record,
            number=number,
            state="sealed",
            length_bytes=rebuilt.length_bytes,
            indexed_bytes=rebuilt.rows_bytes,
        )
        return rebuilt.digests, rebuilt.specs

    def _sizes(self, record: FileRecord, specs: Bytes) -> npt.NDArray[np.int64] | None:
        """Bytes of samples of variable shape, by what their specs say of it; None of others."""
        fields = unpack_many(specs)
        if not (fields["flags"] & FLAG_RAGGED).any():
            return None
        item_bytes = np.dtype(record.dtype).itemsize
        ids = fields["shape_id"].tolist()
        items = [prod(shape_of_id(number, self.find_shape)) for number in ids]
        return np.array(items, np.int64) * item_bytes


def _named(file: Path, record: FileRecord) -> tuple[Bytes, Bytes, int]:
    """Digests and specs that a log, or the ``.rows`` beside a segment, names beyond what LMDB says
    is indexed, and where they end. Errors: Corrupt for a file of another kind."""
    start = record.indexed_bytes
    if record.kind == "log":
        digests, specs, end = scan_log(file, record.number, start)
    else:
        digests, specs, end = scan_rows(_rows_of(file), start)
    fields = unpack_many(specs)
    inside = fields["offset"] + fields["stored_length"] <= file.stat().st_size
    if not inside.all():
        lost = len(inside) - int(np.count_nonzero(inside))
        _log.error("%s was cut off: %d samples that were staged are lost", file, lost)
    return digests[inside], specs[inside], max(end, start)


def _nothing() -> tuple[Bytes, Bytes]:
    return np.empty((0, 32), np.uint8), np.empty((0, 32), np.uint8)


def _rows_of(file: Path) -> bytes:
    """The ``.rows`` file beside a segment."""
    rows = Path(rows_path(str(file)))
    return rows.read_bytes() if rows.exists() else b""
