from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from contracts.segment_contract import ROW_BYTES, Bytes, SegmentContract, make_rows
from hangard_ext.digest import crc32c
from hangard_ext.logrecord import KIND_NODE, KIND_SAMPLE
from hangard_ext.recordspec import unpack_many

from hangard.backends.disk import Disk
from hangard.backends.log import Log
from hangard.backends.log import scan_log as scan_log_file
from hangard.backends.segment import Segment
from hangard.encoding.log import log_header, scan_log
from hangard.errors import Corrupt
from hangard.model.ragged import RaggedRows


def payloads(log: Segment, specs: Bytes) -> list[bytes]:
    content = log.path.read_bytes()
    fields = unpack_many(specs)
    return [
        content[at : at + length]
        for at, length in zip(
            fields["offset"].tolist(), fields["stored_length"].tolist(), strict=True
        )
    ]


class TestLog(SegmentContract):
    def create(self, directory: Path, disk: Disk, number: int = 7) -> Segment:
        return Log(directory / "a.log", number, disk)

    def read_rows(self, segment: Segment, specs: Bytes) -> Bytes:
        joined = b"".join(payloads(segment, specs))
        return np.frombuffer(joined, np.uint8).reshape(-1, ROW_BYTES)

    def named(self, segment: Segment) -> tuple[Bytes, Bytes]:
        records = scan_log(segment.path.read_bytes())
        assert records.end_bytes == segment.rows_bytes
        return records.digests, records.specs


def test_nodes_and_rows_of_any_length_share_a_log(tmp_path: Path) -> None:
    log = Log(tmp_path / "a.log", 3, Disk())
    digests = make_rows(5)[1]
    blob, ends = b"node one" + b"2" + b"", np.array([8, 9, 9], np.uint64)
    nodes = log.append_nodes(digests[:3], blob, ends)
    crcs = np.array([crc32c(b"abc"), crc32c(b"de")], np.uint32)
    ids = np.array([4, 5], np.uint32)
    texts = RaggedRows(
        np.frombuffer(b"abcde", np.uint8),
        np.array([3, 5], np.uint64),
        np.array([[3], [2]], np.uint64),
    )
    rows = log.append_ragged(texts, digests[3:], crcs, ids)
    log.seal()
    assert payloads(log, nodes) == [b"node one", b"2", b""]
    assert payloads(log, rows) == [b"abc", b"de"]
    assert unpack_many(nodes)["crc"].tolist() == [crc32c(b"node one"), crc32c(b"2"), 0]
    assert unpack_many(rows)["shape_id"].tolist() == [4, 5]
    records = scan_log(log.path.read_bytes())
    assert records.kinds.tolist() == [KIND_NODE] * 3 + [KIND_SAMPLE] * 2
    assert np.array_equal(records.digests, digests)
    assert np.array_equal(records.specs, np.concatenate([nodes, rows]))


def test_samples_without_items_are_rows_too(tmp_path: Path) -> None:
    log = Log(tmp_path / "a.log", 3, Disk())
    digests = make_rows(2)[1]
    specs = log.append(np.empty((2, 0), np.uint8), digests, np.zeros(2, np.uint32))
    assert payloads(log, specs) == [b"", b""]
    assert log.append(np.empty((0, 8), np.uint8), digests[:0], np.zeros(0, np.uint32)).size == 0
    log.close()


def test_a_sync_without_new_records_costs_nothing(tmp_path: Path) -> None:
    class CountingDisk(Disk):
        syncs = 0

        def sync(self, fd: int) -> None:
            self.syncs += 1
            super().sync(fd)

    disk = CountingDisk()
    log = Log(tmp_path / "a.log", 3, disk)
    log.append(*make_rows(1))
    log.sync()
    log.sync()
    assert disk.syncs == 1
    log.append(*make_rows(1))
    log.sync()
    assert disk.syncs == 2
    log.seal()
    assert disk.syncs == 2


def test_a_log_whose_process_died_is_scanned_from_any_position(tmp_path: Path) -> None:
    log = Log(tmp_path / "a.log", 3, Disk())
    log.append(*make_rows(2, 0))
    position = log.length_bytes
    specs = log.append(*make_rows(3, 1))
    log.close()
    with log.path.open("ab") as file:
        file.write(b"HREC torn")
    digests, found, end = scan_log_file(log.path, 3, position)
    assert np.array_equal(found, specs)
    assert np.array_equal(digests, make_rows(3, 1)[1])
    assert end == log.length_bytes
    assert len(scan_log_file(log.path, 3)[0]) == 5
    with pytest.raises(Corrupt, match="segment 3"):
        scan_log_file(log.path, 4)


@pytest.mark.parametrize("length", [0, 7, 16])
def test_a_log_whose_process_died_while_creating_it_has_no_records(
    tmp_path: Path, length: int
) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(log_header(3)[:length])
    digests, specs, end = scan_log_file(path, 3)
    assert len(digests) == len(specs) == 0
    assert end == length // 16 * 16
