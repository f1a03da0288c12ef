"""Samples are brought into their column's backend, beside whoever reads and writes."""

import threading
from contextlib import closing

import numpy as np
import pytest
from repository.writing import Writer, open_new, read_commit

from hangard.errors import Busy, Closed, UnknownColumn
from hangard.model.schema import make_schema
from hangard.reading.snapshot import RepositoryReader
from hangard.repository.changes import ColumnChange
from hangard.repository.repository import Repository

ROWS = 700


def images(seed: int, n: int = ROWS) -> np.ndarray:
    """Images that compress, no two of them equal."""
    found = np.sort(np.random.default_rng(seed).integers(0, 4, (n, 784), np.uint8), axis=1)
    found[:, :8] = np.frombuffer(np.random.default_rng(seed + 1000).bytes(8 * n), "u1").reshape(
        n, 8
    )
    return found.reshape(n, 28, 28)


@pytest.fixture
def repository(tmp_path):
    with closing(open_new(tmp_path / "repo")) as repository:
        yield repository


def add(writer: Writer, name: str = "faces", backend: str = "10", **options) -> None:
    change(writer, name, backend, create=True, **options)


def change(
    writer: Writer, name: str = "faces", backend: str = "00", create: bool = False, **options
) -> None:
    schema = make_schema(dtype="u1", shape=(28, 28), backend=backend, backend_options=options)
    writer.apply(ColumnChange(name, schema, create=create))


def places(repository: Repository, commit: bytes, column: str = "faces") -> list[tuple[str, str]]:
    """Format code and file of every sample, as another process finds them."""
    with RepositoryReader(repository.path) as reader:
        found = reader.checkout_commit(commit)[column].locations()
        return [(place.format_code, place.file) for place in found]


def test_samples_go_to_the_present_backend_and_stay_the_same(repository):
    writer = Writer(repository)
    add(writer, backend="10")
    writer.put("faces", (range(ROWS), images(1)))
    writer.put("faces", (range(ROWS, ROWS + 5), images(2, 5)))  # few bytes: in the log
    change(writer, backend="01", complib="gzip")
    commit = writer.commit()
    assert {code for code, _ in places(repository, commit.digest)} == {"10", "20"}
    before = read_commit(repository, commit.digest)

    done = repository.repacker.repack()
    assert (done.columns, done.samples, done.rewritten) == (1, ROWS + 5, ROWS + 5)
    assert done.rewritten_bytes == (ROWS + 5) * 784
    assert done.unreadable == 0
    assert {code for code, _ in places(repository, commit.digest)} == {"01"}
    after = read_commit(repository, commit.digest)
    assert after["faces"].keys() == before["faces"].keys()
    assert all(np.array_equal(after["faces"][key], before["faces"][key]) for key in range(ROWS + 5))


def test_what_is_in_place_is_not_written_again(repository):
    writer = Writer(repository)
    add(writer, backend="00")
    writer.put("faces", (range(ROWS), images(1)))
    commit = writer.commit()
    before = places(repository, commit.digest)
    assert repository.repacker.repack().rewritten == 0
    assert places(repository, commit.digest) == before
    change(writer, backend="00", complevel=9)
    writer.commit()
    assert repository.repacker.repack().rewritten == ROWS
    assert repository.repacker.repack().rewritten == 0


def test_small_segments_become_one(tmp_path):
    path = tmp_path / "repo"
    Repository.create(path)
    commit = None
    for life in range(3):
        with closing(Repository.open(path)) as repository:
            writer = Writer(repository)
            if not life:
                add(writer, backend="00")
            writer.put("faces", (range(life * ROWS, (life + 1) * ROWS), images(life)))
            commit = writer.commit().digest
    with closing(Repository.open(path)) as repository:
        assert len(set(places(repository, commit))) == 3
        assert repository.repacker.repack().rewritten == 3 * ROWS
        assert len(set(places(repository, commit))) == 1
    with closing(Repository.open(path)) as repository:
        assert repository.repacker.repack().rewritten == 0
        assert len(read_commit(repository, commit)["faces"]) == 3 * ROWS


def test_only_the_named_columns_or_revision_are_repacked(repository):
    writer = Writer(repository)
    for name, seed in (("a", 1), ("b", 2)):
        add(writer, name, backend="10")
        writer.put(name, (range(ROWS), images(seed)))
        change(writer, name, backend="00")
    first = writer.commit().digest
    change(writer, "b", backend="01")
    second = writer.commit().digest
    assert repository.repacker.repack(["a"]).rewritten == ROWS
    assert {code for code, _ in places(repository, second, "b")} == {"10"}
    assert repository.repacker.repack(["b"], first).rewritten == ROWS
    assert {code for code, _ in places(repository, second, "b")} == {"00"}
    with pytest.raises(UnknownColumn, match="no column 'c'"):
        repository.repacker.repack(["a", "c"])


def test_branches_that_disagree_do_not_move_samples_to_and_fro(repository):
    writer = Writer(repository)
    add(writer, backend="10")
    writer.put("faces", (range(ROWS), images(1)))
    change(writer, backend="00")
    commit = writer.commit().digest
    repository.create_branch("side", commit)
    side = Writer(repository, branch="side")
    change(side, backend="01")
    side.put("faces", (range(ROWS, 2 * ROWS), images(2)))
    head = side.commit().digest
    assert repository.repacker.repack().rewritten == ROWS
    found = [code for code, _ in places(repository, head)]
    assert found == ["00"] * ROWS + ["01"] * ROWS
    assert repository.repacker.repack().rewritten == 0


