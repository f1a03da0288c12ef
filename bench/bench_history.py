"""Commit, diff, merge and read on a small and on a large repository: they cost nearly the same.

Both repositories hold samples of 64 bytes and are asked in turns; the ratio of the large one is
time on the small one over its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from typing import Any

import hangard_client
import numpy as np
import numpy.typing as npt
from hangard_client import CommitDigest

from bench.bench_commit import COLUMN, fresh_process, stored_bytes
from bench.harness import Bench, Case, Mark
from bench.store import check_column, open_store

SMALL, LARGE = 10_000, 1_000_000
CHANGES = 100
SAMPLE_BYTES = 64
SLICE = 250_000  # samples in memory at once
RATIO_MIN = 0.5  # of the large repository
# 100 spread keys share most of their leaves among 10,000 keys and none among a million, whose tree
# is a level higher, too: 140 nodes are read there and 350 here.
DIFF_RATIO_MIN = 0.4

Rows = npt.NDArray[np.uint8]


@dataclass
class Store:
    """A repository of ``total`` samples, and changes for it that were not made before."""

    repository: hangard_client.Repository
    total: int
    random: np.random.Generator
    names: Iterator[int]

    @classmethod
    def fill(cls, repository: hangard_client.Repository, total: int) -> Store:
        random = np.random.default_rng(total)
        with repository.checkout("main", write=True) as checkout:
            column = checkout.add_ndarray_column(
                COLUMN, shape=(SAMPLE_BYTES,), dtype="uint8", backend="numpy"
            )
            for first in range(0, total, SLICE):
                keys = range(first, min(first + SLICE, total))
                column.put_many(keys, _rows(random, len(keys)))
            checkout.commit("to begin with")
        return cls(repository, total, random, count())

    def changes(self, number: int, part: int = 0) -> tuple[Any, Rows]:
        """New samples under spread keys; those of the two parts have no key in common."""
        keys = self.random.choice(self.total // 2, number, replace=False) * 2 + part
        return np.sort(keys), _rows(self.random, number)

    def commit(self, changed: tuple[Any, Rows], branch: str = "main") -> CommitDigest:
        with self.repository.checkout(branch, write=True) as checkout:
            checkout[COLUMN].put_many(*changed)
            digest: CommitDigest = checkout.commit("some keys")
        return digest

    def commit_each(self, changed: tuple[Any, Rows]) -> tuple[Any, Rows]:
        with self.repository.checkout("main", write=True) as checkout:
            for key, row in zip(*changed, strict=True):
                checkout[COLUMN][int(key)] = row
                checkout.commit("one key")
        return changed

    def commit_pair(self) -> tuple[CommitDigest, CommitDigest]:
        first = self.commit(self.changes(CHANGES))
        return first, self.commit(self.changes(CHANGES, 1))

    def count_changes(self, pair: tuple[CommitDigest, CommitDigest]) -> int:
        return sum(1 for column in self.repository.diff(*pair) for _ in column.samples())

    def diverge(self) -> tuple[str, tuple[Any, Rows], tuple[Any, Rows]]:
        """A branch and main, each with changes of its own."""
        name = f"dev-{next(self.names)}"
        self.repository.create_branch(name, "main")
        ours, theirs = self.changes(CHANGES), self.changes(CHANGES, 1)
        self.commit(ours)
        self.commit(theirs, name)
        return name, ours, theirs

    def merge(self, apart: tuple[str, tuple[Any, Rows], tuple[Any, Rows]]) -> Any:
        report = self.repository.merge(apart[0], into="main")
        return report.outcome, *apart[1:]

    def check_merge(self, result: Any) -> None:
        outcome, ours, theirs = result
        assert outcome == "merge"
        check_column(self.repository, COLUMN, *ours)
        check_column(self.repository, COLUMN, *theirs)


def run(bench: Bench) -> None:
    sizes = bench.scaled(SMALL, 1_000), bench.scaled(LARGE, 5_000)
    with bench.scratch() as directory, ExitStack() as stack:
        stores = []
        for total in sizes:
            bench.on_progress(f"{bench.name}: {total} samples to begin with")
            repository = stack.enter_context(open_store(directory / str(total)))
            stores.append(Store.fill(repository, total))
        commits(bench, stores)
        diffs(bench, stores)
        merges(bench, stores)
        many_commits(bench, stores)
        for store in stores:
            fresh_process(bench, store.repository, store.total, f"read one key of {store.total:,}")


def commits(bench: Bench, stores: list[Store]) -> None:
    before = [stored_bytes(store.repository.path) for store in stores]
    rounds = bench.scaled(20, 3)
    made = f"commit of {CHANGES} keys on"

    def case(store: Store) -> Case:
        def put_and_commit(changed: tuple[Any, Rows]) -> tuple[Any, Rows]:
            store.commit(changed)
            return changed

        return Case(
            name=f"{made} {store.total:,}",
            prepare=lambda: store.changes(CHANGES),
            call=put_and_commit,
            finish=lambda changed: check_column(store.repository, COLUMN, *changed),
            work=1,
            unit="commits",
            **_against(made, store, stores),
        )

    bench.measure(*map(case, stores), rounds=rounds)
    _count_grown(bench, stores, before, made, 1 + rounds)


def diffs(bench: Bench, stores: list[Store]) -> None:
    told = f"diff of {CHANGES} keys on"

    def finish(found: int) -> None:
        assert found == CHANGES, f"{found} changes instead of {CHANGES}"

    def case(store: Store) -> Case:
        return Case(
            name=f"{told} {store.total:,}",
            prepare=store.commit_pair,
            call=store.count_changes,
            finish=finish,
            work=1,
            unit="diffs",
            **_against(told, store, stores, DIFF_RATIO_MIN),
        )

    bench.measure(*map(case, stores), rounds=bench.scaled(20, 3))


def merges(bench: Bench, stores: list[Store]) -> None:
    rounds = bench.scaled(20, 3)
    grown = {store.total: 0 for store in stores}
    made = f"merge of {CHANGES} and {CHANGES} keys on"

    def case(store: Store) -> Case:
        def prepare() -> Any:
            apart = store.diverge()
            grown[store.total] -= stored_bytes(store.repository.path)
            return apart

        def finish(result: Any) -> None:
            grown[store.total] += stored_bytes(store.repository.path)
            store.check_merge(result)

        return Case(
            name=f"{made} {store.total:,}",
            prepare=prepare,
            call=store.merge,
            finish=finish,
            work=1,
            unit="merges",
            **_against(made, store, stores),
        )

    bench.measure(*map(case, stores), rounds=rounds)
    for store in stores:
        mean = grown[store.total] / (1 + rounds)
        bench.count(f"{made} {store.total:,}: grown (mean)", mean, "B")


def many_commits(bench: Bench, stores: list[Store]) -> None:
    number, rounds = bench.scaled(1_000, 10), 2
    before = [stored_bytes(store.repository.path) for store in stores]
    made = f"{number:,} commits of 1 key on"

    def case(store: Store) -> Case:
        return Case(
            name=f"{made} {store.total:,}",
            prepare=lambda: store.changes(min(number, store.total // 2)),
            call=store.commit_each,
            finish=lambda changed: check_column(store.repository, COLUMN, *changed),
            work=number,
            unit="commits",
            **_against(made, store, stores),
        )

    bench.measure(*map(case, stores), rounds=rounds)
    _count_grown(bench, stores, before, f"{number:,} commits of 1 key on", 1 + rounds)


def _against(
    name: str, store: Store, stores: list[Store], ratio_min: float = RATIO_MIN
) -> dict[str, Any]:
    """The large one is compared with the small one."""
    if store is stores[0]:
        return {}
    return {
        "reference": f"{name} {stores[0].total:,}",
        "marks": [Mark(quantity="ratio", at_least=ratio_min)],
    }


def _count_grown(
    bench: Bench, stores: list[Store], before: list[int], name: str, calls: int
) -> None:
    for store, bytes_before in zip(stores, before, strict=True):
        grown = stored_bytes(store.repository.path) - bytes_before
        bench.count(f"{name} {store.total:,}: grown (mean)", grown / calls, "B")


def _rows(random: np.random.Generator, number: int) -> Rows:
    return random.integers(0, 256, (number, SAMPLE_BYTES), np.uint8)
