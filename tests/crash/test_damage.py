"""Damaged files: what they hit is an error that names file and offset, all else goes on.

Reads happen in a process of their own: a signal (SIGBUS from a mapped file that was cut, a crash of
a decoder) would show as its exit status.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401  registers the filters that h5py then finds
import numpy as np
import pytest
from crash.processes import WAIT_S_MAX, environment
from repository.lives import live_and_die
from repository.writing import Writer, open_new, read_commit

from hangard.backends.hdf5_rebuild import wait_until_released
from hangard.errors import Corrupt
from hangard.model.directory import directory_of
from hangard.reading.snapshot import RepositoryReader
from hangard.repository.repository import Repository

ROWS = 3_600
BATCH_ROWS = 1_200  # above LOG_ROWS_BYTES_MAX: such a batch goes into a segment
SHAPE = (16, 16)

# Reads every sample of column a one by one and many at once, before and after the damage that its
# parent does in between; tells per key whether it was right, wrong, or Corrupt with which details.
READER = """
import json, sys
import numpy as np
from hangard.errors import Corrupt
from hangard.reading.snapshot import RepositoryReader

repository, expected, warm = sys.argv[1:]
rows = np.load(expected)
found = {}

def note(key, read):
    try:
        right = np.array_equal(read(), rows[key])
        found[key] = "right" if right else "wrong"
    except Corrupt as error:
        found[key] = [error.code, str(error.details.get("file")), error.details.get("offset")]

with RepositoryReader(repository) as reader:
    with reader.checkout("main") as checkout:
        if warm == "warm":
            list(checkout["a"].items())
        print("ready", flush=True)
        sys.stdin.readline()
        try:
            column = checkout["a"]
        except Corrupt as error:
            print(json.dumps(str(error)))
            sys.exit()
        for key in range(len(rows)):
            note(key, lambda: column[key])
        bad = [key for key in found if found[key] != "right"]
        good = [key for key in found if found[key] == "right"]
        if good:
            assert np.array_equal(column.get_many(good), rows[good])
        if bad:
            try:
                column.get_many(range(len(rows)))
                found["many"] = "wrong"
            except Corrupt as error:
                found["many"] = [error.code]
            if found[bad[0]][0] != "missing-node":
                try:
                    column.view(bad[0])
                    found["view"] = "wrong"
                except (Corrupt, ValueError) as error:
                    found["view"] = [error.code]
