from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from contracts.ragged_contract import RaggedContract, make_batch, read
from hangard_ext.codec import chunk_bytes_of
from hangard_ext.recordspec import CODEC_BLOSC2, CODEC_RAW, FLAG_RAGGED, unpack_many

from hangard.backends.disk import Disk
from hangard.backends.packed_segment import HEADER_BYTES, PackedSegment, packed_header
from hangard.model.chunking import CHUNK_BYTES
from hangard.model.directory import FORMAT_BYTES, FORMAT_STR

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.mark.parametrize("format_code", [FORMAT_STR, FORMAT_BYTES])
class TestPackedSegment(RaggedContract):
    @pytest.fixture(autouse=True)
    def _code(self, format_code: int) -> None:
        self.format_code = format_code

    def create(self, directory: Path, disk: Disk, number: int = 7) -> PackedSegment:
        return PackedSegment(directory / "a.pack", number, self.format_code, disk)


def test_permanent_bytes_of_the_header() -> None:
    header = packed_header(0x01020304)
    assert header.hex() == (GOLDEN / "packed_header.hex").read_text().strip()
    assert len(header) == HEADER_BYTES


def test_chunks_hold_many_samples_and_a_large_one_comes_alone(tmp_path: Path) -> None:
    segment = PackedSegment(tmp_path / "a.pack", 1, FORMAT_STR, Disk())
    batch = make_batch(20_000, most=50, largest=CHUNK_BYTES)
    specs = batch.append_to(segment)
    segment.seal()
    assert np.array_equal(read(segment.path, specs, batch), batch.rows.data)
    fields = unpack_many(specs)
    assert (fields["flags"] == FLAG_RAGGED).all()
    assert (fields["offset"] % 8 == 0).all()
    content = segment.path.read_bytes()
    sizes = []
    for offset, length, codec in sorted(
        {(f["offset"].item(), f["stored_length"].item(), f["codec"].item()) for f in fields}
    ):
        assert codec == CODEC_BLOSC2
        sizes.append(chunk_bytes_of(content[offset : offset + length]))
    assert sorted(sizes)[-1] == 2 * CHUNK_BYTES
    assert len(sizes) <= 2 + 2 + batch.rows.nbytes // CHUNK_BYTES
    assert segment.length_bytes == len(content)


def test_what_does_not_compress_is_stored_as_it_is(tmp_path: Path) -> None:
    segment = PackedSegment(tmp_path / "a.pack", 1, FORMAT_BYTES, Disk())
    batch = make_batch(100)
    noise = np.random.default_rng(1).integers(0, 256, batch.rows.nbytes, np.uint8)
    batch.rows.data[:] = noise
    specs = batch.append_to(segment)
    segment.close()
    assert (unpack_many(specs)["codec"] == CODEC_RAW).all()
    assert noise.tobytes() in segment.path.read_bytes()
