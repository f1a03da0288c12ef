"""BLAKE3 of many small samples, of one large input and of tree nodes; CRC32C."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import blake3
import numpy as np
import numpy.typing as npt
from hangard_ext import digest

from bench.harness import Bench, Case, Mark
from bench.reference import memcpy_case

SAMPLE_BYTES = 784
KEY = bytes(range(32))


def run(bench: Bench) -> None:
    count = bench.scaled(60_000, 10_000)
    rows = np.random.default_rng(1).integers(0, 256, (count, SAMPLE_BYTES), dtype=np.uint8)
    out = np.empty((count, digest.DIGEST_BYTES), np.uint8)
    sums = np.empty(count, np.uint32)
    lengths = np.random.default_rng(2).integers(512, 3584, rows.nbytes // 2048 - 100)
    ends = np.cumsum(lengths, dtype=np.uint64)
    nodes = rows.reshape(-1)[: int(ends[-1])]

    def many_in(body: str) -> None:
        digest.force_body(body)
        try:
            digest.digest_many(KEY, rows, SAMPLE_BYTES, out)
        finally:
            digest.force_body(None)

    def official() -> None:
        for row in rows:
            blake3.blake3(row, key=KEY).digest()

    copy = memcpy_case(rows)

    def case(
        name: str, call: Callable[[], object], data: npt.NDArray[np.uint8] = rows, *marks: Mark
    ) -> Case:
        return Case(
            name=name,
            call=lambda _: call(),
            work=data.nbytes,
            unit="B",
            reference=copy.name,
            marks=marks,
        )

    # The mark is set for AVX-512; other bodies are shown beside it.
    fast = (Mark(quantity="rate", at_least=2e9),) if digest.body() == "avx512" else ()
    bench.measure(
        copy,
        *(
            case(
                f"784-byte samples, {body}",
                partial(many_in, body),
                rows,
                *(fast if body == digest.body() else ()),
            )
            for body in digest.bodies()
        ),
        case("784-byte samples, official package each", official),
        case("one large input", lambda: digest.digest(rows)),
        case("one large input, official package", lambda: blake3.blake3(rows.data).digest()),
        case(
            "nodes of 2 KiB",
            lambda: digest.digest_ragged("hangard node v1", nodes, ends, out[: len(ends)]),
            nodes,
        ),
        case("CRC32C of 784-byte samples", lambda: digest.crc32c_many(rows, SAMPLE_BYTES, sums)),
    )
