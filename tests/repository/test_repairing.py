"""``repair`` of repositories with every kind of damage that it can mend."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from repository.writing import Writer, open_new, read_commit

from hangard.db.environment import WritableEnvironment
from hangard.errors import Busy, Corrupt
from hangard.model.directory import REPAIR_REPORT, directory_of
from hangard.model.findings import Repaired, Verification
from hangard.reading.snapshot import RepositoryReader
from hangard.reading.verification import verify
from hangard.repository.repairing import repair
from hangard.repository.repository import Repository

SHAPE = (16, 16)
ROWS = 3_000
BATCH_ROWS = 1_500  # above LOG_ROWS_BYTES_MAX: such a batch goes into a segment


def rows_of(n: int, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 60, (n, *SHAPE), np.uint8)


ALL = np.concatenate([rows_of(ROWS), rows_of(200, 4)])


@pytest.fixture(params=["00", "10"])
def path(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Two commits: 3,000 samples in a segment, then 200 in the log; closed."""
    repository = open_new(tmp_path)
    writer = Writer(repository)
    writer.column("a", shape=SHAPE, backend=request.param)
    for begin in range(0, ROWS, BATCH_ROWS):
        writer.put("a", (range(begin, begin + BATCH_ROWS), ALL[begin : begin + BATCH_ROWS]))
    writer.commit("many")
    writer.put("a", (range(ROWS, ROWS + 200), ALL[ROWS:]))
    writer.commit("few")
    repository.close()
    return tmp_path


def kinds(found: Verification) -> list[str]:
    return sorted({finding.kind for finding in found.findings})


def flip(file: Path, offset: int) -> None:
    with file.open("r+b") as opened:
        opened.seek(offset)
        byte = opened.read(1)[0]
        opened.seek(offset)
        opened.write(bytes([byte ^ 16]))


def segments_of(path: Path) -> list[Path]:
    return sorted(
        file
        for file in (directory_of(path) / "segments").rglob("*")
        if file.suffix in (".h5", ".npy")
    )


def put_again(path: Path) -> None:
    """What was put once is put again; then every commit has all of it."""
    repository = Repository.open(path)
    writer = Writer(repository)
    writer.put("a", (range(ROWS + 200), ALL))
    writer.commit(allow_empty=True)
    check_all(repository)
    repository.close()
    assert verify(path).is_sound


def check_all(repository: Repository) -> None:
    with RepositoryReader(repository.path) as reader:
        history = [digest for digest, _ in reader.log("main")]
    for digest in history:
        found = read_commit(repository, digest)["a"]
        assert np.array_equal(np.stack(list(found.values())), ALL[: len(found)])


def check_report(path: Path, done: Repaired) -> None:
    report = json.loads((path / REPAIR_REPORT).read_text())
    assert report["actions"] == list(done.actions)
    assert len(report["after"]["findings"]) == done.after.finding_count


def test_a_sound_repository_is_left_alone(path: Path) -> None:
    before = {file: file.stat().st_mtime_ns for file in segments_of(path)}
    done = repair(path)
    assert done.before.is_sound
    assert done.actions == ()
    assert {file: file.stat().st_mtime_ns for file in segments_of(path)} == before


def test_a_dry_run_changes_nothing(path: Path) -> None:
    flip(segments_of(path)[0], 100_000)
    done = repair(path, dry_run=True)
    assert not done.before.is_sound
    assert done.after == done.before
    assert done.before.findings[0].repair
    assert not verify(path).is_sound


def test_damaged_samples_are_told_and_come_back_when_they_are_put_again(path: Path) -> None:
    (segment,) = segments_of(path)
    for part in (0.3, 0.8):
        flip(segment, int(segment.stat().st_size * part))
    lost = {finding.what for finding in verify(path).findings}
    done = repair(path)
    assert kinds(done.before) == ["damaged-sample"]
    assert kinds(done.after) == ["missing-sample"]
    assert {finding.what for finding in done.after.findings} == lost
    assert all("column 'a'" in finding.where for finding in done.after.findings)
    assert not segment.exists()
    check_report(path, done)
    put_again(path)


def test_a_segment_that_is_gone_does_not_keep_the_repository_from_opening(path: Path) -> None:
    segments_of(path)[0].unlink()
    with pytest.raises(Corrupt, match="is missing"):
        Repository.open(path)
    done = repair(path)
    assert done.after.finding_count == ROWS
    assert kinds(done.after) == ["missing-sample"]
    put_again(path)


