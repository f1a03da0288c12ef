"""``verify``: is everything there that the repository promises, and is it what it was?

Checks refs, tags, reflog and sessions (their commits exist), the objects of tags, commits, trees
and schemas (digests, all parents), every tree node (digest, order of keys, cuts, what its parent
says), that every reachable digest has a location, every sample's bytes (checksum and BLAKE3
digest), files (listed, present, long enough), logs, ``.rows`` files, and the index's runs. All
findings are reported.

It only reads, in the process that asks, beside any number of writers: what is verified is the state
of its begin; later commits do not show, and samples that move meanwhile are found where they are
then. Memory is bounded whatever the repository's size (hangard.reading.digestset).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from hangard_ext.table import Table
from hangard_ext.treekey import decode_keys
from hangard_ext.treenode import Node

from hangard.errors import Corrupt
from hangard.model.findings import REPAIRS, Finding, Findings, Verification
from hangard.reading.environment import Environment
from hangard.reading.filecheck import check_files
from hangard.reading.locations import StoredLocations
from hangard.reading.mapping import MappedFiles
from hangard.reading.nodes import StoredNodes
from hangard.reading.reachable import Place, Root, Walk, stored_roots
from hangard.reading.samplecheck import SampleCheck
from hangard.reading.samples import SampleReader
from hangard.reading.snapshot import RepositoryReader
from hangard.reading.tagcheck import check_tags

Progress = Callable[[str, int, int], None]
"""Called with the name of a stage, how much of it is done, and of how much (0: not known)."""

PLACES_MAX = 10_000  # keys told for samples that are missing or damaged


def no_progress(stage: str, done: int, total: int) -> None:
    """Tells nobody."""


def verify(
    path: str | Path, *, quick: bool = False, progress: Progress | None = None
) -> Verification:
    """Verify the repository at ``path``.

    ``quick`` spares samples' bytes and logs: it finds what is missing, not what is damaged.
    ``progress`` is called in this thread, in the stages ``files``, ``nodes`` and ``samples``.
    Errors: as RepositoryReader's; whatever is wrong with the contents is a finding.
    """
    with RepositoryReader(path) as reader:
        return Verifier(reader, progress or no_progress).verify(quick=quick)


class Verifier:
    """One verification of an open repository."""

    def __init__(self, reader: RepositoryReader, progress: Progress) -> None:
        self._reader = reader
        self._env: Environment = reader.env
        self._progress = progress
        self._findings = Findings()
        # Of its own, so that those of the reader keep what they hold.
        self._locations = StoredLocations(self._env, reader.directory)
        self._files = MappedFiles(reader.directory)
        self._samples = SampleReader(self._locations, self._files, reader.shape)
        self._stored = StoredNodes(self._locations, self._files)

    def verify(self, *, quick: bool) -> Verification:
        """Errors: those of the system."""
        files = 0
        for files, total in check_files(
            self._env, self._reader.directory, self._findings.add, quick=quick
        ):
            self._progress("files", files, total)
        with self._env.read() as tables:
            check_tags(tables, self._findings.add)
        walk = self._walk(self._findings.add)
        for root in self._roots():
            walk.visit(root)
        self._progress("nodes", len(walk.nodes), len(walk.nodes))
        check = SampleCheck(self._locations, self._files, self._samples, self._purged())
        for done, _ in check.check(walk.samples, walk.types, quick=quick):
            self._progress("samples", done, len(walk.samples))
        self._report_samples(check.bad)
        return Verification(
            findings=tuple(self._findings.listed),
            finding_count=self._findings.count,
            quick=quick,
            commits=walk.commits,
            nodes=len(walk.nodes),
            samples=len(walk.samples),
            sample_bytes=check.checked_bytes,
            files=files,
            purged=check.purged,
        )

    def _walk(self, report: Callable[[Finding], None]) -> Walk:
        return Walk(
            self._env,
            self._stored,
            report,
            progress=lambda nodes: self._progress("nodes", nodes, 0),
        )

    def _roots(self) -> list[Root]:
        try:
            return stored_roots(self._env)
        except Corrupt as error:
            self._findings.add(Finding("damaged-record", "refs", "database", str(error)))
            return []

    def _purged(self) -> Table:
        with self._env.read() as tables:
            digests = b"".join(digest for digest, _ in tables.purged())
        table = Table()
        rows = np.frombuffer(digests, np.uint8).reshape(-1, 32)
        table.add_many(rows, rows)
        return table

    def _report_samples(self, bad: dict[bytes, tuple[str, str]]) -> None:
        """A finding for each bad sample, with a commit, column and key that name it."""
        places = self._places(bad) if bad else {}
        for digest, (code, reason) in bad.items():
            kind = code if code in REPAIRS else "damaged-sample"
            where = places.get(digest, "")
            self._findings.add(Finding(kind, digest.hex(), where, reason))

    def _places(self, bad: dict[bytes, tuple[str, str]]) -> dict[bytes, str]:
        """Where digests are named: the first place of each that a walk meets."""
        wanted = Table()
        digests = np.frombuffer(b"".join(list(bad)[:PLACES_MAX]), np.uint8).reshape(-1, 32)
        wanted.add_many(digests, digests)
        places: dict[bytes, str] = {}

        def look(place: Place, node: Node) -> None:
            blob, ends, found = node.block()
            flags = np.zeros(len(found), np.uint8)
            if not wanted.find_many(found, np.zeros((len(found), 32), np.uint8), flags):
                return
            keys = decode_keys(blob, ends)
            for i in np.flatnonzero(flags):
                places.setdefault(found[i].tobytes(), f"key {keys[i]!r} in {place}")

        walk = self._walk(lambda finding: None)
        walk.leaf = look
        for root in self._roots():
            walk.visit(root)
            if len(places) == len(digests):
                break
        return places
