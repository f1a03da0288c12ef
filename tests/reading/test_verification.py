"""``verify`` on real repositories: sound ones, and ones with every kind of damage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from repository.writing import Writer, open_new

from hangard.db.environment import WritableEnvironment
from hangard.model.directory import directory_of
from hangard.model.findings import REPAIRS, Verification
from hangard.reading.digestset import DigestSet
from hangard.reading.snapshot import RepositoryReader
from hangard.reading.verification import verify
from hangard.repository.repository import Repository

SHAPE = (16, 16)
ROWS = 3_000
BATCH_ROWS = 1_500  # above LOG_ROWS_BYTES_MAX: such a batch goes into a segment


def rows_of(n: int, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 60, (n, *SHAPE), np.uint8)


@pytest.fixture(params=["00", "10"])
def path(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Two commits: 3,000 samples in a segment, then 200 in the log; closed."""
    repository = open_new(tmp_path)
    writer = Writer(repository)
    writer.column("a", shape=SHAPE, backend=request.param)
    rows = rows_of(ROWS)
    for begin in range(0, ROWS, BATCH_ROWS):
        writer.put("a", (range(begin, begin + BATCH_ROWS), rows[begin : begin + BATCH_ROWS]))
    writer.commit("many")
    writer.put("a", (range(ROWS, ROWS + 200), rows_of(200, 4)))
    writer.commit("few")
    repository.close()
    return tmp_path


def kinds(found: Verification) -> list[str]:
    assert all(finding.repair for finding in found.findings)
    return sorted({finding.kind for finding in found.findings})


def flip(file: Path, offset: int) -> None:
    with file.open("r+b") as opened:
        opened.seek(offset)
        byte = opened.read(1)[0]
        opened.seek(offset)
        opened.write(bytes([byte ^ 16]))


def only(folder: Path, suffix: str) -> Path:
    (found,) = (file for file in folder.rglob("*") if file.suffix == suffix)
    return found


def segment_of(path: Path) -> Path:
    (found,) = (
        file
        for file in (directory_of(path) / "segments").rglob("*")
        if file.suffix in (".h5", ".npy")
    )
    return found


def test_a_sound_repository_has_no_findings(path: Path) -> None:
    stages = []
    found = verify(path, progress=lambda *stage: stages.append(stage))
    assert found.is_sound
    assert found.findings == ()
    assert (found.commits, found.samples) == (2, ROWS + 200)
    assert found.sample_bytes == (ROWS + 200) * 256
    assert found.nodes > 60
    assert stages[0][0] == "files"
    assert stages[-1] == ("samples", ROWS + 200, ROWS + 200)
    quick = verify(path, quick=True)
    assert quick.is_sound
    assert quick.quick
    assert quick.sample_bytes == 0


def test_an_empty_repository_is_sound(tmp_path: Path) -> None:
    open_new(tmp_path).close()
    assert verify(tmp_path).is_sound


def test_every_damaged_sample_is_reported_with_its_column_and_key(path: Path) -> None:
    segment = segment_of(path)
    for part in (0.3, 0.8):
        flip(segment, int(segment.stat().st_size * part))
    found = verify(path)
    assert kinds(found) == ["damaged-sample"]
    assert len(found.findings) >= 2
    for finding in found.findings:
        assert finding.where.startswith("key ")
        assert "column 'a' of commit" in finding.where
        assert "putting the same sample again" in finding.repair
    with RepositoryReader(path) as reader, reader.checkout("main") as checkout:
        bad = {int(finding.where.split()[1]) for finding in found.findings}
        good = [key for key in range(ROWS + 200) if key not in bad]
        assert len(checkout["a"].get_many(good)) == len(good)
    assert verify(path, quick=True).is_sound


def test_a_segment_that_is_gone_is_reported_with_all_its_samples(path: Path) -> None:
    segment_of(path).unlink()
    found = verify(path)
    assert kinds(found) == ["damaged-sample", "missing-file"]
    assert found.finding_count == 1 + ROWS
    assert kinds(verify(path, quick=True)) == ["missing-file"]


