"""Segments of format 00 against the contract, and against plain h5py."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from contracts.segment_contract import ROW_BYTES, SegmentContract, make_rows
from hangard_ext.codec import read_many
from hangard_ext.digest import crc32c_many
from hangard_ext.recordspec import FLAG_RAW_CHUNK, unpack_many

from hangard.backends.disk import Disk
from hangard.backends.hdf5_segment import Hdf5Segment
from hangard.backends.hdf5_writer import Hdf5Writer
from hangard.backends.segment import SegmentLost
from hangard.errors import NoSpace
from hangard.model.chunking import chunk_rows
from hangard.model.directory import FORMAT_HDF5, FORMAT_HDF5_FIXED
from hangard.model.options import Hdf5Options


@pytest.fixture(scope="module")
def writer():
    with Hdf5Writer() as writer:
        yield writer


def make_segment(
    writer,
    path: Path,
    dtype="|u1",
    shape=(ROW_BYTES,),
    options=None,
    number=7,
    disk=None,
    format_code=FORMAT_HDF5,
) -> Hdf5Segment:
    return Hdf5Segment(
        path,
        number,
        dtype,
        shape,
        disk or Disk(),
        writer=writer,
        options=options or Hdf5Options(),
        format_code=format_code,
    )


def read_rows(segment: Hdf5Segment, specs: np.ndarray, row_bytes: int) -> np.ndarray:
    out = np.empty((len(specs), row_bytes), np.uint8)
    assert read_many(np.memmap(segment.path, np.uint8, "r"), specs, row_bytes, out) == -1
    return out


def append(segment: Hdf5Segment, samples: np.ndarray) -> np.ndarray:
    n = len(samples)
    row_bytes = samples.nbytes // n
    rows = np.frombuffer(samples.tobytes(), np.uint8).reshape(n, row_bytes)
    crcs = np.empty(n, np.uint32)
    crc32c_many(rows, row_bytes, crcs)
    return segment.append(rows, np.zeros((n, 32), np.uint8), crcs)


# Any process may read; here libhdf5 stays out of the process that runs the tests, as in the daemon.
PLAIN_READER = """
import sys, h5py, hdf5plugin, numpy
with h5py.File(sys.argv[1], "r") as file:
    samples, counts = file["samples"], file["valid_rows"][:]
    chunk = samples.chunks[0]
    starts = numpy.arange(len(counts)) * chunk
    parts = [samples[a : a + n] for a, n in zip(starts, counts)]
    rows = numpy.concatenate([samples[:0], *parts])
    rows = rows.reshape(len(rows), *samples.attrs["shape"])
    numpy.save(sys.argv[2], rows.view(samples.attrs["dtype"]) if rows.dtype.kind == "V" else rows)
