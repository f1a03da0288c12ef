"""Segments of format 00 for samples of any shapes, against the contract and against plain h5py."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from contracts.ragged_contract import ITEM_BYTES, RaggedContract, make_batch, read
from hangard_ext.recordspec import unpack_many

from hangard.backends.disk import Disk
from hangard.backends.hdf5_ragged import RaggedHdf5Segment
from hangard.backends.hdf5_rebuild import rebuild
from hangard.backends.hdf5_writer import Hdf5Writer
from hangard.backends.ragged_chunks import RaggedBatch, chunk_items
from hangard.backends.segment import SegmentLost
from hangard.encoding.rows import scan_rows
from hangard.errors import NoSpace
from hangard.limits import SAMPLE_BYTES_MAX
from hangard.model.options import Hdf5Options
from hangard.model.schema import make_schema

CHUNK_ITEMS = 4096
OPTIONS = [
    Hdf5Options(),
    Hdf5Options("zstd", 3, "bit"),
    Hdf5Options("gzip", 4, "byte", fletcher32=True),
    Hdf5Options("lzf", 0, "none"),
    Hdf5Options("none", 0, "none", fletcher32=True),
]

# libhdf5 stays out of the process that runs the tests, as in the daemon.
PLAIN_READER = """
import sys, h5py, hdf5plugin
with h5py.File(sys.argv[1], "r") as file:
    samples, counts = file["samples"], file["valid_rows"][:]
    chunk = samples.chunks[0]
    parts = [samples[i * chunk:i * chunk + int(n)] for i, n in enumerate(counts)]
    sys.stdout.buffer.write(b"".join(part.tobytes() for part in parts))
