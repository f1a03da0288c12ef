"""What every segment must do; a backend's test class subclasses this and gives it segments."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hangard_ext.digest import crc32c_many
from hangard_ext.recordspec import unpack_many

from hangard.backends.disk import Disk
from hangard.backends.segment import Segment
from hangard.encoding.rows import scan_rows
from hangard.errors import Closed, NoSpace

Bytes = npt.NDArray[np.uint8]

ROW_BYTES = 48


class FailingDisk(Disk):
    """Fails the N-th write, and all after it, with a full disk."""

    def __init__(self, writes: int) -> None:
        self.left = writes

    def write(self, fd: int, data: bytes | memoryview, offset: int) -> None:
        if self.left <= 0:
            raise NoSpace("the disk is full", code="disk-full")
        self.left -= 1
        super().write(fd, data, offset)


def make_rows(n: int, seed: int = 0) -> tuple[Bytes, Bytes, npt.NDArray[np.uint32]]:
    """Rows (n, ROW_BYTES), made-up digests (n, 32) and the rows' checksums."""
    random = np.random.default_rng(seed)
    rows = random.integers(0, 5, (n, ROW_BYTES), np.uint8)
    crcs = np.empty(n, np.uint32)
    crc32c_many(rows, ROW_BYTES, crcs)
    return rows, random.integers(0, 256, (n, 32), np.uint8), crcs


class SegmentContract:
    """Subclasses give ``create`` and ``read_rows``."""

    def create(self, directory: Path, disk: Disk, number: int = 7) -> Segment:
        """A new segment for samples of dtype uint8 and shape (ROW_BYTES,)."""
        raise AssertionError("a subclass creates its kind of segment")

    def read_rows(self, segment: Segment, specs: Bytes) -> Bytes:
        """The rows (n, ROW_BYTES) that the specs name, read as a reader would."""
        raise AssertionError("a subclass reads its kind of segment")

    def named(self, segment: Segment) -> tuple[Bytes, Bytes]:
        """Digests and specs that the segment's ``.rows`` file names."""
        digests, specs, end = scan_rows(Path(f"{segment.path}.rows").read_bytes())
        assert end == segment.rows_bytes
        return digests, specs

    def test_rows_come_back_from_their_specs(self, tmp_path: Path) -> None:
        segment = self.create(tmp_path, Disk())
        for seed, n in enumerate((1, 17, 300)):
            rows, digests, crcs = make_rows(n, seed)
            specs = segment.append(rows, digests, crcs)
            assert specs.shape == (n, 32)
            assert np.array_equal(self.read_rows(segment, specs), rows)
        segment.close()

    def test_specs_name_segment_format_and_checksum(self, tmp_path: Path) -> None:
        segment = self.create(tmp_path, Disk(), number=7)
        rows, digests, crcs = make_rows(5)
        fields = unpack_many(segment.append(rows, digests, crcs))
        assert set(fields["segment"]) == {7}
        assert set(fields["format_code"]) == {segment.format_code}
        assert list(fields["crc"]) == list(crcs)
        segment.close()

    def test_what_was_appended_is_named_beside_the_data(self, tmp_path: Path) -> None:
        segment = self.create(tmp_path, Disk())
        batches = [make_rows(n, n) for n in (3, 5)]
        specs = [segment.append(*batch) for batch in batches]
        found_digests, found_specs = self.named(segment)
        assert np.array_equal(found_digests, np.concatenate([batch[1] for batch in batches]))
        assert np.array_equal(found_specs, np.concatenate(specs))
        segment.close()

    def test_a_sealed_segment_still_reads_and_takes_no_more(self, tmp_path: Path) -> None:
        segment = self.create(tmp_path, Disk())
        rows, digests, crcs = make_rows(20)
        specs = segment.append(rows, digests, crcs)
        segment.seal()
        assert np.array_equal(self.read_rows(segment, specs), rows)
        with pytest.raises(Closed):
            segment.append(rows, digests, crcs)
        segment.seal()
        segment.close()
        segment.close()

    def test_sealing_gives_back_reserved_blocks(self, tmp_path: Path) -> None:
        segment = self.create(tmp_path, Disk())
        segment.append(*make_rows(3))
        segment.seal()
        found = os.stat(segment.path)
        assert found.st_blocks * 512 <= found.st_size + 64 * 1024

    def test_threads_append_at_once_and_lose_nothing(self, tmp_path: Path) -> None:
        segment = self.create(tmp_path, Disk())
        batches = [make_rows(40, seed) for seed in range(8)]
        specs: dict[int, Bytes] = {}

        def append(position: int) -> None:
            specs[position] = segment.append(*batches[position])

        threads = [threading.Thread(target=append, args=(position,)) for position in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for position, (rows, _, _) in enumerate(batches):
            assert np.array_equal(self.read_rows(segment, specs[position]), rows)
        assert len(self.named(segment)[0]) == 320
        segment.close()

    def test_a_failed_append_names_nothing(self, tmp_path: Path) -> None:
        disk = FailingDisk(1_000_000)
        segment = self.create(tmp_path, disk)
        first = make_rows(4, 1)
        specs = segment.append(*first)
        disk.left = 0
        with pytest.raises(NoSpace):
            segment.append(*make_rows(4, 2))
        disk.left = 1_000_000
        assert np.array_equal(self.named(segment)[0], first[1])
        assert np.array_equal(self.read_rows(segment, specs), first[0])
        segment.close()

    def test_sync_is_possible_at_any_time(self, tmp_path: Path) -> None:
        segment = self.create(tmp_path, Disk())
        segment.sync()
        segment.append(*make_rows(2))
        segment.sync()
        segment.seal()
        segment.sync()
        segment.close()