"""


def read_plainly(path: Path, **environment: str) -> np.ndarray:
    out = path.with_suffix(".plain.npy")
    subprocess.run(
        [sys.executable, "-c", PLAIN_READER, str(path), str(out)],
        check=True,
        env=os.environ | environment,
    )
    return np.load(out)


class TestHdf5SegmentKeepsTheContract(SegmentContract):
    @pytest.fixture(autouse=True)
    def _writer(self, writer):
        self.writer = writer

    def create(self, directory, disk, number=7):
        return make_segment(self.writer, directory / "segment.h5", number=number, disk=disk)

    def read_rows(self, segment, specs):
        return read_rows(segment, specs, ROW_BYTES)


class TestNaturalShapesKeepTheContract(TestHdf5SegmentKeepsTheContract):
    def create(self, directory, disk, number=7):
        path = directory / "segment.h5"
        code = FORMAT_HDF5_FIXED
        return make_segment(self.writer, path, number=number, disk=disk, format_code=code)


DATASET_SHAPE = "import sys, h5py; print(h5py.File(sys.argv[1])['samples'].shape)"


@pytest.mark.parametrize(("code", "shape"), [(FORMAT_HDF5, (24,)), (FORMAT_HDF5_FIXED, (2, 3, 4))])
def test_only_code_01_keeps_the_dimensions_of_a_sample(writer, tmp_path, code, shape):
    path = tmp_path / "a.h5"
    segment = make_segment(writer, path, "<f8", (2, 3, 4), format_code=code)
    samples = np.arange(50 * 24, dtype="<f8").reshape(50, 2, 3, 4)
    specs = append(segment, samples)
    assert set(unpack_many(specs)["format_code"]) == {code}
    assert read_rows(segment, specs, 192).tobytes() == samples.tobytes()
    segment.seal()
    assert np.array_equal(read_plainly(path), samples)
    command = [sys.executable, "-c", DATASET_SHAPE, str(path)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert printed.strip() == str((chunk_rows(192), *shape))
    assert writer.is_readable(path)


@pytest.mark.parametrize("shape", [(), (1,), (2, 0), (1,) * 31])
def test_natural_shapes_of_no_dimension_no_byte_and_all_dimensions(writer, tmp_path, shape):
    path = tmp_path / "a.h5"
    segment = make_segment(writer, path, "<f8", shape, format_code=FORMAT_HDF5_FIXED)
    samples = np.ones((3, *shape))
    specs = append(segment, samples)
    assert read_rows(segment, specs, samples.nbytes // 3).tobytes() == samples.tobytes()
    segment.seal()
    assert writer.is_readable(path)


DTYPES = [
    "|b1", "|i1", "|u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8",
    "<f2", "<f4", "<f8", "<f16", "<c8", "<c16", "<c32",
]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
def test_samples_of_every_dtype_open_with_plain_h5py(writer, tmp_path, dtype):
    segment = make_segment(writer, tmp_path / "a.h5", dtype, (3, 4))
    samples = (np.arange(50 * 12).reshape(50, 3, 4) % 7).astype(dtype)
    specs = [append(segment, samples[:20]), append(segment, samples[20:])]
    found = read_rows(segment, np.concatenate(specs), 12 * np.dtype(dtype).itemsize)
    assert found.tobytes() == samples.tobytes()
    segment.seal()
    plain = read_plainly(segment.path)
    assert plain.dtype == np.dtype(dtype)
    assert np.array_equal(plain, samples)


@pytest.mark.parametrize("codec", ["blosclz", "lz4", "lz4hc", "zlib", "zstd"])
@pytest.mark.parametrize("shuffle", ["none", "byte", "bit"])
def test_every_codec_opens_with_plain_h5py(writer, tmp_path, codec, shuffle):
    options = Hdf5Options(codec, 4, shuffle)
    segment = make_segment(writer, tmp_path / "a.h5", "<f4", (28, 28), options)
    rows = chunk_rows(28 * 28 * 4)
    samples = np.cumsum(np.ones((2 * rows + 5, 28, 28), "<f4"), axis=0)
    specs = append(segment, samples)
    assert not unpack_many(specs)["flags"].any()
    assert read_rows(segment, specs, 28 * 28 * 4).tobytes() == samples.tobytes()
    segment.seal()
    assert np.array_equal(read_plainly(segment.path), samples)


FILTERS = [
    Hdf5Options("gzip", level, shuffle, fletcher32)
    for level, shuffle, fletcher32 in [
        (0, "none", False),
        (4, "none", True),
        (9, "byte", False),
        (1, "byte", True),
    ]
] + [
    Hdf5Options("lzf", 0, "none"),
    Hdf5Options("lzf", 0, "byte", True),
    Hdf5Options("none", 0, "none"),
    Hdf5Options("none", 0, "none", True),
    Hdf5Options("zstd", 3, "bit", True),
    Hdf5Options("lz4", 5, "byte", True),
]


@pytest.mark.parametrize("options", FILTERS, ids=str)
@pytest.mark.parametrize("dtype", ["|u1", "<i2", "<f8", "<c32"])
def test_every_filter_opens_with_plain_h5py(writer, tmp_path, options, dtype):
    path = tmp_path / "a.h5"
    segment = make_segment(writer, path, dtype, (7, 9), options, format_code=FORMAT_HDF5_FIXED)
    samples = (np.arange(3000 * 63).reshape(3000, 7, 9) // 50 % 100).astype(dtype)
    # A whole chunk of noise does not compress; h5py finds it raw.
    row_bytes = samples[0].nbytes
    noise = np.random.default_rng(1).bytes(70 * 1024 // row_bytes * row_bytes)
    if np.dtype(dtype).kind in "ui":
        noisy = np.frombuffer(noise, dtype).reshape(-1, 7, 9)
        samples = np.concatenate([noisy, samples])
    specs = append(segment, samples)
    assert read_rows(segment, specs, row_bytes).tobytes() == samples.tobytes()
    order = np.random.default_rng(2).permutation(len(samples))[:50]
    assert read_rows(segment, specs[order], row_bytes).tobytes() == samples[order].tobytes()
    segment.seal()
    assert np.array_equal(read_plainly(path), samples)
    assert writer.is_readable(path)


PIPELINE = """
import sys, h5py
with h5py.File(sys.argv[1], "r") as file:
    properties = file["samples"].id.get_create_plist()
    print([properties.get_filter(i)[0] for i in range(properties.get_nfilters())])
