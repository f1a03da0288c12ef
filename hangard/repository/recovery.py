"""What happens when a repository is opened: the state of the last answered request comes back.

Everything is driven by what LMDB says: which files are sealed, and up to where the others are in
the persistent index. What lies beyond was flushed but not committed; after a kill it is read into
the index, after a power cut (the boot id differs) or a failed fsync it is dropped, since bytes and
records may have reached the disk in any order. Every file that was open is sealed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from hangard.backends.disk import Disk
from hangard.backends.hdf5_rebuild import rebuild, wait_until_released
from hangard.backends.hdf5_writer import Hdf5Writer
from hangard.backends.log import scan_log
from hangard.backends.numpy_segment import seal_abandoned
from hangard.db.environment import WritableEnvironment
from hangard.encoding.records import HEADS, SessionRecord
from hangard.encoding.rows import scan_rows
from hangard.errors import Corrupt
from hangard.index import Index
from hangard.model.directory import (
    FORMAT_HDF5,
    FORMAT_LOG,
    FORMAT_NUMPY,
    RUNS,
    SESSIONS,
    data_path,
    journal_path,
    rows_path,
)
from hangard.model.files import FileKind, FileRecord
from hangard.model.options import hdf5_options
from hangard.repository.storage import SYNC_FAILED

Bytes = npt.NDArray[np.uint8]

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def current_boot_id() -> bytes:
    """Differs between two starts of the machine."""
    try:
        return BOOT_ID.read_bytes().strip()
    except OSError:
        return b"unknown"


@dataclass(slots=True)
class Recovered:
    """What the last life left: the index, branch heads, sessions, and files sealed just now."""

    index: Index
    heads: dict[str, bytes | None]
    sessions: list[SessionRecord]
    next_number: int
    files: dict[str, FileRecord] = field(default_factory=dict)


def recover(env: WritableEnvironment, disk: Disk, hdf5: Hdf5Writer, boot_id: bytes) -> Recovered:
    """Bring the index up to what was flushed, and seal what was open.

    Errors: Corrupt when a file that LMDB names is missing or is not what it should be.
    """
    directory = env.directory
    with env.read() as tables:
        known = dict(tables.files())
        heads = {
            name.removeprefix(HEADS.decode()): digest or None for name, digest in tables.refs(HEADS)
        }
        sessions = list(tables.sessions())
        entries = tables.index_entries()
        last_boot_id = tables.find_meta("boot-id")
        next_number = tables.counter("next-file")
    for path in known:
        if not (directory / path).exists():
            raise Corrupt(f"{path} is missing", code="missing-file", path=path)
    index = Index(directory, disk)
    for path, record in known.items():
        if record.kind == "run":
            index.add_run(path, record)
    index.load(*entries)
    files = list(_data_files(directory))
    # A merged run may have taken a number after the counter was last written.
    numbers = [number for _, _, number in files] + [record.number for record in known.values()]
    next_number = max([next_number, 1, *(number + 1 for number in numbers)])
    found = Recovered(index, heads, sessions, next_number)
    trusted = last_boot_id == boot_id and not (directory / SYNC_FAILED).exists()
    takeover = _Takeover(directory, disk, hdf5, trusted, found)
    for path, kind, number in files:
        record = known.get(path) or FileRecord(kind, number, "open")
        if record.state == "open":
            takeover.take_over(path, record)
    _drop_strays(directory, known, sessions)
    with env.write() as tables:
        tables.put_meta("boot-id", boot_id)
    with suppress(FileNotFoundError):
        (directory / SYNC_FAILED).unlink()
    return found


@dataclass(frozen=True, slots=True)
class _Takeover:
    """Brings files that were open into the index, and seals them."""

    directory: Path
    disk: Disk
    hdf5: Hdf5Writer
    trusted: bool
    found: Recovered

    def take_over(self, path: str, record: FileRecord) -> None:
        file = self.directory / path
        digests, specs, end = _named(file, record, record.indexed_bytes)
        end = max(end, record.indexed_bytes)
        if not self.trusted:
            digests, specs, end = digests[:0], specs[:0], record.indexed_bytes
        if record.kind == "hdf5":
            wait_until_released(file)
        if not len(digests) and not record.indexed_bytes:
            # Nothing in it was ever named by an answer that survives.
            file.unlink()
            Path(rows_path(str(file))).unlink(missing_ok=True)
            return
        if record.kind == "hdf5" and record.dtype and not self.hdf5.is_readable(file):
            digests, specs = self._rebuilt(file, record, end)
        if record.kind == "numpy":
            seal_abandoned(file, self._count(file, end), self.disk)
        if len(digests):
            self._sync(file)
        self.found.index.add(digests, specs)
        self.found.files[path] = msgspec.structs.replace(
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

    def _count(self, file: Path, end: int) -> int:
        """Rows that are named up to byte ``end`` of the ``.rows`` file."""
        return len(scan_rows(Path(rows_path(str(file))).read_bytes()[:end])[0])

    def _rebuilt(self, file: Path, record: FileRecord, end: int) -> tuple[Bytes, Bytes]:
        """Copy all rows into a new file; digests and their new specs. The old file stays."""
        content = Path(rows_path(str(file))).read_bytes()
        digests, specs, _ = scan_rows(content[:end])
        number, self.found.next_number = self.found.next_number, self.found.next_number + 1
        path = data_path(FORMAT_HDF5, number)
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
        )
        self.found.files[path] = msgspec.structs.replace(
            record,
            number=number,
            state="sealed",
            length_bytes=rebuilt.length_bytes,
            indexed_bytes=rebuilt.rows_bytes,
        )
        return rebuilt.digests, rebuilt.specs


def _named(file: Path, record: FileRecord, start: int) -> tuple[Bytes, Bytes, int]:
    """Digests and specs that a log, or the ``.rows`` beside a segment, names from a byte on."""
    if record.kind == "log":
        return scan_log(file, record.number, start)
    rows = Path(rows_path(str(file)))
    return scan_rows(rows.read_bytes() if rows.exists() else b"", start)


def _data_files(directory: Path) -> Iterator[tuple[str, FileKind, int]]:
    """Every log and segment in the directory: its path below it, kind and number."""
    kinds: tuple[tuple[FileKind, int], ...] = (
        ("log", FORMAT_LOG),
        ("hdf5", FORMAT_HDF5),
        ("numpy", FORMAT_NUMPY),
    )
    for kind, code in kinds:
        folder = (directory / data_path(code, 0)).parent
        suffix = Path(data_path(code, 0)).suffix
        for file in sorted(folder.glob(f"*{suffix}")):
            with suppress(ValueError):
                number = int(file.stem, 16)
                yield data_path(code, number), kind, number


def _drop_strays(
    directory: Path, known: dict[str, FileRecord], sessions: list[SessionRecord]
) -> None:
    """Unlink runs and journals that nothing names: their transaction never happened."""
    for file in (directory / RUNS).iterdir():
        if f"{RUNS}/{file.name}" not in known:
            file.unlink()
    journals = {journal_path(record.id, record.journal) for record in sessions}
    for file in (directory / SESSIONS).iterdir():
        if f"{SESSIONS}/{file.name}" not in journals:
            file.unlink()
