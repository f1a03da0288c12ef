"""What happens when a repository is opened: the state of the last answered request comes back.

Everything is driven by what LMDB says: which files are sealed, and up to where the others are in
the persistent index. What lies beyond was flushed but not committed; after a kill it is read into
the index, after a power cut (the boot id differs) or a failed fsync it is dropped, since bytes and
records may have reached the disk in any order. Every file that was open is sealed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hangard.backends.disk import Disk
from hangard.backends.hdf5_writer import Hdf5Writer
from hangard.backends.numpy_segment import seal_abandoned
from hangard.db.environment import WritableEnvironment
from hangard.encoding.journal import KIND_PUT, JournalRecord
from hangard.encoding.log import HEADER_BYTES, scan_log
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
    trusted = last_boot_id == boot_id and not (directory / SYNC_FAILED).exists()
    index = Index(directory, disk)
    for path, record in known.items():
        if record.kind == "run":
            index.add_run(path, record)
    index.load(*entries)
    found = Recovered(index, heads, sessions, next_number)
    for path, kind, number in _data_files(directory):
        found.next_number = max(found.next_number, number + 1)
        record = known.get(path) or FileRecord(kind, number, "open")
        if record.state == "sealed":
            continue
        _take_over(directory, path, record, trusted, found, disk, hdf5)
    _drop_strays(directory, known, sessions)
    for path in known:
        if not (directory / path).exists():
            raise Corrupt(f"{path} is missing", code="missing-file", path=path)
    with env.write() as tables:
        tables.put_meta("boot-id", boot_id)
    with suppress(FileNotFoundError):
        (directory / SYNC_FAILED).unlink()
    return found


def _take_over(
    directory: Path,
    path: str,
    record: FileRecord,
    trusted: bool,
    found: Recovered,
    disk: Disk,
    hdf5: Hdf5Writer,
) -> None:
    """Index what an open file holds beyond its record, and seal it."""
    file = directory / path
    content = _records(file, record.kind)
    if record.kind != "log":
        digests, specs, end = scan_rows(content, record.indexed_bytes)
    elif len(content) < HEADER_BYTES:
        digests, specs, end = scan_rows(b"")
    else:
        found_records = scan_log(content, record.indexed_bytes)
        digests, specs, end = found_records.digests, found_records.specs, found_records.end_bytes
    end = max(end, record.indexed_bytes)
    if not trusted:
        digests, specs, end = digests[:0], specs[:0], record.indexed_bytes
    if not len(digests) and not record.indexed_bytes:
        # Nothing in it was ever named by an answer that survives.
        file.unlink(missing_ok=True)
        Path(rows_path(str(file))).unlink(missing_ok=True)
        return
    if record.kind == "numpy":
        seal_abandoned(file, len(scan_rows(content[:end])[0]), disk)
    found.index.add(digests, specs)
    found.files[path] = FileRecord(
        record.kind,
        record.number,
        "sealed",
        length_bytes=file.stat().st_size if record.kind != "log" else end,
        indexed_bytes=end,
        dtype=record.dtype,
        shape=record.shape,
        options=record.options,
    )


def replayable(
    records: Iterable[JournalRecord],
    find_many: Callable[[Bytes], tuple[Bytes, npt.NDArray[np.bool_]]],
) -> Iterator[JournalRecord]:
    """The records of a journal up to the first that names a digest which is not stored."""
    for record in records:
        if record.kind == KIND_PUT and not find_many(record.digests)[1].all():
            return
        yield record


def _records(file: Path, kind: FileKind) -> bytes:
    """The file that says what lies in a data file: a log itself, or the ``.rows`` beside it."""
    source = file if kind == "log" else Path(rows_path(str(file)))
    try:
        return source.read_bytes()
    except FileNotFoundError:
        return b""


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
    journals = {journal_path(record.id) for record in sessions}
    for file in (directory / SESSIONS).iterdir():
        if f"{SESSIONS}/{file.name}" not in journals:
            file.unlink()
