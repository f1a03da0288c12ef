"""The index rebuilt from real logs and segments, whole and damaged."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import numpy as np
import pytest
from contracts.segment_contract import ROW_BYTES, make_rows

from hangard.backends.disk import Disk
from hangard.backends.log import Log
from hangard.backends.numpy_segment import NumpySegment
from hangard.index import Index
from hangard.index.rebuild import rebuild
from hangard.model.directory import FOLDERS, FORMAT_LOG, FORMAT_NUMPY, data_path, rows_path
from hangard.model.files import FileRecord


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    for folder in FOLDERS:
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path


def new_log(directory: Path, number: int) -> Log:
    return Log(directory / data_path(FORMAT_LOG, number), number, Disk())


def new_segment(directory: Path, number: int) -> NumpySegment:
    path = directory / data_path(FORMAT_NUMPY, number)
    return NumpySegment(path, number, "|u1", (ROW_BYTES,), Disk())


def rebuilt_index(directory: Path, known=None):
    rebuilt = rebuild(directory, Disk(), count(100).__next__, known)
    index = Index(directory, Disk())
    for path, record in rebuilt.runs.items():
        index.add_run(path, record)
    return rebuilt, index


def test_every_entry_of_every_file_is_found_again(directory):
    expected = []
    for number, create in enumerate((new_log, new_segment, new_log, new_segment), 1):
        file = create(directory, number)
        for seed in range(3):
            batch = make_rows(40, 10 * number + seed)
            expected.append((batch[1], file.append(*batch)))
        file.seal() if number % 2 else file.close()
    rebuilt, index = rebuilt_index(directory)
    assert rebuilt.problems == []
    assert rebuilt.entries == 4 * 3 * 40
    for digests, specs in expected:
        found_specs, found = index.find_many(digests)
        assert found.all()
        assert np.array_equal(found_specs, specs)


def test_of_two_places_the_one_in_the_newer_file_counts(directory):
    batch = make_rows(5)
    new_segment(directory, 1).append(*batch)
    newer = new_log(directory, 2).append(*batch)
    rebuilt, index = rebuilt_index(directory)
    assert rebuilt.entries == 5
    assert np.array_equal(index.find_many(batch[1])[0], newer)


@pytest.mark.parametrize("create", [new_log, new_segment])
def test_damage_is_passed_over_and_told(directory, create):
    file = create(directory, 1)
    batches = [make_rows(10, seed) for seed in range(3)]
    ends = []
    for batch in batches:
        file.append(*batch)
        ends.append(file.rows_bytes)
    file.seal()
    source = file.path if create is new_log else Path(rows_path(str(file.path)))
    content = bytearray(source.read_bytes())
    content[ends[0] + 40] ^= 1
    source.write_bytes(content)
    rebuilt, index = rebuilt_index(directory)
    (problem,) = rebuilt.problems
    assert f"damaged from {ends[0]}" in problem
    assert index.find_many(batches[0][1])[1].all()
    assert index.find_many(batches[1][1])[1].sum() == (9 if create is new_log else 0)
    assert index.find_many(batches[2][1])[1].all()


def test_entries_behind_the_end_of_their_file_are_left_out(directory):
    segment = new_segment(directory, 1)
    batch = make_rows(10)
    segment.append(*batch)
    segment.close()
    with segment.path.open("r+b") as file:
        file.truncate(segment.length_bytes - 3 * ROW_BYTES + 1)
    rebuilt, index = rebuilt_index(directory)
    assert rebuilt.entries == 7
    assert index.find_many(batch[1])[1].tolist() == [True] * 7 + [False] * 3
    assert len(rebuilt.problems) == 1


@pytest.mark.parametrize("create", [new_log, new_segment])
def test_what_the_database_does_not_know_is_left_to_recovery(directory, create):
    file = create(directory, 1)
    batches = [make_rows(10, seed) for seed in range(2)]
    file.append(*batches[0])
    valid = file.rows_bytes
    file.append(*batches[1])
    file.seal()
    name = file.path.relative_to(directory).as_posix()
    kind = "log" if create is new_log else "numpy"
    create(directory, 2).append(*make_rows(10, 3))
    known = {name: FileRecord(kind, 1, "sealed", indexed_bytes=valid)}
    rebuilt, index = rebuilt_index(directory, known)
    assert (rebuilt.entries, rebuilt.problems) == (10, [])
    assert not index.find_many(batches[1][1])[1].any()


def test_files_that_are_none_of_ours_are_told_and_passed_over(directory):
    (directory / data_path(FORMAT_LOG, 1)).write_bytes(bytes(100))
    (directory / data_path(FORMAT_LOG, 2)).write_bytes(b"HGD")
    (directory / data_path(FORMAT_NUMPY, 3)).write_bytes(b"")
    (directory / data_path(FORMAT_NUMPY, 4)).write_bytes(b"")
    Path(rows_path(str(directory / data_path(FORMAT_NUMPY, 4)))).write_bytes(bytes(64))
    batch = make_rows(3)
    new_log(directory, 5).append(*batch)
    rebuilt, index = rebuilt_index(directory)
    assert [problem.split(":")[0] for problem in rebuilt.problems] == [
        data_path(FORMAT_LOG, 1),
        data_path(FORMAT_NUMPY, 3),
        data_path(FORMAT_NUMPY, 4),
    ]
    assert index.find_many(batch[1])[1].all()


def test_an_empty_repository_has_an_empty_index(directory):
    rebuilt, index = rebuilt_index(directory)
    assert rebuilt.runs == {}
    assert index.run_count == 0
