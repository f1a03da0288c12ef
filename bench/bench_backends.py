"""The same images into segments of each backend, against h5py in bulk and a plain write."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
import numpy.typing as npt
from hangard_ext.digest import crc32c_many

from bench.data import IMAGE_BYTES, IMAGE_SHAPE, digests, images
from bench.harness import Bench, Case, Mark
from bench.reference import TouchedFile
from hangard.backends.disk import Disk
from hangard.backends.hdf5_segment import Hdf5Segment
from hangard.backends.hdf5_writer import Hdf5Writer
from hangard.backends.numpy_segment import NumpySegment
from hangard.backends.segment import Segment
from hangard.model.chunking import chunk_rows
from hangard.model.options import Hdf5Options

# What a client's window of 1 MiB holds in whole chunks.
BATCH_ROWS = 2 * chunk_rows(IMAGE_BYTES)


@dataclass(frozen=True, slots=True)
class Batches:
    """Images, and what the daemon knows of each when it stores them."""

    rows: npt.NDArray[np.uint8]
    digests: npt.NDArray[np.uint8]
    crcs: npt.NDArray[np.uint32]

    def append_all(self, segment: Segment, threads: int, rows_each: int) -> Segment:
        """Append and sync, as a commit does."""

        def append(start: int) -> None:
            part = slice(start, start + rows_each)
            segment.append(self.rows[part], self.digests[part], self.crcs[part])

        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(append, range(0, len(self.rows), rows_each)))
        segment.sync()
        return segment


def run(bench: Bench) -> None:
    rows = images(bench.scaled(60_000, 10_000)).reshape(-1, IMAGE_BYTES)
    crcs = np.empty(len(rows), np.uint32)
    crc32c_many(rows, IMAGE_BYTES, crcs)
    batches = Batches(rows, digests(len(rows)), crcs)
    with bench.scratch() as directory, Hdf5Writer() as writer, touched(directory, rows) as plain:
        numbers = count(1)

        def hdf5() -> Segment:
            number = next(numbers)
            path = directory / f"{number}.h5"
            options = Hdf5Options()
            return Hdf5Segment(
                path, number, "|u1", IMAGE_SHAPE, Disk(), writer=writer, options=options
            )

        def numpy() -> Segment:
            number = next(numbers)
            return NumpySegment(directory / f"{number}.npy", number, "|u1", IMAGE_SHAPE, Disk())

        def case(
            name: str,
            create: Callable[[], Segment],
            reference: str,
            *marks: Mark,
            threads: int = 1,
            rows_each: int = BATCH_ROWS,
        ) -> Case:
            return Case(
                name=name,
                prepare=create,
                call=lambda segment: batches.append_all(segment, threads, rows_each),
                finish=remove,
                work=len(rows),
                unit="samples",
                reference=reference,
                marks=marks,
            )

        writer.start()
        bulk = Case(
            name="h5py, hdf5plugin's Blosc2, in bulk",
            call=lambda _: write_with_h5py(directory / "bulk.h5", rows),
            finish=lambda path: path.unlink(),
            work=len(rows),
            unit="samples",
        )
        raw = Case(
            name="pwrite and fsync, touched before",
            call=lambda _: plain.write(rows.reshape(-1).data),
            work=len(rows),
            unit="samples",
        )
        at_least_half = Mark(quantity="ratio", at_least=0.5)
        bench.measure(
            raw,
            bulk,
            case("00, one thread", hdf5, bulk.name, at_least_half),
            case("00, four threads", hdf5, bulk.name, at_least_half, threads=4),
            case("00, one batch", hdf5, bulk.name, rows_each=len(rows)),
            case("10, one thread", numpy, raw.name),
        )


@contextmanager
def touched(directory: Path, rows: npt.NDArray[np.uint8]) -> Iterator[TouchedFile]:
    file = TouchedFile(directory / "plain", rows.nbytes)
    try:
        yield file
    finally:
        file.close()


def write_with_h5py(path: Path, rows: npt.NDArray[np.uint8]) -> Path:
    """One call for all rows, with the daemon's chunks and codec, then fsync."""
    with h5py.File(path, "w") as file:
        file.create_dataset(
            "samples",
            data=rows,
            chunks=(chunk_rows(IMAGE_BYTES), IMAGE_BYTES),
            **hdf5plugin.Blosc2(cname="lz4", clevel=5, filters=hdf5plugin.Blosc2.SHUFFLE),
        )
    disk = Disk()
    fd = disk.open(path)
    disk.sync(fd)
    disk.close(fd)
    return path


def remove(segment: Segment) -> None:
    segment.seal()
    segment.close()
    segment.path.unlink()
    Path(f"{segment.path}.rows").unlink()
