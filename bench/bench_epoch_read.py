"""All samples of a column, as a training loop reads them; beside numpy over a mapped file."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench.data import images
from bench.harness import Bench, Case
from bench.store import Images, fill_column, open_store

BATCH = 256
BACKENDS = ("numpy", "hdf5")
MAPPED_ALL = "memmap, row by row"
MAPPED_BATCHES = f"memmap, shuffled {BATCH}"


def run(bench: Bench) -> None:
    samples = images(bench.scaled(60_000, 6_000))
    with bench.scratch() as directory, open_store(directory / "repository") as repository:
        for backend in BACKENDS:
            fill_column(repository, backend, backend, samples)
        with repository.checkout("main") as checkout:
            columns = {backend: checkout[backend] for backend in BACKENDS}
            for column in columns.values():
                assert np.array_equal(np.stack(list(column.values())), samples)
            epochs(bench, columns, mapped(directory / "samples.npy", samples))


def mapped(path: Path, samples: Images) -> Images:
    np.save(path, samples)
    result: Images = np.load(path, mmap_mode="r")
    return result


def epochs(bench: Bench, columns: dict[str, Any], mapping: Images) -> None:
    total = len(mapping)
    order = np.random.default_rng(6).permutation(total)
    batches = [order[first : first + BATCH] for first in range(0, total, BATCH)]

    def mapped_rows(_: Any) -> None:
        for row in mapping:
            np.array(row)

    def mapped_batches(_: Any) -> None:
        for batch in batches:
            mapping[batch]

    def iterate(column: Any, _: Any) -> None:
        for _ in column.values():
            pass

    def get_batches(column: Any, _: Any) -> None:
        for batch in batches:
            column.get_many(batch)

    def case(name: str, call: Callable[[Any], None], reference: str | None = None) -> Case:
        return Case(name=name, call=call, work=total, unit="samples", reference=reference)

    cases = [case(MAPPED_ALL, mapped_rows)]
    cases += [
        case(f"values(), {name}", partial(iterate, column), MAPPED_ALL)
        for name, column in columns.items()
    ]
    bench.measure(*cases)
    cases = [case(MAPPED_BATCHES, mapped_batches)]
    cases += [
        case(
            f"get_many, shuffled {BATCH}, {name}",
            partial(get_batches, column),
            MAPPED_BATCHES,
        )
        for name, column in columns.items()
    ]
    bench.measure(*cases)
