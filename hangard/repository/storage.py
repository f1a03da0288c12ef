"""Where sample bytes and nodes go: the log, the open segments and the index over them.

Any thread may write. The writer's thread takes *checkpoints*: what the index learnt since the last
one is made durable and handed to the transaction that also names the commits which need it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from hangard_ext.digest import crc32c_many
from hangard_ext.ragged import crc32c_ragged

from hangard.backends.disk import Disk
from hangard.backends.log import Log, Records
from hangard.backends.ragged_chunks import RaggedBatch
from hangard.backends.segment import SegmentFile, SegmentForm, SegmentLost, ShapeIds
from hangard.db.tables import WriteTables
from hangard.errors import Closed, HangardError
from hangard.index import Index, Pending
from hangard.limits import INDEX_SMALL_ENTRIES_MAX, LOG_ROWS_BYTES_MAX, SEGMENTS_OPEN_MAX
from hangard.model.directory import (
    FORMAT_BYTES,
    FORMAT_HDF5,
    FORMAT_HDF5_FIXED,
    FORMAT_LOG,
    FORMAT_NUMPY,
    FORMAT_STR,
    data_path,
    run_path,
)
from hangard.model.files import FileKind, FileRecord
from hangard.model.ragged import RaggedRows
from hangard.model.schema import Schema
from hangard.repository.usage import Usage

Bytes = npt.NDArray[np.uint8]
SegmentFactory = Callable[[SegmentForm, int], SegmentFile]

KINDS: dict[int, FileKind] = {
    FORMAT_LOG: "log",
    FORMAT_HDF5: "hdf5",
    FORMAT_HDF5_FIXED: "hdf5",
    FORMAT_NUMPY: "numpy",
    FORMAT_STR: "packed",
    FORMAT_BYTES: "packed",
}

LOG_FORM = SegmentForm("20")

WRITE_ATTEMPTS_MAX = 3
SYNCS_AT_ONCE_MAX = 4

# A file of this name marks that an fsync failed: the next life trusts only what LMDB names.
SYNC_FAILED = "sync-failed"


@dataclass(slots=True, eq=False)
class OpenFile:
    """A segment or log that takes appends, and the writes to it that are under way."""

    segment: SegmentFile
    path: str
    record: FileRecord
    in_flight: dict[int, int] = field(default_factory=dict)  # write -> rows_bytes at its start
    checkpointed_bytes: int = -1
    synced_bytes: int = -1
    used: int = 0

    @property
    def indexed_bytes(self) -> int:
        """Up to here every record of the ``.rows`` file is in the index."""
        return min([self.segment.rows_bytes, *self.in_flight.values()])


@dataclass(frozen=True, slots=True)
class EarlyRun:
    """The run of what was pending before a group of commits was planned, written meanwhile."""

    pending: Pending
    path: str
    positions: dict[int, int]
    written: Future[FileRecord]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a transaction must name so that all index entries up to now are found after a crash.

    ``late``: what went into logs since an early run began, whoever wrote it: the commits that were
    planned meanwhile may count on its nodes, and up to its end a log is indexed.
    """

    pending: Pending
    late: Pending | None
    run: str | None
    files: dict[str, FileRecord]
    next_number: int
    strays: tuple[str, ...]  # runs of checkpoints that failed
    positions: dict[int, int]  # id of an OpenFile -> its indexed bytes
    sealed: tuple[OpenFile, ...]

    def write(self, tables: WriteTables) -> None:
        """Write it into a transaction."""
        if self.run is None:
            tables.put_specs(self.pending.digests, self.pending.specs)
        else:
            tables.clear_specs()
            if self.late is not None:
                tables.put_specs(self.late.digests, self.late.specs)
        for path, record in self.files.items():
            tables.put_file(path, record)
        tables.put_counter("next-file", self.next_number)