"""


@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        (Hdf5Options(), [32026]),
        (Hdf5Options("gzip", 5, "byte", True), [2, 1, 3]),
        (Hdf5Options("gzip", 5, "none"), [1]),
        (Hdf5Options("lzf", 0, "byte"), [2, 32000]),
        (Hdf5Options("none", 0, "none", True), [3]),
        (Hdf5Options("none", 0, "none"), []),
    ],
)
def test_the_dataset_names_the_filters_that_the_options_say(writer, tmp_path, options, numbers):
    path = tmp_path / "a.h5"
    make_segment(writer, path, "<f4", (3,), options).seal()
    command = [sys.executable, "-c", PIPELINE, str(path)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert printed.strip() == str(numbers)


def test_fletcher32_lets_plain_h5py_find_damage(writer, tmp_path):
    options = Hdf5Options("gzip", 5, "none", True)
    segment = make_segment(writer, tmp_path / "a.h5", "|u1", (100,), options)
    specs = append(segment, np.arange(100, dtype="u1").repeat(50).reshape(50, 100))
    segment.seal()
    place = unpack_many(specs)[0]
    with segment.path.open("r+b") as file:
        # The checksum itself, behind the chunk.
        file.seek(int(place["offset"]) + int(place["stored_length"]))
        file.write(b"\0\0\0\0")
    with pytest.raises(subprocess.CalledProcessError):
        read_plainly(segment.path)


def test_noise_is_stored_raw_and_still_opens_with_plain_h5py(writer, tmp_path):
    segment = make_segment(writer, tmp_path / "a.h5", "|u1", (784,))
    samples = np.random.default_rng(0).integers(0, 256, (chunk_rows(784) + 9, 784), np.uint8)
    specs = append(segment, samples)
    flags = unpack_many(specs)["flags"]
    assert flags[0] == FLAG_RAW_CHUNK
    assert flags[-1] == 0, "a chunk that is mostly padding does compress"
    assert np.array_equal(read_rows(segment, specs, 784), samples)
    segment.seal()
    assert np.array_equal(read_plainly(segment.path), samples)


@pytest.mark.parametrize("noisy", [False, True])
def test_a_sample_larger_than_the_shared_memory_is_one_chunk(writer, tmp_path, noisy):
    shape = (5, 1024, 1024)
    segment = make_segment(writer, tmp_path / "a.h5", "<i4", shape)
    samples = np.arange(2 * 5 * 1024 * 1024, dtype="<i4").reshape(2, *shape)
    if noisy:
        samples = np.random.default_rng(0).integers(0, 2**31, samples.shape, "<i4")
    assert samples[0].nbytes > writer.memory.n_bytes
    specs = append(segment, samples)
    assert read_rows(segment, specs, samples[0].nbytes).tobytes() == samples.tobytes()
    segment.seal()
    assert np.array_equal(read_plainly(segment.path), samples)


@pytest.mark.parametrize("shape", [(), (1,), (0,), (3, 0)])
def test_scalars_and_samples_without_bytes(writer, tmp_path, shape):
    segment = make_segment(writer, tmp_path / "a.h5", "<f8", shape)
    samples = np.ones((6, *shape))
    row_bytes = samples.nbytes // 6
    rows = np.frombuffer(samples.tobytes(), np.uint8).reshape(6, row_bytes)
    crcs = np.zeros(6, np.uint32)
    if row_bytes:
        crc32c_many(rows, row_bytes, crcs)
    specs = segment.append(rows, np.zeros((6, 32), np.uint8), crcs)
    assert read_rows(segment, specs, row_bytes).tobytes() == samples.tobytes()
    segment.seal()


def test_an_open_segment_reads_with_plain_h5py_without_locking(writer, tmp_path):
    segment = make_segment(writer, tmp_path / "a.h5", "|u1", (784,))
    samples = np.arange(100 * 784, dtype=np.uint32).reshape(100, 784).astype(np.uint8)
    append(segment, samples)
    plain = read_plainly(segment.path, HDF5_USE_FILE_LOCKING="FALSE")
    assert np.array_equal(plain, samples)
    segment.close()


def test_segments_grow_side_by_side(writer, tmp_path):
    segments = [make_segment(writer, tmp_path / f"{i}.h5", number=i) for i in range(4)]
    batches = [make_rows(30_000, seed) for seed in range(4)]
    specs = {}

    def fill(i: int) -> None:
        specs[i] = [segments[i].append(*batches[i]) for _ in range(3)]

    threads = [threading.Thread(target=fill, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, segment in enumerate(segments):
        for part in specs[i]:
            assert np.array_equal(read_rows(segment, part, ROW_BYTES), batches[i][0])
        segment.seal()
        assert len(read_plainly(segment.path)) == 90_000


def test_a_segment_outlives_no_death_of_its_process(tmp_path):
    with Hdf5Writer() as writer:
        segment = make_segment(writer, tmp_path / "a.h5")
        rows, digests, crcs = make_rows(500)
        specs = segment.append(rows, digests, crcs)
        first = writer.pid
        os.kill(first, 9)
        with pytest.raises(SegmentLost):
            segment.append(rows, digests, crcs)
        assert segment.is_full
        segment.seal()
        assert np.array_equal(read_rows(segment, specs, ROW_BYTES), rows)
        assert writer.is_readable(segment.path)

        successor = make_segment(writer, tmp_path / "b.h5", number=8)
        assert writer.pid != first
        again = successor.append(rows, digests, crcs)
        assert np.array_equal(read_rows(successor, again, ROW_BYTES), rows)
        successor.close()


def test_a_refusal_of_hdf5_ends_its_process_and_loses_the_segment(tmp_path):
    with Hdf5Writer() as writer:
        segment = make_segment(writer, tmp_path / "a.h5")
        rows = make_rows(5)
        segment.append(*rows)
        other = make_segment(writer, tmp_path / "b.h5", number=8)
        segment._file.number = 99  # unknown to the process
        with pytest.raises(SegmentLost):
            segment.append(*rows)
        with pytest.raises(SegmentLost):
            other.append(*rows)
        segment.close()
        other.close()


def test_no_space_is_found_before_anything_is_handed_over(writer, tmp_path):
    class FullDisk(Disk):
        def reserve(self, fd, offset, length):
            raise NoSpace("the disk is full", code="disk-full")

    segment = make_segment(writer, tmp_path / "a.h5", disk=FullDisk())
    with pytest.raises(NoSpace):
        segment.append(*make_rows(20_000))
    before = segment.path.stat().st_size
    segment.close()
    assert before < 64 * 1024


def test_an_existing_file_is_not_touched(writer, tmp_path):
    path = tmp_path / "a.h5"
    path.write_bytes(b"precious")
    with pytest.raises(FileExistsError):
        make_segment(writer, path)
    assert path.read_bytes() == b"precious"
