"""Blosc2 chunks of 784-byte images: compressing, decoding whole, decoding single rows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hangard_ext import codec, digest, recordspec

from bench.data import IMAGE_BYTES, images
from bench.harness import Bench, Case
from bench.reference import memcpy_case
from hangard.model.chunking import block_bytes, chunk_rows


class Chunks:
    """Images cut into chunks as the daemon cuts them, behind one another as in a file."""

    def __init__(self, rows: npt.NDArray[np.uint8]) -> None:
        self.rows = rows
        self.rows_each = chunk_rows(IMAGE_BYTES)
        self.raw_bytes = self.rows_each * IMAGE_BYTES
        self.frames: list[bytes] = []
        self.specs = np.empty((len(rows), 32), np.uint8)

    def compress(self) -> None:
        self.frames = []
        for first in range(0, len(self.rows), self.rows_each):
            frame = codec.compress_rows(
                self.rows[first : first + self.rows_each].data,
                chunk_bytes=self.raw_bytes,
                typesize=1,
                block_bytes=block_bytes(IMAGE_BYTES, 1),
            )
            assert frame is not None, "the images are made to compress"
            self.frames.append(frame)

    def locate(self) -> bytes:
        """The bytes of a file that holds all chunks; sets the rows' specs."""
        sums = np.empty(len(self.rows), np.uint32)
        digest.crc32c_many(self.rows, IMAGE_BYTES, sums)
        offset = 0
        for number, frame in enumerate(self.frames):
            part = slice(number * self.rows_each, (number + 1) * self.rows_each)
            count = len(sums[part])
            self.specs[part] = recordspec.pack_many(
                0, 0, recordspec.CODEC_BLOSC2, 1, offset, len(frame), np.arange(count), sums[part]
            )
            offset += len(frame)
        return b"".join(self.frames)


def run(bench: Bench) -> None:
    chunks = Chunks(images(bench.scaled(60_000, 10_000)))
    copy = memcpy_case(chunks.rows)
    whole = np.empty(chunks.raw_bytes, np.uint8)

    def decode_all() -> None:
        for frame in chunks.frames:
            codec.decode_chunk(frame, IMAGE_BYTES, whole.data)

    bench.measure(
        copy,
        Case(
            name="compress, lz4 level 5",
            call=lambda _: chunks.compress(),
            work=chunks.rows.nbytes,
            unit="B",
            reference=copy.name,
        ),
        Case(
            name="decode whole chunks",
            call=lambda _: decode_all(),
            work=chunks.rows.nbytes,
            unit="B",
            reference=copy.name,
        ),
    )
    file = chunks.locate()
    bench.count("compression", chunks.rows.nbytes / len(file), "to 1")

    order = np.random.default_rng(3).integers(0, len(chunks.rows), bench.scaled(20_000, 2_000))
    specs = chunks.specs[order]
    keys = [spec.tobytes() for spec in specs]
    out = np.empty((len(order), IMAGE_BYTES), np.uint8)
    row = np.empty(IMAGE_BYTES, np.uint8)

    def one_by_one() -> None:
        for key in keys:
            if not codec.read_row(file, key, IMAGE_BYTES, row.data):
                raise AssertionError("a row's checksum does not fit")

    def check(bad: int) -> None:
        assert bad == -1, f"row {bad} is damaged"
        assert np.array_equal(out, chunks.rows.reshape(-1, IMAGE_BYTES)[order])

    bench.measure(
        Case(
            name="random rows, one call each",
            call=lambda _: one_by_one(),
            work=len(order),
            unit="rows",
        ),
        Case(
            name="random rows, one call",
            call=lambda _: codec.read_many(file, specs, IMAGE_BYTES, out.data),
            finish=check,
            work=len(order),
            unit="rows",
        ),
    )
