"""What happens when a repository is opened: the state of the last answered request comes back.

Everything is driven by what LMDB says: which files are sealed, and up to where the others are in
the persistent index. What lies beyond was flushed but not committed; after a kill it is read into
the index, after a power cut (the boot id differs) or a failed fsync it is dropped, since bytes and
records may have reached the disk in any order. Every file that was open is sealed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hangard.backends.disk import Disk
from hangard.backends.hdf5_writer import Hdf5Writer
from hangard.db.environment import WritableEnvironment
from hangard.encoding.records import HEADS, SessionRecord
from hangard.errors import Corrupt
from hangard.index import Index
from hangard.model.directory import (
    FORMAT_BYTES,
    FORMAT_HDF5,
    FORMAT_HDF5_FIXED,
    FORMAT_LOG,
    FORMAT_NUMPY,
    FORMAT_STR,
    RUNS,
    SESSIONS,
    data_path,
    journal_path,
)
from hangard.model.files import FileKind, FileRecord
from hangard.repository.reindexing import finish_drops, reindex_if_damaged
from hangard.repository.storage import SYNC_FAILED
from hangard.repository.takeover import Takeover

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
    files: dict[str, FileRecord]


def recover(env: WritableEnvironment, disk: Disk, hdf5: Hdf5Writer, boot_id: bytes) -> Recovered:
    """Bring the index up to what was flushed, and seal what was open.

    Damage is logged and passed over: reading what it hit raises Corrupt.
    Errors: Corrupt (``missing-file``) when a log or segment that LMDB names is missing.
    """
    directory = env.directory
    finish_drops(env, disk)
    reindex_if_damaged(env, disk)
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
            raise Corrupt(
                f"{directory / path} is missing. Put it back, from a backup if need be: until then"
                " the repository can be read, but not written",
                code="missing-file",
                file=str(directory / path),
            )
    index = Index(directory, disk)
    for path, record in known.items():
        if record.kind == "run":
            index.add_run(path, record)
    index.load(*entries)
    files = list(_data_files(directory))
    # A merged run may have taken a number after the counter was last written.
    numbers = [number for _, _, number in files] + [record.number for record in known.values()]
    next_number = max([next_number, 1, *(number + 1 for number in numbers)])
    trusted = last_boot_id == boot_id and not (directory / SYNC_FAILED).exists()
    takeover = Takeover(
        directory, disk, hdf5, index, trusted, next_number, partial(_find_shape, env)
    )
    for path, kind, number in files:
        record = known.get(path) or FileRecord(kind, number, "open")
        if record.state == "open":
            takeover.take_over(path, record)
    _drop_strays(directory, known, sessions)
    if last_boot_id != boot_id:  # a start on a full disk should not need its space
        with env.write() as tables:
            tables.put_meta("boot-id", boot_id)
    with suppress(FileNotFoundError):
        (directory / SYNC_FAILED).unlink()
    return Recovered(index, heads, sessions, takeover.next_number, takeover.files)


def _data_files(directory: Path) -> Iterator[tuple[str, FileKind, int]]:
    """Every log and segment in the directory: its path below it, kind and number."""
    kinds: tuple[tuple[FileKind, int], ...] = (
        ("log", FORMAT_LOG),
        ("hdf5", FORMAT_HDF5),
        ("hdf5", FORMAT_HDF5_FIXED),
        ("numpy", FORMAT_NUMPY),
        ("packed", FORMAT_STR),
        ("packed", FORMAT_BYTES),
    )
    for kind, code in kinds:
        folder = (directory / data_path(code, 0)).parent
        suffix = Path(data_path(code, 0)).suffix
        for file in sorted(folder.glob(f"*{suffix}")):
            with suppress(ValueError):
                number = int(file.stem, 16)
                yield data_path(code, number), kind, number


def _find_shape(env: WritableEnvironment, number: int) -> tuple[int, ...]:
    with env.read() as tables:
        shape = tables.find_shape(number)
    if shape is None:
        raise Corrupt(f"shape {number} is not in the repository", code="missing-shape")
    return shape


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
