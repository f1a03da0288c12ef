"""Files of a process that died: readable as they are, or rebuilt from their chunks."""

import os
import random
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from backends.test_hdf5_segment import append, make_segment, read_plainly, read_rows
from contracts.segment_contract import ROW_BYTES, make_rows
from hangard_ext.recordspec import unpack_many

from hangard.backends.disk import Disk
from hangard.backends.hdf5_rebuild import rebuild, wait_until_released
from hangard.backends.hdf5_writer import Hdf5Writer
from hangard.backends.segment import SegmentLost
from hangard.encoding.rows import scan_rows
from hangard.model.directory import FORMAT_HDF5, FORMAT_HDF5_FIXED
from hangard.model.options import Hdf5Options


@pytest.fixture(scope="module")
def writer():
    with Hdf5Writer() as writer:
        yield writer


def rebuild_segment(
    writer,
    damaged: Path,
    new: Path,
    dtype="|u1",
    shape=(ROW_BYTES,),
    options=None,
    code=FORMAT_HDF5,
):
    digests, specs, _ = scan_rows(Path(f"{damaged}.rows").read_bytes())
    return rebuild(
        damaged,
        digests,
        specs,
        new,
        9,
        dtype,
        shape,
        options=options or Hdf5Options(),
        disk=Disk(),
        writer=writer,
        format_code=code,
    )


class Place:
    """Enough of a segment to read from."""

    def __init__(self, path: Path) -> None:
        self.path = path


def test_a_file_with_a_spoilt_index_is_rebuilt_from_its_chunks(writer, tmp_path):
    segment = make_segment(writer, tmp_path / "a.h5")
    rows, digests, crcs = make_rows(30_000)
    noise = np.random.default_rng(0).integers(0, 256, (11_000, ROW_BYTES), np.uint8)
    segment.append(rows, digests, crcs)
    append(segment, noise)
    segment.seal()
    assert writer.is_readable(segment.path)
    with segment.path.open("r+b") as file:
        file.write(bytes(2048))  # superblock, root group, headers of the datasets
    assert not writer.is_readable(segment.path)

    rebuilt = rebuild_segment(writer, segment.path, tmp_path / "b.h5")
    assert len(rebuilt.lost) == 0
    assert np.array_equal(rebuilt.digests[: len(digests)], digests)
    assert set(unpack_many(rebuilt.specs)["segment"]) == {9}
    found = read_rows(Place(tmp_path / "b.h5"), rebuilt.specs, ROW_BYTES)
    assert np.array_equal(found, np.concatenate([rows, noise]))
    assert np.array_equal(read_plainly(tmp_path / "b.h5"), found)
    assert writer.is_readable(tmp_path / "b.h5")
    named = scan_rows((tmp_path / "b.h5.rows").read_bytes())
    assert np.array_equal(named[0], rebuilt.digests)
    assert np.array_equal(named[1], rebuilt.specs)
    assert named[2] == rebuilt.rows_bytes
    assert (tmp_path / "b.h5").stat().st_size == rebuilt.length_bytes


