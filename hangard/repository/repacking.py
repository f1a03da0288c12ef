"""Samples written again into the backend that their column has now.

A change of backend moves nothing, and small batches go to the log. Repacking brings what branches
lead to where the column's schema says, in the order of its keys, and small segments together into
large ones. Readers go on with the places they know: the old rows stay until gc drops their files.

It can be stopped at any time, by a crash too: what was written stays, and is in place for the next
run. Nothing waits for it: batches are small, and it takes its turn at the disk like any writer.

Units    sizes in bytes.
Errors   Busy (``maintenance-running``), NoSpace; Closed when the repository is closed meanwhile.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
from hangard_ext.recordspec import unpack_many

from hangard.db.environment import WritableEnvironment
from hangard.db.writer import Writer
from hangard.encoding.samples import digest_rows
from hangard.errors import Closed, Corrupt, UnknownColumn
from hangard.index import Index
from hangard.limits import MIB
from hangard.model.commit import Digest
from hangard.model.files import FileRecord
from hangard.model.options import HDF5_BACKENDS, hdf5_options
from hangard.model.ragged import RaggedRows
from hangard.model.schema import Schema
from hangard.reading.mapping import MappedFiles
from hangard.reading.samples import SampleReader
from hangard.repository.collecting import IndexLocations
from hangard.repository.committing import Heads, MakeCheckpoint
from hangard.repository.maintaining import Maintenance
from hangard.repository.nodes import Nodes
from hangard.repository.objects import Objects
from hangard.repository.storage import Storage
from hangard.tree.diff import diff_blocks
from hangard.tree.iterate import iterate
from hangard.tree.search import count
from hangard.wire.maintenance import Repacked

Bytes = npt.NDArray[np.uint8]

BATCH_BYTES_MAX = 8 * MIB  # rows in memory at a time; one larger sample comes alone
BATCH_ROWS_MAX = 16_384
CHECKPOINT_BYTES = 256 * MIB  # rewritten between two checkpoints
SMALL_SEGMENT_BYTES = 16 * MIB  # several below it become one


@dataclass(frozen=True, slots=True)
class _Part:
    """Samples of a column under one tree. ``base``: a tree whose samples came before; its
    differences are what is left."""

    column: str
    schema: Schema
    root: Digest
    base: Digest | None


@dataclass(slots=True)
class _Sums:
    samples: int = 0
    rewritten: int = 0
    rewritten_bytes: int = 0
    unreadable: int = 0
    since_checkpoint: int = 0


@dataclass(slots=True)
class _Places:
    """Which files hold a column's samples as its schema says."""

    schema: Schema
    records: dict[int, FileRecord]
    small: set[int] = field(default_factory=set)
    _known: dict[tuple[int, int], bool] = field(default_factory=dict)

    def note_small(self, files: Iterable[tuple[int, int]]) -> None:
        """Of (format code, number) of the files that hold the column's samples: several small ones
        in the right form are to become one."""
        found = set()
        for code, number in files:
            record = self.records.get(number)
            if (
                record is not None
                and self._suits(code, record)
                and record.state == "sealed"
                and record.length_bytes < SMALL_SEGMENT_BYTES
            ):
                found.add(number)
        self.small = found if len(found) > 1 else set()

    def misplaced(self, specs: Bytes) -> npt.NDArray[np.bool_]:
        """Which of specs (n, 32) name another place than the schema does."""
        fields = unpack_many(specs)
        distinct, inverse = _files_named(fields)
        right = [self._is_right(code, number) for code, number in distinct]
        return ~np.array(right, np.bool_)[inverse]

    def _is_right(self, code: int, number: int) -> bool:
        if (code, number) not in self._known:
            self._known[code, number] = self._look(code, number)
        return self._known[code, number]

    def _look(self, code: int, number: int) -> bool:
        return number not in self.small and self._suits(code, self.records.get(number))

    def _suits(self, code: int, record: FileRecord | None) -> bool:
        if code != int(self.schema.backend):
            return False
        # One that was not there at the start is written to now, maybe by ourselves.
        if record is None or self.schema.backend not in HDF5_BACKENDS:
            return True
        return hdf5_options(dict(record.options)) == hdf5_options(self.schema.options)


