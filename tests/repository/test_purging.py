"""Erasure of samples from all history."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from hangard_ext.digest import digest_many
from repository.writing import Writer, open_new, read_commit

from hangard.backends.disk import Disk
from hangard.encoding.samples import sample_key
from hangard.errors import InvalidRequest, Purged
from hangard.model.directory import directory_of
from hangard.reading.snapshot import RepositoryReader
from hangard.reading.verification import verify
from hangard.repository.repository import Repository

SHAPE = (16, 16)
BATCH_ROWS = 1_500


def rows_of(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 250, (n, *SHAPE), np.uint8)


def digests_of(rows: np.ndarray) -> list[bytes]:
    out = np.empty((len(rows), 32), np.uint8)
    digest_many(sample_key("ndarray", "|u1", SHAPE), rows.reshape(len(rows), -1), 256, out)
    return [row.tobytes() for row in out]


def files_with(path: Path, row: np.ndarray) -> list[Path]:
    """Files that hold the raw bytes of a sample (of random bytes, which do not compress)."""
    return [
        file
        for file in directory_of(path).rglob("*")
        if file.is_file() and row.tobytes() in file.read_bytes()
    ]


@pytest.fixture(params=["00", "10"])
def filled(tmp_path: Path, request: pytest.FixtureRequest) -> tuple[Repository, bytes, np.ndarray]:
    """A repository whose column a holds 1,500 samples of a segment and 20 of the log, twice."""
    repository = open_new(tmp_path)
    writer = Writer(repository)
    writer.column("a", shape=SHAPE, backend=request.param)
    rows = rows_of(BATCH_ROWS + 20, 1)
    writer.put("a", (range(BATCH_ROWS), rows[:BATCH_ROWS]))
    writer.commit("first")
    writer.put("a", (range(BATCH_ROWS, BATCH_ROWS + 20), rows[BATCH_ROWS:]))
    commit = writer.commit("second").digest
    yield repository, commit, rows
    repository.close()


def check_rest(path: Path, commit: bytes, rows: np.ndarray, erased: list[int]) -> None:
    with RepositoryReader(path) as reader, reader.checkout_commit(commit) as checkout:
        column = checkout["a"]
        assert len(column) == len(rows)
        left = [key for key in range(len(rows)) if key not in erased]
        assert np.array_equal(column.get_many(left), rows[left])
        for key in erased:
            with pytest.raises(Purged, match="erased from all history"):
                column[key]
        with pytest.raises(Purged):
            column.get_many([left[0], erased[0]])


def test_erased_samples_are_in_no_file_and_the_rest_is_there(filled) -> None:
    repository, commit, rows = filled
    erased = [3, 700, BATCH_ROWS + 5]
    digests = digests_of(rows[erased])
    dry = repository.upkeep.purge(digests, dry_run=True)
    assert (dry.samples, dry.stored, dry.files) == (3, 3, 2)
    assert files_with(repository.path, rows[BATCH_ROWS + 5])
    done = repository.upkeep.purge(digests)
    assert (done.samples, done.stored, done.files) == (3, 3, 2)
    for key in erased:
        assert files_with(repository.path, rows[key]) == []
    check_rest(repository.path, commit, rows, erased)
    found = verify(repository.path)
    assert found.is_sound
    assert found.purged == 3
    repository.close()
    again = Repository.open(repository.path)
    check_rest(again.path, commit, rows, erased)
    assert verify(again.path).is_sound
    assert again.upkeep.purge(digests).files == 0
    assert again.upkeep.gc(grace_s=-1, full=True).files >= 0
    check_rest(again.path, commit, rows, erased)
    again.close()


def test_what_is_equal_to_an_erased_sample_is_refused_until_that_is_taken_back(filled) -> None:
    repository, commit, rows = filled
    digests = digests_of(rows[[7]])
    repository.upkeep.purge(digests)
    writer = Writer(repository)
    with pytest.raises(Purged, match="--undo"):
        writer.put("a", (range(9_000, 9_003), rows[6:9]))
    writer.put("a", (range(9_000, 9_001), rows[8:9]))
    assert repository.upkeep.undo_purge(digests) == 1
    assert repository.upkeep.undo_purge(digests) == 0
    writer.put("a", (range(9_000, 9_003), rows[6:9]))
    writer.commit()
    # The old key has it again, too: content is addressed.
    assert np.array_equal(read_commit(repository, commit)["a"][7], rows[7])
    assert verify(repository.path).is_sound


def test_refusals_outlive_the_daemon(filled) -> None:
    repository, _, rows = filled
    repository.upkeep.purge(digests_of(rows[[7]]))
    repository.close()
    again = Repository.open(repository.path)
    with pytest.raises(Purged):
        Writer(again).put("a", (range(1), rows[7:8]))
    again.close()


def test_copies_that_a_move_left_behind_are_erased_too(filled) -> None:
    repository, _, rows = filled
    path = repository.path
    with RepositoryReader(path) as reader:
        spec = reader.locations.find(digests_of(rows[[3]])[0])
    # The row is written again, and the index names the new place only.
    from hangard.reading.filecheck import listed_files
    from hangard.repository.moving import Mover

    repository._storage.retire_all()
    digests = np.frombuffer(b"".join(digests_of(rows[[3]])), np.uint8).reshape(1, 32)
    files = {r.number: (p, r) for p, r in listed_files(repository._env).items()}
    number = int.from_bytes(spec[4:8], "little")
    Mover(repository._env, repository._storage).move(
        *files[number], digests, np.frombuffer(spec, np.uint8).reshape(1, 32)
    )
    assert repository.upkeep.purge(digests_of(rows[[3]])).files == 2
    assert files_with(path, rows[3]) == []
    assert verify(path).is_sound


def test_a_tree_node_cannot_be_erased(filled) -> None:
    repository, commit, _ = filled
    with RepositoryReader(repository.path) as reader:
        root = reader.tree(reader.commit(commit).tree)["a"].root
    with pytest.raises(InvalidRequest, match="tree node") as raised:
        repository.upkeep.purge([root])
    assert raised.value.code == "not-a-sample"
    assert verify(repository.path).is_sound


def test_an_interrupted_purge_is_told_and_gc_goes_on_with_it(filled) -> None:
    repository, commit, rows = filled
    digests = digests_of(rows[[11]])
    from hangard.repository.purging import PutTombstones

    repository._writer.run(PutTombstones(tuple(digests), 1))
    repository.close()
    found = verify(repository.path)
    assert [finding.kind for finding in found.findings] == ["unfinished-purge"]
    again = Repository.open(repository.path)
    again.upkeep.gc(grace_s=-1)
    assert verify(again.path).is_sound
    assert files_with(again.path, rows[11]) == []
    check_rest(again.path, commit, rows, [11])
    again.close()


class HesitatingDisk(Disk):
    """Holds up what one thread writes."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.may_go_on = threading.Event()

    def write(self, fd: int, data: bytes | memoryview, offset: int) -> None:
        if threading.current_thread().name == "late":
            self.begun.set()
            assert self.may_go_on.wait(30)
        super().write(fd, data, offset)


def test_a_batch_that_is_being_written_when_files_are_sealed_is_not_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = HesitatingDisk()
    Repository.create(tmp_path)
    repository = Repository.open(tmp_path, disk=disk)
    writer = Writer(repository)
    writer.column("a", shape=SHAPE)
    rows, more = rows_of(BATCH_ROWS, 1), rows_of(BATCH_ROWS, 2)
    writer.put("a", (range(BATCH_ROWS), rows))
    writer.commit("first")
    keys = range(BATCH_ROWS, 2 * BATCH_ROWS)
    late = threading.Thread(target=writer.put, args=("a", (keys, more)), name="late")
    retire_all = repository._storage.retire_all

    def put_and_retire_all() -> None:
        late.start()
        assert disk.begun.wait(30)
        threading.Timer(0.5, disk.may_go_on.set).start()
        retire_all()

    with monkeypatch.context() as patch:
        patch.setattr(repository._storage, "retire_all", put_and_retire_all)
        repository.upkeep.purge(digests_of(rows[:1]))
    late.join()
    commit = writer.commit("second").digest
    check_rest(repository.path, commit, np.concatenate([rows, more]), [0])
    assert not files_with(repository.path, rows[0])
    repository.close()