class Storage:
    """All files of a repository that samples and nodes are written to. Thread-safe."""

    def __init__(
        self,
        directory: Path,
        disk: Disk,
        index: Index,
        *,
        next_number: int,
        create_segment: SegmentFactory,
    ) -> None:
        self._directory = directory
        self._disk = disk
        self._index = index
        self._create_segment = create_segment
        self._next_number = next_number
        self._next_write = 0
        self.usage = Usage()
        self._lock = threading.RLock()
        self._open: dict[SegmentForm, OpenFile] = {}
        self._retired: list[OpenFile] = []
        self._recovered: dict[str, FileRecord] = {}
        self._strays: set[str] = set()
        self._early: EarlyRun | None = None
        self._failure: HangardError | None = None
        # The disk does several files at once faster than one after another.
        self._syncs = ThreadPoolExecutor(SYNCS_AT_ONCE_MAX, thread_name_prefix="hangard-sync")

    def find_many(self, digests: Bytes) -> tuple[Bytes, npt.NDArray[np.bool_]]:
        """Specs (n, 32) of digests (n, 32) and whether each was found."""
        return self._index.find_many(digests)

    def find_known(self, digests: Bytes) -> tuple[Bytes, npt.NDArray[np.bool_]]:
        """As ``find_many``; what was erased on purpose counts as found."""
        specs, found = self._index.find_many(digests)
        return specs, found | self.usage.were_purged(digests)

    def find_used(self, digests: Bytes) -> npt.NDArray[np.bool_]:
        """Which of these are stored; who asks counts on them from now on."""
        with self.usage.lock:
            self.usage.note(digests)
            return self._index.find_many(digests)[1]

    def write_rows(
        self, schema: Schema, digests: Bytes, rows: Bytes, *, may_log: bool = True
    ) -> None:
        """Store rows (n, sample bytes) under their digests; they are in the index on return.

        Few bytes go into the log, unless ``may_log`` is False.
        Errors: NoSpace, Closed (``storage-failed``).
        """
        crcs = np.empty(len(digests), np.uint32)
        crc32c_many(rows, schema.sample_bytes, crcs)
        if may_log and rows.nbytes < LOG_ROWS_BYTES_MAX:
            with self._writing(LOG_FORM, self._create_log) as log:
                self._index.add(digests, log.append(rows, digests, crcs), logged=True)
            return
        form = SegmentForm.of(schema)
        self._append(form, digests, lambda to: to.append(rows, digests, crcs))

    def write_ragged(
        self,
        schema: Schema,
        digests: Bytes,
        rows: RaggedRows,
        shape_ids: ShapeIds,
        *,
        may_log: bool = True,
    ) -> None:
        """Store rows of any shapes, as ``write_rows``; ``shape_ids`` (n,) are durable already."""
        crcs = crc32c_ragged(rows.data, rows.ends)
        batch = RaggedBatch(rows, digests, crcs, shape_ids)
        if may_log and rows.nbytes < LOG_ROWS_BYTES_MAX:
            with self._writing(LOG_FORM, self._create_log) as log:
                self._index.add(digests, batch.append_to(log), logged=True)
            return
        for form, part in batch.by_form(schema):
            self._append(form, part.digests, part.append_to)

    def _append(self, form: SegmentForm, digests: Bytes, append: Callable[[Any], Bytes]) -> None:
        for attempt in range(WRITE_ATTEMPTS_MAX):
            with self._writing(form, partial(self._create_segment, form)) as segment:
                try:
                    self._index.add(digests, append(segment))
                    return
                except SegmentLost:
                    # Its process died: the segment is full now, and the batch goes into the next.
                    if attempt == WRITE_ATTEMPTS_MAX - 1:
                        raise

    def write_nodes(self, digests: Bytes, blob: bytes, ends: npt.NDArray[np.uint64]) -> None:
        """Store tree nodes that are not stored yet. Errors: NoSpace, Closed."""
        with self._writing(LOG_FORM, self._create_log) as log:
            assert isinstance(log, Log)
            self._index.add(digests, log.append_nodes(digests, blob, ends), logged=True)

    def write_records(self, kind: int, digests: Bytes, records: Records) -> None:
        """Write what lies in a log into another one as it is; see Log.append_records."""
        with self._writing(LOG_FORM, self._create_log) as log:
            assert isinstance(log, Log)
            specs = log.append_records(kind, digests, records)
            self._index.add(digests, specs, logged=True)

    def begin_run(self) -> None:
        """Start on the run that the next checkpoint needs, if much is pending; the writer's thread
        calls this before it plans commits: both take about as long (bench/bench_ingest.py)."""
        if self._index.pending_count <= INDEX_SMALL_ENTRIES_MAX:
            return
        with self._lock:
            self._check_healthy()
            positions = {
                id(file): file.indexed_bytes for file in [*self._open.values(), *self._retired]
            }
            pending = self._index.pending(follow_log=True)
            number = self.take_number()
            path = run_path(number)
            self._strays.add(path)
            written = self._syncs.submit(self._index.write_run, number, pending)
            self._early = EarlyRun(pending, path, positions, written)

    def drop_run(self) -> None:
        """Give an early run up that no checkpoint took; a later one removes the file."""
        with self._lock:
            early, self._early = self._early, None
        if early is not None and (error := early.written.exception()) is not None:
            self._marked(error)

    def checkpoint(self) -> Checkpoint:
        """Make everything that the index holds durable; only the writer's thread calls this.

        With an early run: what that holds, and what came later into logs.

        Errors: NoSpace, and nothing is lost; Corrupt (``sync-failed``), and nothing is accepted
        any more until the repository is opened again.
        """
        with self._lock:
            self._check_healthy()
            # The snapshot comes before the sync: all that it names was written before it.
            files = [*self._open.values(), *self._retired]
            early, self._early = self._early, None
            positions = {
                id(file): file.indexed_bytes
                if early is None or file.segment.format_code == FORMAT_LOG
                else early.positions.get(id(file), 0)
                for file in files
            }
            # One with entries that this checkpoint leaves out is looked through after a crash.
            sealed = tuple(
                file
                for file in self._retired
                if not file.in_flight and file.segment.rows_bytes == positions[id(file)]
            )
            pending = self._index.pending() if early is None else early.pending
            late = None if early is None else self._index.late()
            # Not the positions: a write whose entries are pending may still count as in flight.
            lengths = [(file, file.segment.rows_bytes) for file in files]
            strays = tuple(self._strays)
            records = dict(self._recovered)
        changed = [file for file in files if positions[id(file)] != file.checkpointed_bytes]
        run = self._make_durable(lengths, pending, early, records)
        try:
            for file in sealed:
                file.segment.seal()
        except HangardError as error:
            raise self._marked(error) from error
        for file in {*changed, *sealed}:
            records[file.path] = msgspec.structs.replace(
                file.record,
                state="sealed" if file in sealed and not file.segment.is_lost else "open",
                length_bytes=file.segment.length_bytes,
                indexed_bytes=positions[id(file)],
            )
        strays = tuple(stray for stray in strays if stray != run)
        return Checkpoint(pending, late, run, records, self._next_number, strays, positions, sealed)

    def _make_durable(
        self,
        lengths: list[tuple[OpenFile, int]],
        pending: Pending,
        early: EarlyRun | None,
        records: dict[str, FileRecord],
    ) -> str | None:
        """Sync what changed, and write the run if one is due: its path; ``records`` get it."""
        unsynced = [(file, length) for file, length in lengths if length != file.synced_bytes]
        syncs = [self._syncs.submit(file.segment.sync) for file, _ in unsynced[1:]]
        run = None
        errors: list[BaseException | None] = []
        try:
            if early is not None:
                run = early.path
                records[run] = early.written.result()
            elif self._index.needs_run(pending):
                number = self.take_number()
                run = run_path(number)
                self._strays.add(run)
                records[run] = self._index.write_run(number, pending)
            for file, _ in unsynced[:1]:
                file.segment.sync()
        except Exception as error:
            errors.append(error)
        # Each one is asked for its outcome, since the kernel tells of a failed fsync only once.
        errors += [sync.exception() for sync in syncs]
        failed = [self._marked(error) for error in errors if error is not None]
        if failed:
            raise next((error for error in failed if _is_sync_failure(error)), failed[0])
        for file, length in unsynced:
            file.synced_bytes = length
        return run

    def _marked(self, error: BaseException) -> BaseException:
        """The error; after a failed fsync nothing is accepted any more."""
        if isinstance(error, HangardError) and _is_sync_failure(error):
            self.fail(error)
        return error

    def checkpointed(self, checkpoint: Checkpoint) -> None:
        """The transaction that names the checkpoint is durable."""
        # First of all, since LMDB names the run now, whatever fails below.
        self._strays.discard(checkpoint.run or "")
        self._index.checkpointed(checkpoint.pending, checkpoint.run, checkpoint.late)
        with self._lock:
            for file in [*self._open.values(), *self._retired]:
                position = checkpoint.positions.get(id(file))
                if position is not None:
                    file.checkpointed_bytes = position
            self._retired = [file for file in self._retired if file not in checkpoint.sealed]
            for path in checkpoint.files:
                self._recovered.pop(path, None)
        for stray in checkpoint.strays:
            self._strays.discard(stray)
            self._disk.unlink(self._directory / stray)
        for file in checkpoint.sealed:
            file.segment.close()

    def name_recovered(self, files: dict[str, FileRecord]) -> None:
        """Files that recovery sealed; the next checkpoint names them."""
        with self._lock:
            self._recovered.update(files)

    def retire_before(self, time_s: float) -> None:
        """Let the next checkpoint seal files that nothing was written to since then."""
        with self._lock:
            for key, file in list(self._open.items()):
                if not file.in_flight and file.segment.path.stat().st_mtime <= time_s:
                    self._retired.append(self._open.pop(key))

    def retire_all(self) -> None:
        """Let the next checkpoint seal every file; used when the repository closes."""
        with self._lock:
            self._retired += self._open.values()
            self._open.clear()

    def close(self) -> None:
        """Close all files as they are."""
        self._syncs.shutdown()
        with self._lock:
            self._failure = Closed("the repository is closed", code="repository-closed")
            for file in [*self._open.values(), *self._retired]:
                file.segment.close()
            self._open.clear()
            self._retired.clear()

    @property
    def open_files(self) -> int:
        return len(self._open) + len(self._retired)

    @contextmanager
    def _writing(self, form: SegmentForm, create: Callable[[int], Any]) -> Iterator[Any]:
        """The open file of a kind, kept open and counted as being written until the block ends."""
        with self._lock:
            self._check_healthy()
            file = self._open.get(form)
            if file is not None and file.segment.is_full:
                self._retired.append(self._open.pop(form))
                file = None
            if file is None:
                self._make_room()
                file = self._open[form] = self._opened(create(self.take_number()), form)
            self._next_write += 1
            number = file.used = self._next_write
            file.in_flight[number] = file.segment.rows_bytes
        try:
            yield file.segment
        finally:
            with self._lock:
                del file.in_flight[number]

    def _opened(self, segment: SegmentFile, form: SegmentForm) -> OpenFile:
        record = FileRecord(
            KINDS[segment.format_code],
            segment.number,
            "open",
            dtype=form.dtype,
            shape=form.shape,
            options=form.options,
        )
        path = data_path(segment.format_code, segment.number)
        return OpenFile(segment, path, record)

    def _make_room(self) -> None:
        """Retire the file that was not used for longest when too many are open."""
        if len(self._open) >= SEGMENTS_OPEN_MAX:
            oldest = min(self._open, key=lambda key: self._open[key].used)
            self._retired.append(self._open.pop(oldest))

    def take_number(self) -> int:
        """The next file number."""
        with self._lock:
            number = self._next_number
            self._next_number += 1
            return number

    def _create_log(self, number: int) -> Log:
        return Log(self._directory / data_path(FORMAT_LOG, number), number, self._disk)

    def fail(self, error: HangardError) -> None:
        """Accept nothing more: what was answered for may not be on the disk."""
        self._failure = error
        with suppress(OSError):
            (self._directory / SYNC_FAILED).touch()

    def _check_healthy(self) -> None:
        if self._failure is not None:
            raise self._failure.again()


def _is_sync_failure(error: BaseException) -> bool:
    return isinstance(error, HangardError) and error.code == "sync-failed"