class Repacker:
    """Repacks one repository; ``maintenance`` keeps gc and the like from running beside it."""

    def __init__(
        self,
        env: WritableEnvironment,
        storage: Storage,
        index: Index,
        writer: Writer,
        *,
        objects: Objects,
        heads: Heads,
        maintenance: Maintenance,
    ) -> None:
        self._env = env
        self._storage = storage
        self._index = index
        self._writer = writer
        self._objects = objects
        self._heads = heads
        self._maintenance = maintenance
        self._closing = threading.Event()

    def repack(self, columns: Iterable[str] = (), revision: Digest | None = None) -> Repacked:
        """Repack these columns (none: all) of every branch's head, or of one commit.

        Where heads disagree about a column, HEAD's branch counts for the samples it has.
        Errors: UnknownColumn; as above.
        """
        with self._maintenance.run("repack"):
            nodes = Nodes(self._env.directory, self._storage)
            files = MappedFiles(self._env.directory)
            try:
                return self._repack(set(columns), revision, nodes, files)
            finally:
                files.close()
                nodes.close()

    def close(self) -> None:
        """Let what runs end with Closed, soon."""
        self._closing.set()

    def _repack(
        self, columns: set[str], revision: Digest | None, nodes: Nodes, files: MappedFiles
    ) -> Repacked:
        parts = list(self._parts(columns, revision))
        missing = columns - {part.column for part in parts}
        if missing:
            name = min(missing)
            raise UnknownColumn(f"there is no column {name!r} in what is repacked", column=name)
        # Afterwards LMDB names every file there is.
        self._writer.run(MakeCheckpoint(), bulk=True)
        with self._env.read() as tables:
            records = {record.number: record for _, record in tables.files()}
        sums = _Sums()
        reader = SampleReader(IndexLocations(self._index), files, self._shape)
        for part in parts:
            places = _Places(part.schema, records)
            places.note_small(self._files_of(part, nodes))
            total = count(nodes, part.root)
            done = 0
            for digests in self._digests(part, nodes):
                self._check_open()
                self._maintenance.progress(f"column {part.column}", done, total)
                self._rewrite(part.schema, places, reader, digests, sums)
                done += len(digests)
            sums.samples += done
        self._writer.run(MakeCheckpoint(), bulk=True)
        names = {part.column for part in parts}
        return Repacked(
            columns=len(names),
            samples=sums.samples,
            rewritten=sums.rewritten,
            rewritten_bytes=sums.rewritten_bytes,
            unreadable=sums.unreadable,
        )

    def _parts(self, columns: set[str], revision: Digest | None) -> Iterator[_Part]:
        """Every tree of every column, each once; HEAD's branch first."""
        first: dict[str, Digest] = {}
        seen = set()
        for commit in self._commits(revision):
            for name, entry in sorted(self._objects.commit_tree(commit).items()):
                if (columns and name not in columns) or (name, entry) in seen:
                    continue
                seen.add((name, entry))
                base = first.setdefault(name, entry.root)
                schema = self._objects.schema(entry.schema)
                yield _Part(name, schema, entry.root, None if base == entry.root else base)

    def _commits(self, revision: Digest | None) -> list[Digest]:
        if revision is not None:
            return [revision]
        with self._env.read() as tables:
            head = tables.head()
        names = sorted(self._heads, key=lambda name: (name != head, name))
        return [commit for name in names if (commit := self._heads.get(name))]

    def _files_of(self, part: _Part, nodes: Nodes) -> set[tuple[int, int]]:
        """Format codes and numbers of the files that hold samples of a part."""
        result: set[tuple[int, int]] = set()
        for digests in self._digests(part, nodes):
            self._check_open()
            specs, found = self._index.find_many(digests)
            result.update(_files_named(unpack_many(specs)[found])[0])
        return result

    def _digests(self, part: _Part, nodes: Nodes) -> Iterator[Bytes]:
        """Digests (n, 32) in the order of the keys, a few MiB of samples at a time."""
        step = BATCH_ROWS_MAX
        if not part.schema.variable_shape:
            step = max(1, min(step, BATCH_BYTES_MAX // max(1, part.schema.sample_bytes)))
        if part.base is None:
            blocks = (digests for _, _, digests in iterate(nodes, part.root))
        else:
            blocks = (
                np.ascontiguousarray(after[after.any(axis=1)])
                for _, _, _, after in diff_blocks(nodes, part.base, part.root)
            )
        waiting: list[Bytes] = []
        size = 0
        for block in blocks:
            waiting.append(block)
            size += len(block)
            while size >= step:
                whole = np.concatenate(waiting)
                yield np.ascontiguousarray(whole[:step])
                waiting, size = [whole[step:]], size - step
        if size:
            yield np.ascontiguousarray(np.concatenate(waiting))

    def _rewrite(
        self,
        schema: Schema,
        places: _Places,
        reader: SampleReader,
        digests: Bytes,
        sums: _Sums,
    ) -> None:
        specs, found = self._index.find_many(digests)
        if not found.all():
            sums.unreadable += self._lost(digests[~found])
        digests, specs = digests[found], specs[found]
        if not len(digests):
            return
        wanted = places.misplaced(specs)
        # The same sample may be there under several keys.
        _, distinct = np.unique(digests[wanted], axis=0, return_index=True)
        chosen = np.flatnonzero(wanted)[np.sort(distinct)]
        if not len(chosen):
            return
        digests, specs = digests[chosen], specs[chosen]
        for begin, end in _batches(schema, reader, specs):
            piece = slice(begin, end)
            self._move(schema, reader, digests[piece], specs[piece], sums)

    def _move(
        self, schema: Schema, reader: SampleReader, digests: Bytes, specs: Bytes, sums: _Sums
    ) -> None:
        """Write rows again whose bytes are what their digests say."""
        digests, specs = np.ascontiguousarray(digests), np.ascontiguousarray(specs)
        rows = _read(schema, reader, digests, specs)
        if rows is None:
            half = len(digests) // 2
            if not half:
                sums.unreadable += 1
                return
            self._move(schema, reader, digests[:half], specs[:half], sums)
            self._move(schema, reader, digests[half:], specs[half:], sums)
            return
        if isinstance(rows, RaggedRows):
            shape_ids = np.ascontiguousarray(unpack_many(specs)["shape_id"])
            self._storage.write_ragged(schema, digests, rows, shape_ids, may_log=False)
        else:
            self._storage.write_rows(schema, digests, rows, may_log=False)
        sums.rewritten += len(digests)
        sums.rewritten_bytes += rows.nbytes
        sums.since_checkpoint += rows.nbytes
        if sums.since_checkpoint >= CHECKPOINT_BYTES or self._index.wants_checkpoint:
            sums.since_checkpoint = 0
            self._writer.run(MakeCheckpoint(), bulk=True)

    def _lost(self, digests: Bytes) -> int:
        """How many of digests that nothing holds were not erased on purpose."""
        with self._env.read() as tables:
            return sum(not tables.is_purged(digest.tobytes()) for digest in digests)

    def _shape(self, number: int) -> tuple[int, ...]:
        """An interned shape. Errors: Corrupt."""
        with self._env.read() as tables:
            found = tables.find_shape(number)
        if found is None:
            raise Corrupt(f"no shape has the number {number}", code="missing-shape")
        return found

    def _check_open(self) -> None:
        if self._closing.is_set():
            raise Closed("the repository is closed", code="repository-closed")


def _files_named(fields: Any) -> tuple[list[tuple[int, int]], npt.NDArray[np.int64]]:
    """The distinct (format code, number) of unpacked specs (n,), and which each has (n,)."""
    files = fields["format_code"].astype(np.int64) << 32 | fields["segment"].astype(np.int64)
    distinct, inverse = np.unique(files, return_inverse=True)
    return [(file >> 32, file & 0xFFFFFFFF) for file in distinct.tolist()], inverse.reshape(-1)


def _batches(schema: Schema, reader: SampleReader, specs: Bytes) -> Iterator[tuple[int, int]]:
    """Rows (n,) as (begin, end) of what is in memory together."""
    if not schema.variable_shape:
        yield 0, len(specs)
        return
    sizes = []
    for i in range(len(specs)):
        try:
            (shape,) = reader.shapes_of(schema, np.ascontiguousarray(specs[i : i + 1]))
            sizes.append(prod(shape) * schema.numpy_dtype.itemsize)
        except Corrupt:
            sizes.append(0)  # told when it is read
    begin = size = 0
    for i, more in enumerate(sizes):
        if size + more > BATCH_BYTES_MAX and i > begin:
            yield begin, i
            begin, size = i, 0
        size += more
    yield begin, len(specs)


def _read(
    schema: Schema, reader: SampleReader, digests: Bytes, specs: Bytes
) -> Bytes | RaggedRows | None:
    """Rows; None if not all of them are there and what their digests say."""
    rows: Any
    try:
        if schema.variable_shape:
            rows = reader.read_rows(schema, digests)
        else:
            rows = np.empty((len(digests), schema.sample_bytes), np.uint8)
            reader.read_specs(digests, specs, schema.sample_bytes, rows)
    except Corrupt:
        return None
    return rows if np.array_equal(digest_rows(schema, rows, len(digests)), digests) else None