def test_readers_go_on_with_the_places_they_know(repository):
    writer = Writer(repository)
    add(writer, backend="10")
    samples = images(1)
    writer.put("faces", (range(ROWS), samples))
    change(writer, backend="00")
    commit = writer.commit().digest
    with RepositoryReader(repository.path) as reader:
        column = reader.checkout_commit(commit)["faces"]
        view = column.view(3)
        assert np.array_equal(column.get(3), samples[3])
        repository.repacker.repack()
        assert np.array_equal(view, samples[3])
        assert np.array_equal(column.get_many(range(ROWS)), samples)


def test_writers_commit_while_it_runs(repository):
    writer = Writer(repository)
    add(writer, backend="10")
    writer.put("faces", (range(8 * ROWS), images(1, 8 * ROWS)))
    change(writer, backend="00", complib="blosc2:zstd", complevel=9)
    writer.commit()
    repack = threading.Thread(target=repository.repacker.repack)
    repack.start()
    commits = 0
    while repack.is_alive() or not commits:
        writer.put("faces", (range(commits, commits + 2), images(100 + commits, 2)))
        last = writer.commit().digest
        commits += 1
    repack.join()
    found = read_commit(repository, last)["faces"]
    assert len(found) == 8 * ROWS
    assert np.array_equal(found[commits - 1], images(99 + commits, 2)[0])


def test_damaged_samples_are_told_and_stay_where_they_are(repository):
    writer = Writer(repository)
    add(writer, backend="10")
    writer.put("faces", (range(ROWS), images(1)))
    change(writer, backend="00")
    commit = writer.commit().digest
    with RepositoryReader(repository.path) as reader:
        place = next(reader.checkout_commit(commit)["faces"].locations([5]))
        file = reader.directory / place.file
    with file.open("r+b") as opened:
        opened.seek(place.offset + place.row * 784)
        opened.write(b"\xff" * 8)
    done = repository.repacker.repack()
    assert (done.rewritten, done.unreadable) == (ROWS - 1, 1)
    found = places(repository, commit)
    assert found[5] == ("10", place.file)
    assert {code for code, _ in found[:5] + found[6:]} == {"00"}


def test_erased_samples_are_not_missed(repository):
    writer = Writer(repository)
    add(writer, backend="10")
    writer.put("faces", (range(ROWS), images(1)))
    change(writer, backend="00")
    commit = writer.commit().digest
    repository.upkeep.purge(_digests(repository, commit)[:3])
    done = repository.repacker.repack()
    assert (done.samples, done.rewritten, done.unreadable) == (ROWS, ROWS - 3, 0)


def test_it_goes_on_after_the_end_of_a_life(tmp_path, monkeypatch):
    path = tmp_path / "repo"
    repository = open_new(path)
    writer = Writer(repository)
    add(writer, backend="10")
    writer.put("faces", (range(4 * ROWS), images(1, 4 * ROWS)))
    change(writer, backend="00")
    commit = writer.commit().digest
    monkeypatch.setattr("hangard.repository.repacking.BATCH_BYTES_MAX", 1 << 20)
    told = []

    def close_soon(stage: str, done: int, total: int) -> None:
        told.append((stage, done, total))
        if done:
            repository.repacker.close()

    monkeypatch.setattr(repository.upkeep.maintenance, "progress", close_soon)
    with pytest.raises(Closed):
        repository.repacker.repack()
    repository.close()
    assert told[0] == ("column faces", 0, 4 * ROWS)
    with closing(Repository.open(path)) as repository:
        assert {code for code, _ in places(repository, commit)} == {"00", "10"}
        left = repository.repacker.repack().rewritten
        assert 0 < left < 4 * ROWS
        assert {code for code, _ in places(repository, commit)} == {"00"}


def test_one_piece_of_maintenance_runs_at_a_time(repository):
    with repository.upkeep.maintenance.run("gc"), pytest.raises(Busy, match="gc runs already"):
        repository.repacker.repack()


def test_a_repository_without_commits_has_nothing_to_repack(repository):
    done = repository.repacker.repack()
    assert (done.columns, done.samples) == (0, 0)


def test_the_old_file_goes_with_the_next_gc(tmp_path):
    path = tmp_path / "repo"
    with closing(open_new(path)) as repository:
        writer = Writer(repository)
        add(writer, backend="10")
        writer.put("faces", (range(ROWS), images(1)))
        change(writer, backend="00")
        commit = writer.commit().digest
        (old,) = {path / ".hangard" / file for _, file in places(repository, commit)}
    with closing(Repository.open(path)) as repository:
        repository.repacker.repack()
        assert old.exists()
        repository.upkeep.gc(grace_s=0)
        assert not old.exists()
        assert {code for code, _ in places(repository, commit)} == {"00"}
        assert len(read_commit(repository, commit)["faces"]) == ROWS


def _digests(repository: Repository, commit: bytes) -> list[bytes]:
    with RepositoryReader(repository.path) as reader:
        return [place.digest for place in reader.checkout_commit(commit)["faces"].locations()]
