"""From digest to spec: the table of new entries, and runs of ten million settled ones."""

from __future__ import annotations

import time
from collections.abc import Iterable
from itertools import count
from pathlib import Path

import numpy as np
import numpy.typing as npt
from hangard_ext.runmerge import merge_runs
from hangard_ext.runs import Run, Runs
from hangard_ext.runwriter import encode_run, sort_entries
from hangard_ext.table import Table

from bench.data import digests
from bench.harness import Bench, Case, Mark
from hangard.backends.disk import Disk
from hangard.index import Index
from hangard.model.directory import RUNS, run_path

BATCH = 60_000
RUN_ENTRIES = 2_500_000


class LookUp:
    """Looks the same digests up again and again, and checks each time how many were there."""

    def __init__(self, runs: Runs, wanted: npt.NDArray[np.uint8], present: int) -> None:
        self.runs = runs
        self.wanted = wanted
        self.present = present
        self.specs = np.empty((len(wanted), 32), np.uint8)
        self.found = np.empty(len(wanted), np.uint8)

    def case(self, name: str) -> Case:
        return Case(
            name=name,
            prepare=self.clear,
            call=lambda _: self.runs.find_many(self.wanted, self.specs, self.found),
            finish=self.check,
            work=len(self.wanted),
            unit="digests",
        )

    def clear(self) -> None:
        self.found[:] = 0  # a row with its flag set is not looked up

    def check(self, hits: int) -> None:
        assert hits == self.present, f"{hits} of {self.present} digests found"


def check_size(entries: int, expected: int) -> None:
    assert entries == expected, f"{entries} entries instead of {expected}"


def made_run(count: int, seed: int) -> tuple[Run, npt.NDArray[np.uint8]]:
    """A run of new entries, and some of its digests in random order."""
    entries = digests(count, seed)
    run = Run(encode_run(*sort_entries(entries, entries), number=seed, sequence=seed))
    return run, entries[:BATCH]


class Growing:
    """An index on disk to which batches are added as commits add them, with all due merges.

    Each batch is looked up (nothing is found), added, written as a run and synced. LMDB's part, a
    name for each run, is left out.
    """

    def __init__(self, directory: Path) -> None:
        (directory / RUNS).mkdir()
        self.index = Index(directory, Disk())
        self.numbers = count(1)
        self.entries = 0
        self.random = np.random.default_rng(7)

    def grow(self, batches: Iterable[npt.NDArray[np.uint8]]) -> None:
        for batch in batches:
            _, found = self.index.find_many(batch)
            assert not found.any()
            self.index.add(batch, batch)
            pending = self.index.pending()
            number = next(self.numbers)
            self.index.write_run(number, pending)
            self.index.checkpointed(pending, run_path(number))
            while self.index.merge(lambda: next(self.numbers), lambda *_: True):
                pass
            self.entries += len(batch)

    def batches(self, number: int) -> list[npt.NDArray[np.uint8]]:
        return [self.random.integers(0, 256, (BATCH, 32), dtype=np.uint8) for _ in range(number)]


def whole_index(bench: Bench) -> None:
    """The mark: what one new digest costs, all its later merges included.

    Merges come in lumps, some once in millions of entries, so this is a mean over one long growth
    instead of a median.
    """
    settled = bench.scaled(10_000_000, 600_000)
    more = bench.scaled(80, 10)
    with bench.scratch() as directory:
        growing = Growing(directory)
        while growing.entries < settled:
            bench.on_progress(f"index: {growing.entries / 1e6:.1f} million")
            growing.grow(growing.batches(10))
        batches = growing.batches(more)
        start, start_cpu = time.perf_counter(), time.process_time()
        growing.grow(batches)
        elapsed, elapsed_cpu = time.perf_counter() - start, time.process_time() - start_cpu
        growing.index.close()
    each = 1e6 / (more * BATCH)
    label = f"a new digest at {settled / 1e6:g} million"
    bench.count(
        f"{label}: find, add, run, merges, sync (mean)",
        elapsed * each,
        "us",
        Mark(quantity="value", at_most=2.0),
    )
    bench.count(f"{label}: of that, CPU", elapsed_cpu * each, "us")


def run(bench: Bench) -> None:
    parts(bench)
    whole_index(bench)


def parts(bench: Bench) -> None:
    """The look-ups and the making of runs, each by itself, in memory."""
    settled = bench.scaled(10_000_000, 1_000_000)
    size = min(RUN_ENTRIES, settled)
    made = [made_run(size, seed) for seed in range(settled // size)]
    runs = Runs([run for run, _ in made])
    present = np.concatenate([some[: BATCH // len(made)] for _, some in made])
    absent = digests(BATCH, 1000)
    ordered = sort_entries(absent, absent)
    label = f"{settled / 1e6:g} million in {len(made)} runs"

    def added(table: Table) -> Table:
        table.add_many(absent, absent)
        return table

    bench.measure(
        LookUp(runs, absent, 0).case(f"find absent, {label}"),
        LookUp(runs, present, len(present)).case(f"find present, {label}"),
        Case(
            name="add to an empty table",
            prepare=Table,
            call=added,
            finish=lambda table: check_size(len(table), len(absent)),
            work=len(absent),
            unit="digests",
        ),
        Case(
            name="sort and encode a run",
            call=lambda _: encode_run(*sort_entries(absent, absent)),
            finish=lambda encoded: check_size(len(Run(encoded)), len(absent)),
            work=len(absent),
            unit="digests",
        ),
    )
    small = [Run(encode_run(*ordered, sequence=0))]
    small += [
        Run(encode_run(*sort_entries(fresh, fresh), sequence=seed))
        for seed in range(1, 4)
        for fresh in [digests(bench.scaled(500_000, 100_000), 2000 + seed)]
    ]
    merged = sum(len(one) for one in small)
    bench.measure(
        Case(
            name="merge 4 runs",
            call=lambda _: b"".join(merge_runs(small)),
            finish=lambda encoded: check_size(len(Run(encoded)), merged),
            work=merged,
            unit="digests",
        )
    )
