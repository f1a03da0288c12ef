"""Samples out of a commit in random order, without the daemon."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.data import images
from bench.harness import Bench, Case, Mark
from bench.store import Images, fill_column, open_store

BATCH = 256
RATES = {"numpy": 80_000, "hdf5": 50_000}


def run(bench: Bench) -> None:
    samples = images(bench.scaled(60_000, 6_000))
    with bench.scratch() as directory, open_store(directory / "repository") as repository:
        for backend in RATES:
            fill_column(repository, backend, backend, samples)
        with repository.checkout("main") as checkout:
            for backend, rate in RATES.items():
                random_reads(bench, checkout[backend], backend, samples, rate)


def random_reads(bench: Bench, column: Any, backend: str, samples: Images, rate: float) -> None:
    order = np.random.default_rng(5).permutation(len(samples))[: bench.scaled(20_000, 2_000)]
    keys = order.tolist()
    for key in keys[:20]:
        assert np.array_equal(column[key], samples[key])
    assert np.array_equal(column.get_many(keys), samples[order])

    def one_by_one() -> None:
        for key in keys:
            column[key]

    def views() -> None:
        for key in keys:
            column.view(key)

    def batches() -> None:
        for first in range(0, len(keys), BATCH):
            column.get_many(keys[first : first + BATCH])

    def case(name: str, call: Any, *marks: Mark) -> Case:
        return Case(
            name=f"{name}, {backend}",
            call=lambda _: call(),
            work=len(keys),
            unit="samples",
            marks=marks,
        )

    cases = [
        case("col[key]", one_by_one, Mark(quantity="rate", at_least=rate)),
        case(f"get_many of {BATCH}", batches),
    ]
    if backend == "numpy":
        cases.append(case("view(key)", views))
    bench.measure(*cases)