print(json.dumps(found))
"""


def fill(path: Path, backend: str, n: int, **options: object) -> np.ndarray:
    """A repository whose column a holds n samples, that compress: the rows."""
    rows = np.random.default_rng(3).integers(0, 60, (n, *SHAPE), np.uint8)
    if options:
        rows[:, :, 4:] = 0  # LZF finds nothing in numbers alone
    repository = open_new(path)
    writer = Writer(repository)
    writer.column("a", shape=SHAPE, backend=backend, **options)
    for start in range(0, n, BATCH_ROWS):
        stop = min(n, start + BATCH_ROWS)
        writer.put("a", (range(start, stop), rows[start:stop]))
    writer.commit()
    repository.close()
    return rows


def read_all(path: Path, rows: np.ndarray, damage: Callable[[], None], warm: str) -> dict | str:
    """What a reader finds that opened the repository before the damage."""
    expected = path.parent / "expected.npy"
    np.save(expected, rows)
    process = subprocess.Popen(
        [sys.executable, "-c", READER, str(path), str(expected), warm],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    if process.stdout.readline() == "ready\n":
        damage()
    output, errors = process.communicate("go\n", WAIT_S_MAX)
    assert process.returncode == 0, (process.returncode, errors)
    return json.loads(output)


def cut(path: Path, part: float = 0.5) -> Callable[[], None]:
    return lambda: path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])


def truncate(path: Path, part: float) -> Callable[[], None]:
    """In place: the file is shorter for those who have it mapped."""

    def damage() -> None:
        with path.open("r+b") as file:
            file.truncate(int(path.stat().st_size * part))

    return damage


def flip(path: Path, part: float) -> Callable[[], None]:
    """One bit, at this part of the file."""

    def damage() -> None:
        with path.open("r+b") as file:
            file.seek(int(path.stat().st_size * part))
            byte = file.read(1)[0]
            file.seek(-1, 1)
            file.write(bytes([byte ^ 16]))

    return damage


def segment_of(path: Path, backend: str) -> Path:
    (segment,) = (
        file
        for file in (directory_of(path) / "segments" / backend).iterdir()
        if file.suffix != ".rows"
    )
    return segment


def check_found(found: dict, victim: Path, n: int) -> None:
    """No sample is wrong, some are right, and the others name the damaged file and where."""
    keys = {key: value for key, value in found.items() if key.isdigit()}
    assert len(keys) == n
    assert "wrong" not in found.values()
    bad = [value for value in keys.values() if value != "right"]
    assert 0 < len(bad) < n
    for code, file, offset in bad:
        assert code in ("damaged-sample", "damaged-node")
        assert file == str(victim)
        assert offset > 0


@pytest.mark.parametrize("warm", ["warm", "cold"])
@pytest.mark.parametrize("harm", [truncate, flip])
@pytest.mark.parametrize("backend", ["00", "10"])
def test_reads_of_a_damaged_segment_name_it_and_the_rest_is_there(
    tmp_path: Path, backend: str, harm: Callable[..., Callable[[], None]], warm: str
) -> None:
    path = tmp_path / "repository"
    rows = fill(path, backend, ROWS)
    victim = segment_of(path, backend)
    found = read_all(path, rows, harm(victim, 0.6), warm)
    check_found(found, victim, ROWS)
    if harm is flip:
        # A chunk's block holds few samples; a damaged byte costs no more than one chunk.
        bad = [value for key, value in found.items() if key.isdigit() and value != "right"]
        assert len(bad) == 1 if backend == "10" else len(bad) <= BATCH_ROWS


@pytest.mark.parametrize(
    "options",
    [
        {"complib": "gzip", "shuffle": False, "fletcher32": True},
        {"complib": "lzf"},
        {"complib": "none"},
        {"complib": "blosc2:zstd", "shuffle": "bit", "fletcher32": True},
    ],
    ids=lambda options: options["complib"],
)
def test_damage_is_found_whatever_the_filter(tmp_path: Path, options: dict[str, object]) -> None:
    path = tmp_path / "repository"
    rows = fill(path, "01", ROWS, **options)
    victim = segment_of(path, "01")
    check_found(read_all(path, rows, flip(victim, 0.6), "cold"), victim, ROWS)


@pytest.mark.parametrize("warm", ["warm", "cold"])
def test_reads_of_a_damaged_log_name_it_and_the_rest_is_there(tmp_path: Path, warm: str) -> None:
    path = tmp_path / "repository"
    rows = fill(path, "10", 200)
    (victim,) = (directory_of(path) / "log").iterdir()
    found = read_all(path, rows, flip(victim, 0.3), warm)
    check_found(found, victim, 200)


@pytest.mark.parametrize("warm", ["warm", "cold"])
@pytest.mark.parametrize("part", [0.0, 0.2, 0.99])
def test_a_log_cut_off_is_no_signal(tmp_path: Path, part: float, warm: str) -> None:
    path = tmp_path / "repository"
    rows = fill(path, "10", 200)
    (victim,) = (directory_of(path) / "log").iterdir()
    found = read_all(path, rows, truncate(victim, part), warm)
    assert isinstance(found, str) or "wrong" not in found.values()
    if part < 0.9 or warm == "cold":
        assert isinstance(found, str) or any(value != "right" for value in found.values())


@pytest.mark.parametrize("warm", ["warm", "cold"])
@pytest.mark.parametrize("part", [0.0, 0.3, 0.999])
def test_a_run_cut_off_is_no_signal(tmp_path: Path, part: float, warm: str) -> None:
    path = tmp_path / "repository"
    rows = fill(path, "10", 5_000)
    (victim,) = (directory_of(path) / "runs").iterdir()
    found = read_all(path, rows, truncate(victim, part), warm)
    if isinstance(found, dict):
        assert "wrong" not in found.values()
    if warm == "cold":
        assert isinstance(found, str) or found["0"][:2] == ["damaged-run", str(victim)]


def commit_and_stage(path: Path, backend: str) -> tuple[str, int]:
    """Commit ROWS samples, stage as many; the session, and its last sequence number."""
    repository = open_new(path)
    writer = Writer(repository)
    writer.column("a", shape=SHAPE, backend=backend)
    rows = np.random.default_rng(3).integers(0, 60, (2 * ROWS, *SHAPE), np.uint8)
    writer.put("a", (range(ROWS), rows[:ROWS]))
    writer.commit()
    for start in range(ROWS, 2 * ROWS, BATCH_ROWS):
        writer.put("a", (range(start, start + BATCH_ROWS), rows[start : start + BATCH_ROWS]))
    return writer.session.id, writer.sent


def open_damaged(path: Path, session: str, *, may_be_bad: bool) -> None:
    """The repository opens, and takes commits of new samples and of those that were lost.

    ``may_be_bad``: a sample whose bytes were changed counts as stored until somebody reads it.
    """
    repository = Repository.open(path)
    rows = np.random.default_rng(3).integers(0, 60, (2 * ROWS, *SHAPE), np.uint8)
    writer = Writer(repository, repository.session(session))
    writer.put("a", (range(ROWS, 2 * ROWS), rows[ROWS:]))
    new = rows[:5] + np.uint8(100)
    writer.put("a", (range(9_000, 9_005), new))
    commit = writer.commit().digest
    with RepositoryReader(path) as reader:
        column = reader.checkout_commit(commit)["a"]
        assert np.array_equal(column.get_many(range(9_000, 9_005)), new)
        bad = 0
        for key in range(ROWS, 2 * ROWS):
            try:
                assert np.array_equal(column[key], rows[key])
            except Corrupt:
                bad += 1
        assert bad <= BATCH_ROWS if may_be_bad else not bad
    repository.close()
    Repository.open(path).close()


@pytest.mark.parametrize("part", [0.0, 0.001, 0.55, 0.9])
@pytest.mark.parametrize("harm", [flip, truncate])
@pytest.mark.parametrize("suffix", ["", ".rows"])
@pytest.mark.parametrize("backend", ["00", "10"])
def test_a_repository_with_a_damaged_open_segment_opens_and_takes_commits(
    tmp_path: Path,
    backend: str,
    suffix: str,
    harm: Callable[..., Callable[[], None]],
    part: float,
) -> None:
    session, _ = live_and_die(commit_and_stage, tmp_path, backend)
    victim = segment_of(tmp_path, backend)
    if backend == "00":
        wait_until_released(victim)
    harm(victim.with_name(victim.name + suffix), part)()
    open_damaged(tmp_path, session, may_be_bad=harm is flip and not suffix)


@pytest.mark.parametrize("part", [0.0, 0.9])
@pytest.mark.parametrize("harm", [flip, truncate])
def test_a_damaged_log_is_told_and_nothing_wrong_is_committed(
    tmp_path: Path, harm: Callable[..., Callable[[], None]], part: float
) -> None:
    rows = fill(tmp_path / "repository", "10", 100)
    path = tmp_path / "repository"
    (victim,) = (directory_of(path) / "log").iterdir()
    harm(victim, part)()
    repository = Repository.open(path)
    writer = Writer(repository)
    found = read_all(path, rows, lambda: None, "cold")
    assert isinstance(found, str) or "wrong" not in found.values()
    writer.column("b", shape=SHAPE)
    writer.put("b", (range(100), rows + np.uint8(100)))
    commit = writer.commit().digest
    with_b = read_commit(repository, commit) if part == 0.0 and harm is flip else None
    assert with_b is None or len(with_b["b"]) == 100
    repository.close()


def rows_by_h5py(path: Path) -> set[bytes]:
    """The real rows of an HDF5 segment, read without a line of ours."""
    with h5py.File(path, "r") as file:
        rows, counts = file["samples"][:], file["valid_rows"][:]
        size = file["samples"].chunks[0]
    return {
        row.tobytes()
        for number, count in enumerate(counts)
        for row in rows[number * size : number * size + count]
    }


def spoil(segment: Path) -> None:
    """Let libhdf5 refuse a file without touching a chunk."""
    wait_until_released(segment)  # the HDF5 process of the one that was killed closes it first
    flip(segment, 0.0)()
    with pytest.raises(OSError, match="signature"):
        h5py.File(segment, "r")


def check_rebuilt(path: Path, victim: Path, log: str) -> None:
    """There is another segment now, and it is a plain HDF5 file with all the rows."""
    rows = np.random.default_rng(3).integers(0, 60, (2 * ROWS, *SHAPE), np.uint8)
    (rebuilt,) = {*victim.parent.glob("*.h5")} - {victim}
    assert rows_by_h5py(rebuilt) >= {row.tobytes() for row in rows[:ROWS]}
    assert rebuilt.name in log
    with RepositoryReader(path) as reader, reader.checkout("main") as checkout:
        assert np.array_equal(checkout["a"].get_many(range(ROWS)), rows[:ROWS])


def test_an_hdf5_segment_that_a_kill_spoilt_is_written_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    live_and_die(commit_and_stage, tmp_path, "00")
    victim = segment_of(tmp_path, "00")
    spoil(victim)
    Repository.open(tmp_path).close()
    check_rebuilt(tmp_path, victim, caplog.text)
    caplog.clear()
    Repository.open(tmp_path).close()
    assert caplog.text == ""


def test_a_segment_whose_process_died_is_looked_at_by_the_next_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    repository = open_new(tmp_path)
    writer = Writer(repository)
    writer.column("a", shape=SHAPE, backend="00")
    rows = np.random.default_rng(3).integers(0, 60, (2 * ROWS, *SHAPE), np.uint8)
    writer.put("a", (range(ROWS), rows[:ROWS]))
    victim = segment_of(tmp_path, "00")
    os.kill(repository.status()["hdf5_pid"], signal.SIGKILL)
    writer.commit()
    repository.close()
    spoil(victim)
    Repository.open(tmp_path).close()
    check_rebuilt(tmp_path, victim, caplog.text)
