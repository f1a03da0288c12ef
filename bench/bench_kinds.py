"""Text and images of many sizes: into a repository and out again; how text compresses in blocks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from hangard_ext.codec import compress_rows, read_ragged
from hangard_ext.recordspec import CODEC_BLOSC2, FLAG_RAGGED, pack_many

from bench.harness import Bench, Case
from bench.store import open_store
from hangard.backends.packed_segment import PACKED_CODEC, PACKED_LEVEL
from hangard.model.chunking import CHUNK_BYTES

TEXT_BYTES = 100
CODECS = ((PACKED_CODEC, PACKED_LEVEL), ("lz4", 5))
BLOCKS = (4096, 16384)


def run(bench: Bench) -> None:
    text = source_text()
    compression(bench, text)
    count = bench.scaled(100_000, 10_000)
    starts = np.random.default_rng(1).integers(0, len(text) - 2 * TEXT_BYTES, count).tolist()
    texts = [text[start : start + TEXT_BYTES + start % 40] for start in starts]
    sizes = np.random.default_rng(2).integers(16, 41, (count, 2)).tolist()
    images = [np.full((height, width), height, np.uint8) for height, width in sizes]
    with bench.scratch() as directory, open_store(directory / "repository") as repository:
        round_trip(bench, repository, "text", lambda co, name: co.add_str_column(name), texts)
        round_trip(
            bench,
            repository,
            "images of many sizes",
            lambda co, name: co.add_ndarray_column(
                name, (40, 40), "uint8", variable_shape=True, backend="hdf5"
            ),
            images,
        )


def source_text() -> str:
    """Text that every machine with these packages has: numpy's sources."""
    files = sorted((Path(np.__file__).parent / "lib").glob("*.py"))
    text = "".join(file.read_text("utf-8") for file in files)
    return text.encode("ascii", "ignore").decode()


def compression(bench: Bench, text: str) -> None:
    """One chunk of text in blocks of several sizes: its length, and the cost of a short read."""
    chunk = text.encode()[:CHUNK_BYTES]
    starts = np.random.default_rng(3).integers(0, len(chunk) - TEXT_BYTES, 2000).astype(np.uint64)
    ends = np.arange(1, len(starts) + 1, dtype=np.uint64) * np.uint64(TEXT_BYTES)
    out = np.empty(int(ends[-1]), np.uint8)
    cases = []
    for codec, level in CODECS:
        for block_bytes in BLOCKS:
            frame = compress_rows(
                chunk,
                chunk_bytes=len(chunk),
                typesize=1,
                block_bytes=block_bytes,
                codec=codec,
                level=level,
                shuffle="none",
            )
            assert frame is not None, "text compresses"
            name = f"{codec} level {level} in blocks of {block_bytes}"
            bench.count(f"text, {name}", len(frame) / len(chunk), "of raw")
            specs = pack_many(30, FLAG_RAGGED, CODEC_BLOSC2, 1, 0, len(frame), starts, 0)

            def read(_: Any, frame: bytes = frame, specs: Any = specs) -> int:
                return read_ragged(frame, specs, ends, out, None, False)

            cases.append(Case(name=f"100 bytes, {name}", call=read, work=len(starts), unit="texts"))
    bench.measure(*cases)


def round_trip(bench: Bench, repository: Any, name: str, add: Any, samples: list[Any]) -> None:
    """Samples put and committed, then read by number and in order."""
    keys = (
        np.random.default_rng(5).permutation(len(samples))[: bench.scaled(20_000, 2_000)].tolist()
    )
    numbers = iter(range(1000))

    def put(_: Any) -> str:
        column = f"{name.split()[0]}{next(numbers)}"
        with repository.checkout("main", write=True) as checkout:
            add(checkout, column).put_many(range(len(samples)), samples)
            checkout.commit(column)
        return column

    case = Case(name=f"put and commit, {name}", call=put, work=len(samples), unit="samples")
    bench.measure(case)
    column_name = put(None)
    with repository.checkout("main") as checkout:
        column = checkout[column_name]
        for found, key in zip(column.get_many(keys), keys, strict=True):
            assert np.array_equal(found, samples[key])

        def one_by_one(_: Any) -> None:
            for key in keys:
                column[key]

        def iterate(_: Any) -> None:
            assert sum(1 for _ in column.values()) == len(samples)

        bench.measure(
            Case(name=f"col[key], {name}", call=one_by_one, work=len(keys), unit="samples"),
            Case(
                name=f"get_many, {name}",
                call=lambda _: column.get_many(keys),
                work=len(keys),
                unit="samples",
            ),
            Case(name=f"values(), {name}", call=iterate, work=len(samples), unit="samples"),
        )
