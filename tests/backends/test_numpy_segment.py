from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from contracts.ragged_contract import RaggedContract, make_batch
from contracts.segment_contract import (
    ROW_BYTES,
    Bytes,
    FailingDisk,
    SegmentContract,
    make_rows,
)
from hangard_ext.recordspec import unpack_many

from hangard.backends.disk import Disk
from hangard.backends.numpy_segment import HEADER_BYTES, NumpySegment, npy_header, seal_abandoned
from hangard.backends.segment import RaggedSegment, Segment
from hangard.errors import NoSpace


class TestNumpySegment(SegmentContract):
    def create(self, directory: Path, disk: Disk, number: int = 7) -> Segment:
        return NumpySegment(directory / "a.npy", number, "|u1", (ROW_BYTES,), disk)

    def read_rows(self, segment: Segment, specs: Bytes) -> Bytes:
        content = segment.path.read_bytes()
        rows = [content[at : at + ROW_BYTES] for at in unpack_many(specs)["offset"].tolist()]
        return np.frombuffer(b"".join(rows), np.uint8).reshape(-1, ROW_BYTES)


class TestNumpySegmentOfAnyShapes(RaggedContract):
    def create(self, directory: Path, disk: Disk, number: int = 7) -> RaggedSegment:
        return NumpySegment(directory / "a.npy", number, "<u2", (), disk)


def test_samples_of_any_shapes_lie_ravelled_in_one_flat_array(tmp_path: Path) -> None:
    segment = NumpySegment(tmp_path / "a.npy", 1, "<u2", (), Disk())
    batch = make_batch(30)
    specs = batch.append_to(segment)
    segment.close()
    seal_abandoned(segment.path, specs, Disk())
    assert np.array_equal(np.load(segment.path), batch.rows.data.view("<u2"))


def test_an_open_file_promises_no_rows_and_a_sealed_one_all(tmp_path: Path) -> None:
    segment = NumpySegment(tmp_path / "a.npy", 1, "<i2", (3, 8), Disk())
    rows, digests, crcs = make_rows(6)
    segment.append(rows, digests, crcs)
    assert np.load(segment.path).shape == (0, 3, 8)
    segment.seal()
    loaded = np.load(segment.path, mmap_mode="r")
    assert loaded.dtype == np.dtype("<i2")
    assert np.array_equal(loaded, rows.view("<i2").reshape(6, 3, 8))


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (2**31,) * 31])
def test_every_legal_shape_fits_the_header(shape: tuple[int, ...]) -> None:
    for rows in (0, 2**62):
        header = npy_header("<c16", shape, rows)
        assert len(header) == HEADER_BYTES
        assert header.endswith(b"\n")


def test_samples_without_items_are_rows_too(tmp_path: Path) -> None:
    segment = NumpySegment(tmp_path / "a.npy", 1, "<f8", (0, 4), Disk())
    digests = np.zeros((5, 32), np.uint8)
    segment.append(np.empty((5, 0), np.uint8), digests, np.zeros(5, np.uint32))
    segment.seal()
    assert np.load(segment.path).shape == (5, 0, 4)


def test_a_segment_whose_process_died_is_sealed_at_its_named_rows(tmp_path: Path) -> None:
    segment = NumpySegment(tmp_path / "a.npy", 1, "|u1", (ROW_BYTES,), Disk())
    rows, digests, crcs = make_rows(6)
    specs = segment.append(rows, digests, crcs)
    segment.close()
    with segment.path.open("ab") as file:
        file.write(b"torn")
    seal_abandoned(segment.path, specs, Disk())
    assert np.array_equal(np.load(segment.path), rows)


def test_a_segment_with_an_append_that_was_not_finished_keeps_the_rows_behind_it(
    tmp_path: Path,
) -> None:
    segment = NumpySegment(tmp_path / "a.npy", 1, "|u1", (ROW_BYTES,), Disk())
    segment.append(*make_rows(3, 1))
    rows, digests, crcs = make_rows(4, 2)
    specs = segment.append(rows, digests, crcs)
    segment.close()
    seal_abandoned(segment.path, specs, Disk())
    assert np.array_equal(np.load(segment.path)[3:], rows)


def test_the_place_of_a_failed_append_is_used_again(tmp_path: Path) -> None:
    disk = FailingDisk(1_000_000)
    segment = NumpySegment(tmp_path / "a.npy", 1, "|u1", (ROW_BYTES,), disk)
    disk.left = 0
    with pytest.raises(NoSpace):
        segment.append(*make_rows(5, 1))
    disk.left = 1_000_000
    rows, digests, crcs = make_rows(4, 2)
    segment.append(rows, digests, crcs)
    segment.seal()
    assert np.array_equal(np.load(segment.path), rows)


def test_a_foreign_npy_file_is_not_sealed(tmp_path: Path) -> None:
    np.save(tmp_path / "b.npy", np.arange(4))
    before = (tmp_path / "b.npy").read_bytes()
    with pytest.raises(ValueError, match="no segment"):
        seal_abandoned(tmp_path / "b.npy", np.empty((0, 32), np.uint8), Disk())
    assert (tmp_path / "b.npy").read_bytes() == before
