"""From an array in a client to a commit that survives a power cut."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import h5py
import hangard_client
import hdf5plugin

from bench.data import IMAGE_BYTES, IMAGE_SHAPE, images
from bench.harness import Bench, Case, Mark
from bench.reference import TouchedFile
from bench.store import Images, add_column, check_column, open_store
from bench.writers import Writers
from hangard.model.chunking import chunk_rows
from hangard.model.options import Hdf5Options

PROCESSES = 4
RAW = "pwrite + fsync"
RAW_ROWS = "loop of pwrite"
HDF5 = "h5py, Blosc2, in bulk"
ONE = "1 process"


def run(bench: Bench) -> None:
    total = bench.scaled(60_000, 6_000)
    with bench.scratch() as directory, open_store(directory / "repository") as repository:
        seeds = count(1)
        bulk(bench, repository, directory, total, seeds)
        loop(bench, repository, directory, bench.scaled(20_000, 2_000), seeds)
        together(bench, repository, total, seeds)


class Session:
    """A write checkout with a new empty column, and images that no bench has stored before."""

    def __init__(
        self, repository: hangard_client.Repository, backend: str, total: int, seed: int
    ) -> None:
        self.repository = repository
        self.images = images(total, seed)
        self.name = f"images-{backend}-{seed}"
        self.checkout = repository.checkout("main", write=True)
        self.column = self.checkout.add_ndarray_column(
            self.name, shape=IMAGE_SHAPE, dtype="uint8", backend=backend
        )

    def put_many(self) -> Session:
        self.column.put_many(range(len(self.images)), self.images)
        self.checkout.commit("in bulk")
        return self

    def put_each(self) -> Session:
        column = self.column
        for key, image in enumerate(self.images):
            column[key] = image
        return self

    def put_each_and_flush(self) -> Session:
        self.put_each()
        self.column.flush()
        return self

    def close(self) -> None:
        self.checkout.commit("the rest", allow_empty=True)
        self.checkout.close()
        check_column(self.repository, self.name, range(len(self.images)), self.images)


def session_case(
    name: str,
    call: Callable[[Session], Session],
    repository: hangard_client.Repository,
    backend: str,
    total: int,
    seeds: Any,
    reference: str,
    *marks: Mark,
) -> Case:
    return Case(
        name=name,
        prepare=lambda: Session(repository, backend, total, next(seeds)),
        call=call,
        finish=Session.close,
        work=total,
        unit="samples",
        reference=reference,
        marks=marks,
    )


def bulk(
    bench: Bench,
    repository: hangard_client.Repository,
    directory: Path,
    total: int,
    seeds: Any,
) -> None:
    """All samples at once, and one commit."""
    rows = images(total)
    raw = TouchedFile(directory / "raw", rows.nbytes)
    plain = Hdf5File(directory / "plain.h5", rows)
    cases = [
        Case(
            name=RAW,
            call=lambda _: raw.write(rows.reshape(-1).data),
            work=total,
            unit="samples",
        ),
        Case(
            name=HDF5,
            prepare=plain.remove,
            call=lambda _: plain.write(),
            work=total,
            unit="samples",
        ),
        session_case(
            "put_many + commit, numpy",
            Session.put_many,
            repository,
            "numpy",
            total,
            seeds,
            RAW,
            Mark(quantity="ratio", at_least=0.25),
        ),
        session_case(
            "put_many + commit, hdf5",
            Session.put_many,
            repository,
            "hdf5",
            total,
            seeds,
            HDF5,
            Mark(quantity="ratio", at_least=0.5),
        ),
    ]
    bench.measure(*cases)
    raw.close()


class Hdf5File:
    """The same rows as anybody writes them with h5py, chunks and codec as in our segments."""

    def __init__(self, path: Path, rows: Images) -> None:
        self._path = path
        self._rows = rows.reshape(len(rows), -1)
        options = Hdf5Options()
        self._filter = hdf5plugin.Blosc2(
            cname=options.blosc2_codec or "lz4",
            clevel=options.level,
            filters=hdf5plugin.Blosc2.SHUFFLE,
        )

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)

    def write(self) -> None:
        rows_each = min(chunk_rows(IMAGE_BYTES), len(self._rows))
        with h5py.File(self._path, "w") as file:
            file.create_dataset(
                "images", data=self._rows, chunks=(rows_each, IMAGE_BYTES), **self._filter
            )
            file.flush()
        descriptor = os.open(self._path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)


def loop(
    bench: Bench,
    repository: hangard_client.Repository,
    directory: Path,
    total: int,
    seeds: Any,
) -> None:
    """One sample at a time."""
    rows = images(total)
    raw = TouchedFile(directory / "raw-rows", rows.nbytes)
    mark = Mark(quantity="ratio", at_least=0.25)
    bench.measure(
        Case(name=RAW_ROWS, call=lambda _: raw.write_rows(rows), work=total, unit="samples"),
        session_case(
            "loop of col[key] = a, numpy",
            Session.put_each,
            repository,
            "numpy",
            total,
            seeds,
            RAW_ROWS,
            mark,
        ),
        session_case(
            "the same and flush()",
            Session.put_each_and_flush,
            repository,
            "numpy",
            total,
            seeds,
            RAW_ROWS,
        ),
    )
    raw.close()


def together(bench: Bench, repository: hangard_client.Repository, total: int, seeds: Any) -> None:
    """The same number of samples by one process and by several, each with its own commit."""
    add_column(repository, "together", "numpy")
    with (
        Writers(1, repository.path, "together") as one,
        Writers(PROCESSES, repository.path, "together") as several,
    ):

        def prepare(writers: Writers) -> Writers:
            seed = next(seeds)
            writers.prepare(total, 1000 * seed, seed * total)
            return writers

        bench.measure(
            Case(
                name=ONE,
                prepare=lambda: prepare(one),
                call=Writers.write,
                work=total,
                unit="samples",
            ),
            Case(
                name=f"{PROCESSES} processes together",
                prepare=lambda: prepare(several),
                call=Writers.write,
                work=total,
                unit="samples",
                reference=ONE,
                marks=[Mark(quantity="ratio", at_least=1.0)],
            ),
        )
    with repository.checkout("main") as checkout:
        assert len(checkout["together"]) == 2 * total * (1 + bench.rounds)
