"""Samples of a commit, read from every kind of file."""

import os
import threading

import numpy as np
import pytest
from hangard_ext.digest import crc32c_many
from hangard_ext.runmerge import merge_runs
from hangard_ext.runs import Run

from hangard.backends.disk import Disk
from hangard.backends.numpy_segment import NumpySegment
from hangard.errors import Corrupt, InvalidRequest, InvalidType, UnknownColumn, UnknownKey
from hangard.model.directory import run_path
from hangard.model.files import FileRecord
from hangard.model.keys import encode_keys
from hangard.reading.columns import ColumnReader
from hangard.reading.snapshot import RepositoryReader
from hangard.tree.store import EMPTY_ROOT

N = 500
BACKENDS = ["00", "10", "20"]


def images(n=N, seed=0, shape=(8, 6), dtype="<f4"):
    steps = np.random.default_rng(seed).integers(0, 50, (n, *shape))
    return np.repeat(np.repeat(steps, 3, axis=1), 2, axis=2).astype(dtype)


KEYS = [*range(0, N, 2), *(f"key {i}" for i in range(0, N, 2))]
ROWS = images()


@pytest.fixture(params=BACKENDS)
def column(request, stored):
    stored.commit({"faces": (KEYS, ROWS, request.param)})
    with RepositoryReader(stored.path) as repository, repository.checkout() as tree:
        yield tree["faces"]