@pytest.mark.parametrize(
    "options",
    [
        Hdf5Options("gzip", 3, "byte", True),
        Hdf5Options("lzf", 0, "none"),
        Hdf5Options("none", 0, "none", True),
        Hdf5Options("zstd", 3, "bit", True),
    ],
    ids=str,
)
def test_chunks_of_every_filter_are_rebuilt(writer, tmp_path, options):
    shape, code = (6, 8), FORMAT_HDF5_FIXED
    segment = make_segment(writer, tmp_path / "a.h5", "<i4", shape, options, format_code=code)
    samples = (np.arange(2000 * 48) // 7).astype("<i4").reshape(2000, *shape)
    noise = np.random.default_rng(0).integers(0, 2**31, (2800, *shape), "<i4")
    append(segment, samples)
    append(segment, noise)
    segment.close()
    new = tmp_path / "b.h5"
    rebuilt = rebuild_segment(writer, segment.path, new, "<i4", shape, options, code)
    found = read_rows(Place(new), rebuilt.specs, 192)
    assert found.tobytes() == np.concatenate([samples, noise]).tobytes()
    assert set(unpack_many(rebuilt.specs)["format_code"]) == {code}
    assert np.array_equal(read_plainly(new), np.concatenate([samples, noise]))


def test_rows_that_do_not_match_their_checksum_are_reported_not_copied(writer, tmp_path):
    segment = make_segment(writer, tmp_path / "a.h5")
    rows, digests, crcs = make_rows(100)
    crcs[[3, 70]] ^= 1
    segment.append(rows, digests, crcs)
    segment.seal()
    rebuilt = rebuild_segment(writer, segment.path, tmp_path / "b.h5")
    assert np.array_equal(rebuilt.lost, digests[[3, 70]])
    kept = np.delete(np.arange(100), [3, 70])
    assert np.array_equal(rebuilt.digests, digests[kept])
    found = read_rows(Place(tmp_path / "b.h5"), rebuilt.specs, ROW_BYTES)
    assert np.array_equal(found, rows[kept])


@pytest.mark.parametrize("shape", [(5,), (0,)])
def test_a_segment_in_which_nothing_is_intact_becomes_an_empty_file(writer, tmp_path, shape):
    segment = make_segment(writer, tmp_path / "a.h5", shape=shape)
    rows = np.zeros((3, shape[0]), np.uint8)
    segment.append(rows, np.zeros((3, 32), np.uint8), np.ones(3, np.uint32))
    segment.seal()
    rebuilt = rebuild_segment(writer, segment.path, tmp_path / "b.h5", shape=shape)
    assert len(rebuilt.lost) == 3
    assert len(read_plainly(tmp_path / "b.h5")) == 0


def test_release_is_awaited(tmp_path):
    with Hdf5Writer() as writer:
        segment = make_segment(writer, tmp_path / "a.h5")
        released = threading.Event()
        thread = threading.Thread(
            target=lambda: (wait_until_released(segment.path), released.set())
        )
        thread.start()
        segment.append(*make_rows(5))
        assert not released.is_set()
        segment.close()
    thread.join()
    assert released.is_set()


@pytest.mark.parametrize("seed", range(6))
def test_rows_that_were_answered_survive_a_kill_at_any_moment(tmp_path, seed):
    chance = random.Random(seed)
    with Hdf5Writer() as writer:
        segments, answered = [], []
        for life in range(3):
            segment = make_segment(writer, tmp_path / f"{life}.h5", number=life)
            segments.append(segment)
            killer = threading.Timer(chance.uniform(0, 0.15), os.kill, (writer.pid, 9))
            killer.start()
            for n in range(10_000):
                batch = make_rows(chance.choice((10, 700, 12_000)), n % 7)
                try:
                    specs = segment.append(*batch)
                except SegmentLost:
                    break
                answered.append((segment, specs, batch))
            killer.join()
            segment.seal()
        for segment, specs, batch in answered:
            assert np.array_equal(read_rows(segment, specs, ROW_BYTES), batch[0])
        for segment in segments:
            mine = [batch for owner, _, batch in answered if owner is segment]
            names = np.concatenate([np.empty((0, 32), np.uint8), *(batch[1] for batch in mine)])
            found = scan_rows(Path(f"{segment.path}.rows").read_bytes())[0]
            assert np.array_equal(found, names)
            if not writer.is_readable(segment.path):
                new = tmp_path / f"new-{segment.number}.h5"
                rebuilt = rebuild_segment(writer, segment.path, new)
                assert len(rebuilt.lost) == 0
                assert writer.is_readable(new)


def test_the_process_ends_with_the_one_that_started_it(tmp_path):
    ready = tmp_path / "ready"
    pid = os.fork()
    if pid == 0:
        # No cleanup of the test process may run here, whatever happens.
        try:
            writer = Hdf5Writer()
            make_segment(writer, tmp_path / "a.h5")
            ready.write_text(str(writer.pid))
            time.sleep(60)
        finally:
            os._exit(1)
    while not ready.exists() or not ready.read_text():
        time.sleep(0.01)
    child = int(ready.read_text())
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    wait_until_released(tmp_path / "a.h5")
    while Path(f"/proc/{child}").exists() and _state(child) != "Z":
        time.sleep(0.01)
    with Hdf5Writer() as writer:
        assert writer.is_readable(tmp_path / "a.h5")


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "Z"