"""


@pytest.fixture(scope="module")
def writer() -> Iterator[Hdf5Writer]:
    with Hdf5Writer() as writer:
        yield writer


def make_segment(
    writer: Hdf5Writer,
    path: Path,
    options: Hdf5Options | None = None,
    chunk_items: int = CHUNK_ITEMS,
    disk: Disk | None = None,
    number: int = 7,
) -> RaggedHdf5Segment:
    return RaggedHdf5Segment(
        path,
        number,
        "<u2",
        (),
        disk or Disk(),
        writer=writer,
        options=options or Hdf5Options(),
        chunk_items=chunk_items,
    )


class TestRaggedHdf5Segment(RaggedContract):
    @pytest.fixture(autouse=True)
    def _writer(self, writer: Hdf5Writer) -> None:
        self.writer = writer

    def create(self, directory: Path, disk: Disk, number: int = 7) -> RaggedHdf5Segment:
        return make_segment(self.writer, directory / "a.h5", disk=disk, number=number)

    def test_a_failed_append_names_nothing(self, tmp_path: Path) -> None:
        class FullDisk(Disk):
            full = False

            def reserve(self, fd: int, offset: int, length: int) -> None:
                if self.full:
                    raise NoSpace("the disk is full", code="disk-full")
                super().reserve(fd, offset, length)

        disk = FullDisk()
        segment = make_segment(self.writer, tmp_path / "a.h5", disk=disk)
        make_batch(4).append_to(segment)
        before, disk.full = segment.rows_bytes, True
        with pytest.raises(NoSpace):
            make_batch(2_000_000, most=2).append_to(segment)
        assert segment.rows_bytes == before
        segment.close()


@pytest.mark.parametrize("options", OPTIONS)
def test_samples_are_read_with_every_filter_here_and_by_plain_h5py(
    writer: Hdf5Writer, tmp_path: Path, options: Hdf5Options
) -> None:
    segment = make_segment(writer, tmp_path / "a.h5", options)
    batch = make_batch(2000, most=300, largest=CHUNK_ITEMS)
    specs = batch.append_to(segment)
    assert np.array_equal(read(segment.path, specs, batch), batch.rows.data)
    segment.seal()
    assert np.array_equal(read(segment.path, specs, batch), batch.rows.data)
    command = [sys.executable, "-c", PLAIN_READER, str(segment.path)]
    plain = subprocess.run(command, capture_output=True, check=True).stdout
    assert plain == batch.rows.data.tobytes()


def test_no_sample_lies_across_a_border_of_chunks(writer: Hdf5Writer, tmp_path: Path) -> None:
    segment = make_segment(writer, tmp_path / "a.h5")
    batch = make_batch(500, most=3000)
    fields = unpack_many(batch.append_to(segment))
    sizes = np.diff(batch.rows.ends, prepend=np.uint64(0))
    assert (fields["row"] + sizes <= CHUNK_ITEMS * ITEM_BYTES).all()
    assert (fields["row"] % ITEM_BYTES == 0).all()
    segment.close()


@pytest.mark.parametrize("options", OPTIONS)
def test_a_damaged_file_is_rebuilt_from_its_chunks(
    writer: Hdf5Writer, tmp_path: Path, options: Hdf5Options
) -> None:
    segment = make_segment(writer, tmp_path / "a.h5", options)
    batch = make_batch(900, most=80)
    specs = batch.append_to(segment)
    segment.seal()
    content = bytearray(segment.path.read_bytes())
    content[8:64] = bytes(56)  # of the superblock
    fields = unpack_many(specs)
    first = fields[int(np.argmax(fields["offset"] > 0))]  # its chunk is full
    middle = int(first["offset"]) + int(first["stored_length"]) // 2
    content[middle : middle + 16] = b"\xff" * 16
    segment.path.write_bytes(content)
    assert not writer.is_readable(segment.path)
    digests, named, _ = scan_rows(Path(f"{segment.path}.rows").read_bytes())
    sizes = np.diff(batch.rows.ends, prepend=np.uint64(0)).astype(np.int64)
    rebuilt = rebuild(
        segment.path,
        digests,
        named,
        tmp_path / "b.h5",
        9,
        "<u2",
        (),
        options=options,
        disk=Disk(),
        writer=writer,
        sizes=sizes,
    )
    assert writer.is_readable(tmp_path / "b.h5")
    assert 0 < len(rebuilt.lost) < len(digests)
    kept = np.flatnonzero((digests[:, None] == rebuilt.digests[None]).all(2).any(1))
    rows = [batch.rows.part(i, i + 1).data.tobytes() for i in kept.tolist()]
    ends = np.cumsum([len(row) for row in rows], dtype=np.uint64)
    whole = np.frombuffer(b"".join(rows), np.uint8)
    part = RaggedBatch(
        type(batch.rows)(whole, ends, batch.rows.shapes[kept]),
        digests[kept],
        batch.crcs[kept],
        batch.shape_ids[kept],
    )
    assert np.array_equal(read(tmp_path / "b.h5", rebuilt.specs, part), whole)


def test_batches_are_taken_apart_by_the_chunks_they_need(
    writer: Hdf5Writer, tmp_path: Path
) -> None:
    schema = make_schema(dtype="u2", shape=(2**22,), backend="00", variable_shape=True)
    batch = make_batch(50, most=40, largest=2**20)
    parts = dict(batch.by_form(schema))
    assert sorted(form.chunk_items for form in parts) == [2**18, 2**20]
    for form, part in parts.items():
        path = tmp_path / f"{form.chunk_items}.h5"
        segment = make_segment(writer, path, chunk_items=form.chunk_items)
        specs = part.append_to(segment)
        assert np.array_equal(read(path, specs, part), part.rows.data)
        segment.close()


def test_chunks_of_large_samples_have_few_sizes_and_little_that_is_empty() -> None:
    sizes = np.arange(1, 40_000_000, 70_001, dtype=np.uint64) * 2
    items = chunk_items(sizes, 2, 512 * 1024)
    assert (items * 2 >= sizes).all()
    large = sizes > 512 * 1024
    assert (items[large] * 2 <= sizes[large] * 9 / 8 + 64).all()
    assert len(np.unique(items)) < 80
    largest = np.array([SAMPLE_BYTES_MAX - 2, SAMPLE_BYTES_MAX], np.uint64)
    assert (chunk_items(largest, 2, 512 * 1024) * 2 <= SAMPLE_BYTES_MAX).all()


def test_a_segment_whose_process_died_is_lost_and_its_rows_are_not(tmp_path: Path) -> None:
    with Hdf5Writer() as writer:
        segment = make_segment(writer, tmp_path / "a.h5")
        batch = make_batch(100)
        specs = batch.append_to(segment)
        writer.kill(writer.start())
        with pytest.raises(SegmentLost):
            make_batch(5, 2).append_to(segment)
        assert segment.is_lost
        assert np.array_equal(read(segment.path, specs, batch), batch.rows.data)
        segment.close()
