"""What every segment of samples of any shapes must do; a backend's test class subclasses this."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest
from contracts.segment_contract import Bytes, FailingDisk
from hangard_ext.codec import read_ragged
from hangard_ext.ragged import crc32c_ragged
from hangard_ext.recordspec import SHAPE_IS_LENGTH, unpack_many

from hangard.backends.disk import Disk
from hangard.backends.ragged_chunks import RaggedBatch
from hangard.backends.segment import RaggedSegment
from hangard.encoding.rows import scan_rows
from hangard.errors import Closed, NoSpace
from hangard.model.ragged import RaggedRows

ITEM_BYTES = 2


def make_batch(n: int, seed: int = 0, most: int = 90, largest: int = 0) -> RaggedBatch:
    """Rows of 0 to ``most`` items; ``largest`` items in one more, in the middle."""
    random = np.random.default_rng(seed)
    items = random.integers(0, most + 1, n)
    if largest:
        items = np.insert(items, n // 2, largest)
    sizes = (items * ITEM_BYTES).astype(np.uint64)
    data = random.integers(0, 5, int(sizes.sum()), np.uint8)
    ends = np.cumsum(sizes, dtype=np.uint64)
    rows = RaggedRows(data, ends, items.astype(np.uint64).reshape(-1, 1))
    return RaggedBatch(
        rows,
        random.integers(0, 256, (len(items), 32), np.uint8),
        crc32c_ragged(data, ends),
        items.astype(np.uint32) | np.uint32(SHAPE_IS_LENGTH),
    )


def read(path: Path, specs: Bytes, batch: RaggedBatch) -> Bytes:
    """The rows that specs name, one behind the other, as a reader reads them."""
    out = np.zeros(batch.rows.nbytes, np.uint8)
    assert read_ragged(path.read_bytes(), specs, batch.rows.ends, out) == -1
    return out


class RaggedContract:
    """Subclasses give ``create``."""

    def create(self, directory: Path, disk: Disk, number: int = 7) -> RaggedSegment:
        """A new segment for items of ITEM_BYTES."""
        raise AssertionError("a subclass creates its kind of segment")

    def test_samples_of_any_length_come_back_from_their_specs(self, tmp_path: Path) -> None:
        segment = self.create(tmp_path, Disk())
        for batch in (make_batch(1, 1), make_batch(17, 2), make_batch(3000, 3)):
            specs = batch.append_to(segment)
            assert np.array_equal(read(segment.path, specs, batch), batch.rows.data)
        segment.close()

    def test_samples_without_items_need_no_bytes(self, tmp_path: Path) -> None:
        segment = self.create(tmp_path, Disk())
        batch = make_batch(5, most=0)
        specs = batch.append_to(segment)
        assert read(segment.path, specs, batch).size == 0
        assert len(scan_rows(Path(f"{segment.path}.rows").read_bytes())[0]) == 5
        segment.close()

    def test_specs_name_segment_format_checksum_and_shape(self, tmp_path: Path) -> None:
        segment = self.create(tmp_path, Disk())
        batch = make_batch(50)
        specs = batch.append_to(segment)
        fields = unpack_many(specs)
        assert set(fields["segment"]) == {7}
        assert set(fields["format_code"]) == {segment.format_code}
        assert np.array_equal(fields["crc"], batch.crcs)
        assert np.array_equal(fields["shape_id"], batch.shape_ids)
        digests, named, end = scan_rows(Path(f"{segment.path}.rows").read_bytes())
        assert end == segment.rows_bytes
        assert np.array_equal(digests, batch.digests)
        assert np.array_equal(named, specs)
        segment.close()

    def test_a_sealed_segment_still_reads_and_takes_no_more(self, tmp_path: Path) -> None:
        segment = self.create(tmp_path, Disk())
        batch = make_batch(200)
        specs = batch.append_to(segment)
        segment.sync()
        segment.seal()
        assert np.array_equal(read(segment.path, specs, batch), batch.rows.data)
        with pytest.raises(Closed):
            batch.append_to(segment)
        found = os.stat(segment.path)
        assert found.st_blocks * 512 <= found.st_size + 64 * 1024
        segment.seal()
        segment.close()

    def test_threads_append_at_once_and_lose_nothing(self, tmp_path: Path) -> None:
        segment = self.create(tmp_path, Disk())
        batches = [make_batch(40, seed) for seed in range(8)]
        specs: dict[int, Bytes] = {}

        def append(position: int) -> None:
            specs[position] = batches[position].append_to(segment)

        threads = [threading.Thread(target=append, args=(position,)) for position in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for position, batch in enumerate(batches):
            assert np.array_equal(read(segment.path, specs[position], batch), batch.rows.data)
        segment.close()

    def test_a_failed_append_names_nothing(self, tmp_path: Path) -> None:
        disk = FailingDisk(1_000_000)
        segment = self.create(tmp_path, disk)
        first = make_batch(4, 1)
        specs = first.append_to(segment)
        disk.left = 0
        with pytest.raises(NoSpace):
            make_batch(4, 2).append_to(segment)
        disk.left = 1_000_000
        digests, _, _ = scan_rows(Path(f"{segment.path}.rows").read_bytes())
        assert np.array_equal(digests, first.digests)
        second = make_batch(9, 3)
        later = second.append_to(segment)
        assert np.array_equal(read(segment.path, specs, first), first.rows.data)
        assert np.array_equal(read(segment.path, later, second), second.rows.data)
        segment.close()