def test_a_segment_that_was_cut_is_reported(path: Path) -> None:
    segment = segment_of(path)
    with segment.open("r+b") as opened:
        opened.truncate(segment.stat().st_size * 7 // 10)
    found = verify(path)
    assert kinds(found) == ["damaged-sample", "short-file"]
    assert 0 < found.finding_count - 1 < ROWS


def test_a_damaged_rows_file_is_reported_and_a_missing_one(path: Path) -> None:
    rows = only(directory_of(path) / "segments", ".rows")
    flip(rows, 200)
    assert kinds(verify(path, quick=True)) == ["damaged-rows"]
    rows.unlink()
    assert kinds(verify(path, quick=True)) == ["damaged-rows"]


def test_a_damaged_log_is_reported_as_such_and_with_what_it_hit(path: Path) -> None:
    logs = sorted((directory_of(path) / "log").iterdir())
    flip(logs[0], logs[0].stat().st_size // 2)
    found = verify(path)
    assert "damaged-log" in kinds(found)
    assert set(kinds(found)) & {"damaged-node", "damaged-sample"}


def test_a_damaged_and_a_missing_run_are_reported(tmp_path: Path) -> None:
    repository = open_new(tmp_path)
    writer = Writer(repository)
    writer.column("a")
    rows = np.arange(4 * 5_000, dtype="<u4").view(np.uint8)[: 4 * 5_000].reshape(-1, 4)
    writer.put(
        "a", (range(len(rows)), np.arange(len(rows), dtype="<u4").view(np.uint8).reshape(-1, 4))
    )
    writer.commit()
    repository.close()
    assert verify(tmp_path).is_sound
    run = only(directory_of(tmp_path) / "runs", ".run")
    flip(run, 4096 + 200)
    assert "damaged-run" in kinds(verify(tmp_path, quick=True))
    flip(run, 4096 + 200)
    content = run.read_bytes()
    run.unlink()
    found = kinds(verify(tmp_path, quick=True))
    assert "missing-run" in found
    assert "missing-node" in found or "missing-sample" in found or "damaged-node" in found
    run.write_bytes(content)


def edit(path: Path, change) -> None:
    with WritableEnvironment(path) as env, env.write() as tables:
        change(tables)


def head_of(path: Path) -> bytes:
    with RepositoryReader(path) as reader:
        return reader.resolve("main")


def test_missing_and_damaged_objects_are_all_reported(path: Path) -> None:
    head = head_of(path)
    with RepositoryReader(path) as reader:
        commit = reader.commit(head)
        (parent,) = commit.parents
        entry = reader.tree(commit.tree)["a"]

    def harm(tables) -> None:
        tables.txn.delete(parent, db=tables.databases.objects)
        tables.txn.put(entry.schema, b"snonsense", db=tables.databases.objects)
        tables.put_ref("heads/lost", bytes(range(32)))

    edit(path, harm)
    found = verify(path, quick=True)
    assert kinds(found) == ["damaged-schema", "missing-commit"]
    assert {finding.what for finding in found.findings if finding.kind == "missing-commit"} == {
        parent.hex(),
        bytes(range(32)).hex(),
    }
    assert any("heads/lost" in finding.where for finding in found.findings)


def test_a_missing_and_a_damaged_tree_are_reported(path: Path) -> None:
    with RepositoryReader(path) as reader:
        first, second = [commit.tree for _, commit in reader.log("main")]

    def harm(tables) -> None:
        tables.txn.delete(first, db=tables.databases.objects)
        tables.txn.put(second, b"t\x01", db=tables.databases.objects)

    edit(path, harm)
    assert kinds(verify(path)) == ["damaged-tree", "missing-tree"]


def test_a_file_that_nothing_names_and_an_index_that_names_no_file_are_reported(
    path: Path,
) -> None:
    segment = segment_of(path)
    name = segment.relative_to(directory_of(path)).as_posix()
    edit(path, lambda tables: tables.delete_file(name))
    assert kinds(verify(path, quick=True)) == ["dangling-entries", "stray-file"]


def test_verify_beside_an_open_repository_with_staged_and_committed_work(tmp_path: Path) -> None:
    repository = open_new(tmp_path)
    writer = Writer(repository)
    writer.column("a", shape=SHAPE)
    for number in range(4):
        writer.put("a", (range(1_500), rows_of(1_500, number)))
        assert verify(tmp_path).is_sound
        writer.commit()
        assert verify(tmp_path).is_sound
    repository.close()


def test_each_kind_says_what_repair_does() -> None:
    assert all(REPAIRS.values())


def test_a_set_of_digests_larger_than_its_memory_is_the_same_set() -> None:
    rng = np.random.default_rng(5)
    digests = rng.integers(0, 256, (5_000, 32), np.uint8)
    small = DigestSet(entries_max=100)
    for begin in range(0, 5_000, 70):
        part = digests[begin : begin + 70]
        assert len(small.add_many(np.concatenate([part, part[:3]]), begin % 7)) == len(part)
        assert len(small.add_many(part)) == 0
    assert len(small) == 5_000
    numbers, found = small.find_many(np.concatenate([digests, digests[:5] ^ 1]))
    assert found[:5_000].all()
    assert not found[5_000:].any()
    assert numbers[70] == 0
    assert numbers[71 + 70] == 140 % 7
    listed = np.concatenate([block for block, _ in small.blocks(333)])
    assert [row.tobytes() for row in listed] == sorted(row.tobytes() for row in digests)


def test_the_reader_of_a_repository_served_by_this_process_verifies_it(tmp_path: Path) -> None:
    Repository.create(tmp_path)
    repository = Repository.open(tmp_path)
    assert verify(tmp_path).is_sound
    repository.close()
