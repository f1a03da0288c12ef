"""gc: commits, nodes and samples that nothing leads to any more, and files that hold little else.

Roots are refs and tags, the reflog, the base and the staged changes of every session, batches that
wait to be staged, and the marks of open read checkouts. Commits younger than the grace are roots
too, and files that were written to within the grace are left alone. What is reachable from a root
that is missing or damaged cannot be known, so gc refuses until that is repaired.

Objects (commits, trees, schemas) go first, in transactions that compare the roots of that moment
with what was marked. Of samples and nodes a file is the unit: a file without anything reachable is
dropped, one that is more than half empty (with ``full``: not quite full) is dropped after what
lives in it moved, and many small logs become one. Unreachable samples in a file that stays keep
their place in the index: putting them again finds them. hangard.repository.usage says why nobody
loses what he found a moment ago.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from hangard_ext.logrecord import LOG_RECORD_BYTES
from hangard_ext.recordspec import unpack_many

from hangard.db.environment import WritableEnvironment
from hangard.db.tables import WriteTables
from hangard.db.writer import Writer
from hangard.encoding.objects import KIND_COMMIT, KIND_SCHEMA, KIND_TREE
from hangard.encoding.rows import HEADER_BYTES as ROWS_HEADER_BYTES
from hangard.errors import Conflict, Corrupt
from hangard.index import Index
from hangard.limits import MIB
from hangard.model.commit import Digest
from hangard.model.files import FileRecord
from hangard.model.findings import Finding
from hangard.reading.filecheck import listed_files
from hangard.reading.mapping import MappedFiles
from hangard.reading.nodes import StoredNodes
from hangard.reading.reachable import Root, Walk, stored_roots
from hangard.reading.readers import live_marks
from hangard.reading.tables import ReadTables
from hangard.repository.clock import Clock
from hangard.repository.committing import MakeCheckpoint
from hangard.repository.detached import DetachedTips
from hangard.repository.dropping import Dropper, Lives
from hangard.repository.maintaining import Maintenance
from hangard.repository.objects import Objects
from hangard.repository.session_registry import SessionRegistry
from hangard.repository.storage import Storage

Bytes = npt.NDArray[np.uint8]

GRACE_S = 3600.0
REFLOG_AGE_S = 90 * 24 * 3600.0
LIVING_PART_MIN = 0.5  # of a file: below it, it is compacted
FULL_PART_MIN = 0.95
SMALL_LOG_BYTES = 4 * MIB
SMALL_LOGS_MAX = 8  # beyond so many they are merged
PASS_ENTRIES_MAX = 1_000_000  # entries that are moved before their files are dropped
OBJECTS_PER_TRANSACTION_MAX = 2_000
ROW_BYTES = 64  # of an entry in a .rows file
COLLECTED_KINDS = (KIND_COMMIT, KIND_TREE, KIND_SCHEMA)


@dataclass(frozen=True, slots=True)
class Collected:
    """What gc removed (with ``dry_run``: would remove). Sizes in bytes.

    ``records``     samples and nodes in the files that are dropped which nothing leads to
    ``freed_bytes`` of the files that are dropped, less what was moved
    """

    dry_run: bool
    commits: int = 0
    objects: int = 0
    reflog_entries: int = 0
    records: int = 0
    files: int = 0
    moved: int = 0
    freed_bytes: int = 0
    reachable_samples: int = 0
    reachable_nodes: int = 0


@dataclass(slots=True)
class _File:
    """What the index has in a file."""

    path: str
    record: FileRecord
    length: int
    living: int = 0
    dead: int = 0
    living_bytes: int = 0
    has_erased: bool = False  # a purge has not ended


class Collector:
    """Collects garbage of an open repository, beside its readers and writers."""

    def __init__(
        self,
        env: WritableEnvironment,
        storage: Storage,
        index: Index,
        writer: Writer,
        dropper: Dropper,
        *,
        sessions: SessionRegistry,
        tips: DetachedTips,
        objects: Objects,
        clock: Clock,
        maintenance: Maintenance,
    ) -> None:
        self._env = env
        self._storage = storage
        self._index = index
        self._writer = writer
        self._dropper = dropper
        self._sessions = sessions
        self._tips = tips
        self._objects = objects
        self._clock = clock
        self._maintenance = maintenance

    def collect(
        self,
        *,
        grace_s: float = GRACE_S,
        reflog_age_s: float = REFLOG_AGE_S,
        full: bool = False,
        dry_run: bool = False,
    ) -> Collected:
        """Remove what nothing leads to and is older than ``grace_s``.

        Entries of the reflog older than ``reflog_age_s`` go first. ``full`` compacts every file
        that holds something unreachable.
        Errors: Busy (``maintenance-running``); Corrupt (``gc-needs-repair``); NoSpace.
        """
        with self._maintenance.run("gc"):
            return self._collect(grace_s, reflog_age_s, full, dry_run)

    def _collect(self, grace_s: float, reflog_age_s: float, full: bool, dry_run: bool) -> Collected:
        now_ns = self._clock.now_ns()
        oldest_ns = now_ns - int(grace_s * 1e9)
        reflog_ns = now_ns - int(reflog_age_s * 1e9)
        if dry_run:
            with self._env.read() as tables:
                reflog = sum(1 for entry in tables.reflog() if entry.time_ns < reflog_ns)
        else:
            reflog = self._writer.run(PruneReflog(reflog_ns))
        with self._storage.usage.watch():
            # Files that nobody writes to any more; and no commit is under way that began earlier.
            self._storage.retire_before(oldest_ns / 1e9)
            self._writer.run(MakeCheckpoint(), bulk=True)
            marked = Marked(self._env, self._index, self._maintenance, reflog_ns if dry_run else 0)
            marked.add_digests(self._storage.usage.held())
            marked.add_digests(self._sessions.staged_digests())
            marked.visit_roots(self._roots(oldest_ns))
            marked.visit_young(oldest_ns)
            marked.check_complete()
            commits, objects = self._objects_to_drop(marked, oldest_ns, dry_run)

            def lives(digests: Bytes) -> npt.NDArray[np.bool_]:
                return marked.includes(digests) & ~self._storage.usage.were_purged(digests)

            chosen = self._chosen(self._census(lives, oldest_ns), full)
            if not dry_run:
                for part in _passes(chosen):
                    self._dropper.drop({file.path: file.record for file in part}, lives)
        return Collected(
            dry_run=dry_run,
            commits=commits,
            objects=objects,
            reflog_entries=reflog,
            records=sum(file.dead for file in chosen),
            files=len(chosen),
            moved=sum(file.living for file in chosen),
            freed_bytes=sum(max(0, file.length - file.living_bytes) for file in chosen),
            reachable_samples=len(marked.walk.samples),
            reachable_nodes=len(marked.walk.nodes),
        )

    def _roots(self, oldest_ns: int) -> list[Root]:
        roots = [Root("reader", commit) for commit in live_marks(self._env.directory)]
        roots += [Root("session", base) for base in self._sessions.bases()]
        roots += [Root("an import", tip) for tip in self._tips.younger(oldest_ns)]
        return roots

    def _objects_to_drop(self, marked: Marked, oldest_ns: int, dry_run: bool) -> tuple[int, int]:
        """Delete commits, trees and schemas that were not marked; how many commits, how many of
        all."""
        dead = marked.unmarked_objects()
        commits = sum(1 for _, kind in dead if kind == KIND_COMMIT)
        if dry_run:
            return commits, len(dead)
        digests = self._from_the_tips(dead)
        for begin in range(0, len(digests), OBJECTS_PER_TRANSACTION_MAX):
            while True:
                part = digests[begin : begin + OBJECTS_PER_TRANSACTION_MAX]
                part = [digest for digest in part if digest not in marked.walk.objects]
                try:
                    self._writer.run(
                        DropObjects(tuple(part), marked, self._roots(oldest_ns)), bulk=True
                    )
                    break
                except RootsChanged:
                    marked.visit_roots(self._roots(oldest_ns))
                    marked.check_complete()
        self._objects.forget()
        return commits, len(digests)

    def _from_the_tips(self, dead: list[tuple[Digest, bytes]]) -> list[Digest]:
        """Objects in an order in which all that one leads to goes after it: a commit that is there
        still, between two transactions or after a crash, can be named again."""
        parents: dict[Digest, tuple[Digest, ...]] = {}
        with self._env.read() as tables:
            for digest, kind in dead:
                if kind == KIND_COMMIT:
                    parents[digest] = ()
                    with suppress(Corrupt):
                        commit = tables.find_commit(digest)
                        parents[digest] = commit.parents if commit is not None else ()
        children = Counter(parent for some in parents.values() for parent in some)
        waiting = [digest for digest in parents if not children[digest]]
        order = []
        while waiting:
            digest = waiting.pop()
            order.append(digest)
            for parent in parents[digest]:
                children[parent] -= 1
                if parent in parents and not children[parent]:
                    waiting.append(parent)
        for wanted in (KIND_TREE, KIND_SCHEMA):
            order += [digest for digest, kind in dead if kind == wanted]
        return order

    def _census(self, lives: Lives, oldest_ns: int) -> list[_File]:
        """What lives in each sealed file that is old enough."""
        files: dict[int, _File] = {}
        for path, record in listed_files(self._env).items():
            if record.kind == "run" or record.state != "sealed":
                continue
            try:
                status = (self._env.directory / path).stat()
            except FileNotFoundError:
                continue
            if status.st_mtime_ns <= oldest_ns:
                files[record.number] = _File(path, record, status.st_size)
        done = 0
        for digests, specs in self._index.current_entries():
            fields = unpack_many(specs)
            living, erased = lives(digests), self._storage.usage.were_purged(digests)
            done += len(digests)
            self._maintenance.progress("index", done, 0)
            for number in np.unique(fields["segment"]):
                file = files.get(int(number))
                if file is None:
                    continue
                inside = fields["segment"] == number
                count = int((inside & living).sum())
                file.living += count
                file.dead += int(inside.sum()) - count
                file.living_bytes += _bytes_in(file, fields[inside & living])
                file.has_erased |= bool((inside & erased).any())
        return list(files.values())

    def _chosen(self, files: list[_File], full: bool) -> list[_File]:
        """The files to drop."""
        chosen = []
        for file in files:
            part = file.living_bytes / max(1, file.length)
            hollow = part < (FULL_PART_MIN if full else LIVING_PART_MIN)
            if not file.living or hollow or file.has_erased or (full and file.dead):
                chosen.append(file)
        rest = [file for file in files if file not in chosen]
        small = [
            file for file in rest if file.record.kind == "log" and file.length < SMALL_LOG_BYTES
        ]
        return chosen + (small if len(small) > SMALL_LOGS_MAX else [])


class IndexLocations:
    """The index of the process that writes, as readers ask for locations."""

    def __init__(self, index: Index) -> None:
        self.find = index.find
        self.find_many = index.find_many

    def forget(self, digests: Bytes) -> None:
        """Nothing is remembered."""


class Marked:
    """What roots lead to."""

    def __init__(
        self,
        env: WritableEnvironment,
        index: Index,
        maintenance: Maintenance,
        reflog_ns: int,
    ) -> None:
        """Entries of the reflog before ``reflog_ns`` are no roots."""
        self._env = env
        self._reflog_ns = reflog_ns
        self._problems: list[Finding] = []
        stored = StoredNodes(IndexLocations(index), MappedFiles(env.directory))
        self.walk = Walk(
            env,
            stored,
            self._problems.append,
            progress=lambda nodes: maintenance.progress("nodes", nodes, 0),
        )

    def add_digests(self, digests: list[Bytes]) -> None:
        """Samples that somebody counts on."""
        for block in digests:
            self.walk.samples.add_many(np.ascontiguousarray(block))

    def visit_roots(self, more: list[Root]) -> None:
        """What the database names, and more."""
        for root in more + self.stored_roots():
            self.walk.visit(root)

    def stored_roots(self, tables: ReadTables | None = None) -> list[Root]:
        """What the database names."""
        return stored_roots(self._env, tables, reflog_ns=self._reflog_ns)

    def visit_young(self, oldest_ns: int) -> None:
        """Commits younger than the grace, though nothing names them."""
        for digest, kind in self.unmarked_objects():
            if kind == KIND_COMMIT:
                with self._env.read() as tables:
                    commit = tables.find_commit(digest)
                if commit is not None and commit.time_ns > oldest_ns:
                    self.walk.visit(Root("a young commit", digest))

    def check_complete(self) -> None:
        """Errors: Corrupt (``gc-needs-repair``)."""
        if self._problems:
            raise Corrupt(
                f"gc cannot know what is reachable: {self._problems[0]} (and"
                f" {len(self._problems) - 1} more). Run hangard verify, then hangard repair",
                code="gc-needs-repair",
            )

    def unmarked_objects(self) -> list[tuple[Digest, bytes]]:
        """Objects that were not met, and the kind of each."""
        with self._env.read() as tables:
            return [
                (digest, kind)
                for digest, kind in tables.objects()
                if kind in COLLECTED_KINDS and digest not in self.walk.objects
            ]

    def includes(self, digests: Bytes) -> npt.NDArray[np.bool_]:
        """Which of digests (n, 32) were met, as samples or as nodes."""
        return self.walk.samples.find_many(digests)[1] | self.walk.nodes.find_many(digests)[1]


class RootsChanged(Conflict):
    """Something names a commit that was not marked."""

    default_code = "roots-changed"


@dataclass(frozen=True, slots=True)
class DropObjects:
    """Delete objects, unless something names a commit now that was not marked."""

    digests: tuple[Digest, ...]
    marked: Marked
    more: list[Root]

    def check(self, tables: WriteTables) -> None:
        """Errors: RootsChanged."""
        for root in self.more + self.marked.stored_roots(tables):
            if root.commit not in self.marked.walk.objects:
                raise RootsChanged(f"{root.name} names another commit now")

    def apply(self, tables: WriteTables) -> None:
        for digest in self.digests:
            tables.delete_object(digest)


@dataclass(frozen=True, slots=True)
class PruneReflog:
    """Delete entries of the reflog that are older; how many."""

    before_ns: int

    def check(self, tables: WriteTables) -> None:
        """Always possible."""

    def apply(self, tables: WriteTables) -> int:
        return tables.prune_reflog(self.before_ns)


def _bytes_in(file: _File, fields: Any) -> int:
    """About what these rows take in their file."""
    if file.record.kind == "log":
        return int(fields["stored_length"].sum()) + len(fields) * (LOG_RECORD_BYTES + 4)
    rows = max(1, (file.record.indexed_bytes - ROWS_HEADER_BYTES) // ROW_BYTES)
    return file.length * len(fields) // rows


def _passes(files: list[_File]) -> Iterator[list[_File]]:
    """Files in groups whose living entries fit into memory."""
    group: list[_File] = []
    for file in files:
        if group and sum(other.living for other in group) + file.living > PASS_ENTRIES_MAX:
            yield group
            group = []
        group.append(file)
    if group:
        yield group