def test_a_segment_that_was_cut_keeps_what_is_left(path: Path) -> None:
    (segment,) = segments_of(path)
    with segment.open("r+b") as opened:
        opened.truncate(segment.stat().st_size * 7 // 10)
    done = repair(path)
    assert "short-file" in kinds(done.before)
    assert kinds(done.after) == ["missing-sample"]
    assert 0 < done.after.finding_count < ROWS
    put_again(path)


def test_a_damaged_or_missing_rows_file_costs_nothing(path: Path) -> None:
    rows = segments_of(path)[0].with_name(segments_of(path)[0].name + ".rows")
    flip(rows, 200)
    done = repair(path)
    assert kinds(done.before) == ["damaged-rows"]
    assert done.after.is_sound
    (segment,) = segments_of(path)
    segment.with_name(segment.name + ".rows").unlink()
    assert repair(path).after.is_sound
    put_again(path)


def test_a_damaged_index_is_made_again(path: Path) -> None:
    repository = Repository.open(path)
    writer = Writer(repository)
    writer.column("b")
    rows = np.arange(5_000, dtype="<u4").view(np.uint8).reshape(-1, 4)
    writer.put("b", (range(5_000), rows))
    writer.commit()
    repository.close()
    (run,) = (directory_of(path) / "runs").glob("*.run")
    flip(run, 4096 + 200)
    done = repair(path)
    assert "damaged-run" in kinds(done.before)
    assert done.after.is_sound
    (run,) = (directory_of(path) / "runs").glob("*.run")
    run.unlink()
    assert repair(path).after.is_sound


def test_entries_that_name_no_file_are_dropped(path: Path) -> None:
    segment = segments_of(path)[0]
    name = segment.relative_to(directory_of(path)).as_posix()
    with WritableEnvironment(path) as env, env.write() as tables:
        tables.delete_file(name)
    segment.unlink()
    done = repair(path)
    assert "dangling-entries" in kinds(done.before)
    assert kinds(done.after) == ["missing-sample"]
    put_again(path)


def test_a_file_that_nothing_names_is_taken_in(path: Path) -> None:
    segment = segments_of(path)[0]
    name = segment.relative_to(directory_of(path)).as_posix()
    with WritableEnvironment(path) as env, env.write() as tables:
        tables.delete_file(name)
    assert repair(path).after.is_sound
    put_again(path)


def test_another_copy_takes_the_place_of_a_damaged_one(path: Path) -> None:
    """A move leaves the old row where it was until its file goes."""
    repository = Repository.open(path)
    from hangard.reading.filecheck import listed_files
    from hangard.repository.moving import Mover

    parts = repository.upkeep.parts
    files = {record.number: (name, record) for name, record in listed_files(parts.env).items()}
    for digests, specs in list(parts.index.current_entries()):
        inside = specs[:, 4] == int(segments_of(path)[0].stem, 16)
        number = int(segments_of(path)[0].stem, 16)
        Mover(parts.env, repository._storage).move(*files[number], digests[inside], specs[inside])
    repository.close()
    new = segments_of(path)[-1]
    assert len(segments_of(path)) == 2
    flip(new, int(new.stat().st_size * 0.5))
    found = verify(path)
    assert kinds(found) == ["damaged-sample"]
    done = repair(path)
    assert done.after.is_sound
    assert any("in another file" in action for action in done.actions)
    put_again(path)


def test_a_damaged_log_keeps_what_is_intact(path: Path) -> None:
    logs = sorted((directory_of(path) / "log").iterdir())
    flip(logs[-1], logs[-1].stat().st_size - 20_000)
    done = repair(path)
    assert "damaged-log" in kinds(done.before)
    assert set(kinds(done.after)) <= {"missing-sample", "missing-node"}
    assert done.after.finding_count <= 2
    assert verify(path).finding_count == done.after.finding_count


def test_a_session_whose_base_is_lost_ends(path: Path) -> None:
    repository = Repository.open(path)
    writer = Writer(repository)
    writer.put("a", (range(2), ALL[:2] ^ 1))
    base = writer.session.base
    repository.close()
    with WritableEnvironment(path) as env, env.write() as tables:
        tables.delete_object(base)
    done = repair(path)
    assert any(writer.session.id in action for action in done.actions)
    assert kinds(done.after) == ["missing-commit"]
    Repository.open(path).close()


def test_repair_waits_for_no_daemon(path: Path) -> None:
    flip(segments_of(path)[0], 100_000)
    repository = Repository.open(path)
    with pytest.raises(Busy):
        repair(path)
    repository.close()
    assert repair(path).actions


def test_an_hdf5_segment_that_libhdf5_refuses_is_written_again(tmp_path: Path) -> None:
    import h5py

    repository = open_new(tmp_path)
    writer = Writer(repository)
    writer.column("a", shape=SHAPE, backend="00")
    writer.put("a", (range(BATCH_ROWS), ALL[:BATCH_ROWS]))
    commit = writer.commit().digest
    repository.close()
    (segment,) = segments_of(tmp_path)
    flip(segment, 0)
    with pytest.raises(OSError, match="signature"):
        h5py.File(segment, "r")
    assert verify(tmp_path).is_sound  # reading needs no libhdf5
    done = repair(tmp_path)
    assert "HDF5 does not read it" in done.actions[0]
    assert done.after.is_sound
    (segment,) = segments_of(tmp_path)
    with h5py.File(segment, "r") as file:
        assert file["valid_rows"][:].sum() == BATCH_ROWS
    repository = Repository.open(tmp_path)
    assert np.array_equal(
        np.stack(list(read_commit(repository, commit)["a"].values())), ALL[:BATCH_ROWS]
    )
    repository.close()