def test_one_key_at_a_time(column):
    for i in (0, 1, N // 2, N - 1):
        sample = column[KEYS[i]]
        assert sample.dtype == ROWS.dtype
        assert np.array_equal(sample, ROWS[i])
        assert sample.flags.writeable
        assert np.array_equal(column.get(KEYS[i]), ROWS[i])
        assert np.array_equal(column.find(KEYS[i]), ROWS[i])
    assert np.array_equal(column[np.int32(4)], ROWS[2])


def test_keys_that_are_not_there(column):
    with pytest.raises(UnknownKey, match="'nobody' in column 'faces'"):
        column["nobody"]
    assert column.find(1) is None
    assert 1 not in column
    assert 0 in column
    assert "key 0" in column
    for wrong in (True, 1.0, None, ("a", "b", "c")):
        with pytest.raises(InvalidType):
            column.get(wrong)
    for wrong in (-1, "", "x" * 300):
        with pytest.raises(InvalidRequest):
            column.get(wrong)


def test_many_keys_in_any_order(column):
    order = np.random.default_rng(1).permutation(N)
    many = column.get_many([KEYS[i] for i in order])
    assert np.array_equal(many, ROWS[order])
    assert np.array_equal(column.get_many(range(0, 20, 2)), ROWS[:10])
    assert np.array_equal(column.get_many(np.array([4, 4, 0])), ROWS[[2, 2, 0]])
    assert column.get_many([]).shape == (0, *ROWS.shape[1:])


def test_many_keys_into_an_array_of_the_caller(column):
    out = np.zeros((10, *ROWS.shape[1:]), ROWS.dtype)
    assert column.get_many(range(0, 20, 2), out=out) is out
    assert np.array_equal(out, ROWS[:10])
    for wrong in (out[:9], out.astype("<f8"), out[:, ::-1], out[:, :, :-1]):
        with pytest.raises(InvalidRequest) as caught:
            column.get_many(range(0, 20, 2), out=wrong)
        assert caught.value.code == "invalid-output"
    out.flags.writeable = False
    with pytest.raises(InvalidRequest):
        column.get_many(range(0, 20, 2), out=out)


def test_missing_keys_of_many_are_listed(column):
    with pytest.raises(UnknownKey) as caught:
        column.get_many([0, 1, 2, "x", 3])
    assert caught.value.details == {"keys": ["1", "'x'", "3"], "total": 3}


def test_slices_of_a_sample(column):
    assert np.array_equal(column[2, 3:5], ROWS[1][3:5])
    assert np.array_equal(column["key 0", :, 1], ROWS[N // 2][:, 1])
    assert column[2, 0, 0] == ROWS[1][0, 0]
    assert np.array_equal(column[2,], ROWS[1])
    column[2, 3:5][:] = 0
    assert np.array_equal(column[2], ROWS[1])


def test_order_length_and_iteration(column):
    assert len(column) == N
    order = [*range(0, N, 2), *sorted(f"key {i}" for i in range(0, N, 2))]
    assert list(column) == list(column.keys()) == order
    rows = dict(zip(KEYS, ROWS, strict=True))
    seen = 0
    for key, sample in column.items():
        assert np.array_equal(sample, rows[key])
        seen += 1
    assert seen == N
    assert all(
        np.array_equal(sample, rows[key])
        for key, sample in zip(order, column.values(), strict=True)
    )


@pytest.mark.parametrize("rows", [1, 7, 100, N, N + 1])
def test_batches(column, rows):
    everything = dict(zip(KEYS, ROWS, strict=True))
    sizes = []
    for keys, samples in column.batches(rows):
        sizes.append(len(keys))
        assert np.array_equal(samples, [everything[key] for key in keys])
    assert sizes == [rows] * (N // rows) + ([N % rows] if N % rows else [])
    with pytest.raises(InvalidRequest):
        next(column.batches(0))


def test_locations_are_readable(column):
    locations = list(column.locations())
    assert [location.key for location in locations] == list(column)
    one = next(column.locations(["key 4"]))
    assert one.format_code in BACKENDS
    assert one.file.startswith(("segments/", "log/"))
    assert one.codec == ("blosc2" if one.format_code == "00" else "raw")
    with pytest.raises(UnknownKey):
        next(column.locations([1]))


def test_views_are_read_only_and_outlive_the_repository(stored):
    stored.commit({"a": (range(N), ROWS, "10"), "b": (range(3), ROWS[:3] + 1, "20")})
    repository = RepositoryReader(stored.path)
    tree = repository.checkout()
    views = [tree["a"].view(3), tree["b"].view(2)]
    tree.close()
    repository.close()
    del tree, repository
    assert np.array_equal(views[0], ROWS[3])
    assert np.array_equal(views[1], ROWS[2] + 1)
    for view in views:
        with pytest.raises(ValueError, match="read-only"):
            view[0, 0] = 1


def test_a_compressed_sample_cannot_be_viewed(stored):
    stored.commit({"a": (range(N), ROWS, "00")})
    with RepositoryReader(stored.path) as repository, repository.checkout() as tree:
        with pytest.raises(InvalidRequest) as caught:
            tree["a"].view(3)
        assert caught.value.code == "not-viewable"
        with pytest.raises(UnknownKey):
            tree["a"].view(N)


def test_samples_are_read_from_segments_that_are_still_growing(stored):
    number = next(stored.numbers)
    segment = NumpySegment(stored.file(10, number), number, "<f4", ROWS.shape[1:], Disk())
    written = [0]

    def append(rows, backend):
        flat = np.ascontiguousarray(rows).reshape(len(rows), -1).view(np.uint8)
        crcs = np.empty(len(rows), np.uint32)
        crc32c_many(flat, flat.shape[1], crcs)
        digests = np.random.default_rng(written[0]).integers(0, 256, (len(rows), 32), np.uint8)
        written[0] += len(rows)
        stored.add(digests, segment.append(flat, digests, crcs))
        return digests

    stored.put_rows = append
    with RepositoryReader(stored.path) as repository:
        for n in (1, 5, 100, N):
            stored.commit({"a": (range(n), ROWS[:n], "10")})
            with repository.checkout() as tree:
                assert np.array_equal(tree["a"][n - 1], ROWS[n - 1])
                assert np.array_equal(tree["a"].view(n - 1), ROWS[n - 1])
                assert np.array_equal(tree["a"].get_many(range(n)), ROWS[:n])
    segment.close()


def test_specs_that_a_session_knows_are_read_without_the_index(stored):
    commit = stored.commit({"a": (range(N), ROWS, "10")})
    with RepositoryReader(stored.path) as repository:
        tree = repository.checkout(commit)
        digests, _ = tree["a"].find_digests(*encode_keys(range(N)))
        specs, _ = repository.locations.find_many(digests)
        with stored.env.write() as tables:
            tables.clear_specs()
        staged = ColumnReader(repository, tree["a"].schema, EMPTY_ROOT, "a")
        assert len(staged) == 0
        assert np.array_equal(staged.read_specs(digests, specs), ROWS)
        tree.close()


def test_samples_spread_over_several_files_and_a_run(stored):
    rows = images(4 * N, seed=3)
    keys = range(4 * N)
    parts = [
        stored.put_rows(rows[i * N : (i + 1) * N], ["00", "10", "20", "00"][i]) for i in range(4)
    ]
    stored.move_index_to_run()
    digests = np.concatenate(parts)
    stored.put_rows = lambda rows, backend: digests
    stored.commit({"a": (keys, rows, "any")})
    with RepositoryReader(stored.path) as repository, repository.checkout() as tree:
        order = np.random.default_rng(5).permutation(4 * N)
        assert np.array_equal(tree["a"].get_many(order), rows[order])
        assert np.array_equal(tree["a"][7], rows[7])


@pytest.mark.parametrize(
    ("dtype", "shape"), [("|b1", ()), ("<c16", (3,)), ("<i8", (0, 4)), ("|u1", (1, 1))]
)
def test_other_dtypes_and_shapes(stored, dtype, shape):
    rows = np.random.default_rng(2).integers(0, 2, (5, *shape)).astype(dtype)
    stored.commit({"a": (range(5), rows, "10"), "b": (range(5), rows, "20")})
    with RepositoryReader(stored.path) as repository, repository.checkout() as tree:
        for name in "ab":
            assert np.array_equal(tree[name].get_many(range(5)), rows)
            assert np.array_equal(tree[name][4], rows[4])
            assert tree[name].view(1).shape == shape
            assert tree[name][4].dtype == dtype


def test_an_empty_column_and_an_unknown_one(stored):
    stored.commit({"a": ([], np.empty((0, 2)), "10")})
    with RepositoryReader(stored.path) as repository, repository.checkout() as tree:
        assert len(tree["a"]) == 0
        assert list(tree["a"].items()) == []
        assert 1 not in tree["a"]
        assert list(tree) == ["a"]
        assert "b" not in tree
        with pytest.raises(UnknownColumn, match="there are: a"):
            tree["b"]


def flip(path, position):
    with path.open("r+b") as file:
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ 1]))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_flipped_bit_is_corrupt_and_named(stored, backend):
    stored.commit({"a": (range(N), ROWS, backend)})
    with RepositoryReader(stored.path) as repository, repository.checkout() as tree:
        column = tree["a"]
        location = next(column.locations([5]))
        flip(repository.directory / location.file, location.offset + location.stored_length // 2)
        key = next(
            place.key
            for place in column.locations()
            if place.offset == location.offset and damaged(column, place.key)
        )
        with pytest.raises(Corrupt) as caught:
            column.get_many(range(N))
        assert caught.value.code == "damaged-sample"
        assert caught.value.details["file"].endswith(location.file)
        assert caught.value.details["offset"] == location.offset
        if backend != "00":
            with pytest.raises(Corrupt):
                column.view(key)


def damaged(column, key):
    try:
        column[key]
    except Corrupt:
        return True
    return False


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_truncated_file_is_corrupt_and_no_signal(stored, backend, when):
    stored.commit({"a": (range(N), ROWS, backend)})
    with RepositoryReader(stored.path) as repository, repository.checkout() as tree:
        column = tree["a"]
        location = next(column.locations([N - 1]))
        if when == "after":
            assert np.array_equal(column[N - 1], ROWS[N - 1])
        os.truncate(repository.directory / location.file, location.offset + 10)
        for read in (column.get, lambda key: column.get_many([key])):
            with pytest.raises(Corrupt):
                read(N - 1)
        if backend != "00":
            with pytest.raises(Corrupt):
                column.view(N - 1)


def test_checksums_are_not_compared_if_the_reader_says_so(stored):
    stored.commit({"a": (range(3), ROWS[:3], "10")})
    with RepositoryReader(stored.path, verify=False) as repository, repository.checkout() as tree:
        location = next(tree["a"].locations([1]))
        flip(repository.directory / location.file, location.offset)
        assert not np.array_equal(tree["a"][1], ROWS[1])
        assert not np.array_equal(tree["a"].get_many([1])[0], ROWS[1])
        assert not np.array_equal(tree["a"].view(1), ROWS[1])


def test_a_file_that_is_gone_for_good_is_named(stored):
    stored.commit({"a": (range(N), ROWS, "10")})
    with RepositoryReader(stored.path) as repository, repository.checkout() as tree:
        location = next(tree["a"].locations([1]))
        (repository.directory / location.file).unlink()
        for read in (tree["a"].get, tree["a"].view, lambda key: tree["a"].get_many([key])):
            with pytest.raises(Corrupt, match="gone") as caught:
                read(1)
            assert caught.value.details["file"].endswith(location.file)


def test_a_sample_that_moved_is_found_where_it_is_now(stored):
    stored.commit({"a": (range(N), ROWS, "20")})
    stored.move_index_to_run()
    with RepositoryReader(stored.path) as repository, repository.checkout() as tree:
        column = tree["a"]
        assert np.array_equal(column.get_many(range(N)), ROWS)
        place = next(column.locations([0])).file
        first = stored.put_rows(ROWS, "10")
        stored.flush()
        repository.locations.forget(first)
        file = next(column.locations([0])).file
        assert file != place
        stored.put_rows(ROWS, "00")
        stored.flush()
        (repository.directory / file).unlink()
        repository.files.close()
        assert np.array_equal(column[3], ROWS[3])
        assert np.array_equal(column.get_many(range(N)), ROWS)


def test_a_commit_made_while_reading_is_seen_by_a_new_checkout(stored):
    stored.commit({"a": (range(3), ROWS[:3], "20")})
    with RepositoryReader(stored.path) as repository:
        with repository.checkout() as tree:
            assert np.array_equal(tree["a"][2], ROWS[2])
        stored.commit({"a": (range(N), ROWS, "20")})
        stored.move_index_to_run()
        with repository.checkout() as tree:
            assert np.array_equal(tree["a"].get_many(range(N)), ROWS)
        stored.commit({"a": (range(N), ROWS + 1, "20")})
        with repository.checkout() as tree:
            assert np.array_equal(tree["a"][N - 1], ROWS[N - 1] + 1)
            assert np.array_equal(tree["a"].get_many(range(N)), ROWS + 1)
            assert np.array_equal(tree["a"].view(1), ROWS[1] + 1)


def test_runs_merged_while_a_reader_looks(stored):
    stored.commit({"a": (range(3), ROWS[:3], "20")})
    first = stored.move_index_to_run()
    stored.commit({"a": (range(N), ROWS, "10")})
    with RepositoryReader(stored.path) as repository, repository.checkout() as tree:
        assert np.array_equal(tree["a"][2], ROWS[2])
        second = stored.move_index_to_run()
        merge(stored, [first, second])
        assert np.array_equal(tree["a"].get_many(range(N)), ROWS)
        assert len(repository.locations.runs) == 1


def merge(stored, numbers):
    paths = [stored.directory / run_path(number) for number in numbers]
    number = next(stored.numbers)
    content = b"".join(merge_runs([Run(path.read_bytes()) for path in paths], number))
    (stored.directory / run_path(number)).write_bytes(content)
    with stored.env.write() as tables:
        for old in numbers:
            tables.delete_file(run_path(old))
        tables.put_file(run_path(number), FileRecord("run", number, "sealed"))
    for path in paths:
        path.unlink()


def test_a_damaged_run_is_corrupt(stored):
    stored.commit({"a": (range(3), ROWS[:3], "20")})
    number = stored.move_index_to_run()
    path = stored.directory / f"runs/{number:08x}.run"
    path.write_bytes(path.read_bytes()[:-1])
    with RepositoryReader(stored.path) as repository, repository.checkout() as tree:
        with pytest.raises(Corrupt) as caught:
            tree["a"][1]
        assert caught.value.code == "damaged-run"
        path.unlink()
        with pytest.raises(Corrupt) as caught:
            tree["a"][1]
        assert caught.value.code == "missing-run"


def test_damaged_and_missing_nodes_are_named(stored):
    stored.commit({"a": (range(N), ROWS, "10")})
    with RepositoryReader(stored.path) as repository, repository.checkout() as tree:
        root = tree["a"].root
        spec = repository.locations.find(root)
        flip(repository.files.path_of(spec), int.from_bytes(spec[8:16], "little") + 5)
        with pytest.raises(Corrupt) as caught:
            tree["a"][1]
        assert caught.value.code == "damaged-node"
        with stored.env.write() as tables:
            tables.clear_specs()
        for read in (lambda: tree["a"][1], lambda: list(tree["a"])):
            with pytest.raises(Corrupt) as caught:
                read()
            assert caught.value.code == "missing-node"


def test_mapped_files_are_bounded(stored):
    rows = images(20, seed=9)
    parts = [stored.put_rows(rows[i : i + 1], "10") for i in range(20)]
    stored.put_rows = lambda rows, backend: np.concatenate(parts)
    stored.commit({"a": (range(20), rows, "10")})
    with RepositoryReader(stored.path) as repository, repository.checkout() as tree:
        repository.files._files_max = 4
        assert np.array_equal(tree["a"].get_many(range(20)), rows)
        assert len(repository.files) == 4
        assert all(np.array_equal(tree["a"][i], rows[i]) for i in range(20))
        assert len(repository.files) == 4


def test_the_cache_of_locations_is_bounded(stored):
    stored.commit({"a": (range(N), ROWS, "10")})
    with RepositoryReader(stored.path, cache_bytes_max=0) as repository:
        column = repository.checkout()["a"]
        for _ in range(2):
            assert np.array_equal(column.get_many(range(N)), ROWS)
            assert np.array_equal(column[3], ROWS[3])


def test_many_threads_read_through_one_reader(stored):
    stored.commit({"a": (range(N), ROWS, "00"), "b": (range(N), ROWS + 1, "10")})
    problems = []

    def read(tree, seed):
        random = np.random.default_rng(seed)
        try:
            for _ in range(30):
                keys = random.integers(0, N, 20)
                assert np.array_equal(tree["a"].get_many(keys), ROWS[keys])
                assert np.array_equal(tree["b"][keys[0]], ROWS[keys[0]] + 1)
                assert np.array_equal(tree["a"][keys[1]], ROWS[keys[1]])
                if seed == 0:
                    tree["a"]._repository.locations.forget_all()
                    tree["a"]._repository.files.close()
        except BaseException as error:
            problems.append(error)

    with RepositoryReader(stored.path, cache_bytes_max=20_000) as repository:
        tree = repository.checkout()
        threads = [threading.Thread(target=read, args=(tree, seed)) for seed in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert problems == []
        tree.close()
