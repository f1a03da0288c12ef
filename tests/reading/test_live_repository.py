"""Reading what the repository writes, while it writes: from its own process and from another."""

import subprocess
import sys
import threading

import numpy as np
import pytest
from repository.writing import Writer, open_new

from hangard.reading.snapshot import RepositoryReader


@pytest.fixture
def repository(tmp_path):
    opened = open_new(tmp_path)
    yield opened
    opened.close()


def images(n, seed):
    random = np.random.default_rng(seed)
    return np.repeat(random.integers(0, 99, (n, 7, 4), np.uint8), 7, axis=2)


# Follows a branch until it holds as many samples as it is told, and compares every one of them.
FOLLOW = """
import sys, numpy
from hangard.errors import UnknownRevision
from hangard.reading.snapshot import RepositoryReader
expected = numpy.load(sys.argv[2], mmap_mode="r")
with RepositoryReader(sys.argv[1]) as repository:
    print("ready", flush=True)
    seen, checkouts = 0, 0
    while seen < len(expected):
        try:
            tree = repository.checkout("main")
        except UnknownRevision:
            continue
        if len(tree.get("a", ())) > seen:
            keys = list(tree["a"])
            assert numpy.array_equal(tree["a"].get_many(keys), expected[keys])
            assert all(numpy.array_equal(tree["a"][key], expected[key]) for key in keys[-50:])
            seen, checkouts = len(keys), checkouts + 1
        tree.close()
print(seen, checkouts)
"""


@pytest.mark.parametrize("backend", ["10", "00"])
@pytest.mark.parametrize(("commits", "rows"), [(30, 5), (4, 3000)])
def test_another_process_follows_a_branch(repository, tmp_path, backend, commits, rows):
    expected = images(commits * rows, 1)
    np.save(tmp_path / "expected.npy", expected)
    follower = subprocess.Popen(
        [sys.executable, "-c", FOLLOW, str(tmp_path), str(tmp_path / "expected.npy")],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert follower.stdout.readline() == "ready\n"
        writer = Writer(repository)
        writer.column("a", (7, 28), backend=backend)
        for start in range(0, len(expected), rows):
            keys = range(start, start + rows)
            writer.put("a", (keys, expected[start : start + rows]))
            writer.commit()
        seen, checkouts = map(int, follower.stdout.readline().split())
        assert seen == len(expected)
        assert checkouts >= 1
        assert follower.wait(30) == 0
    finally:
        follower.kill()
        follower.wait()
        follower.stdout.close()


def test_threads_of_the_writing_process_read_while_others_commit(repository, tmp_path):
    rows = images(400, 2)
    problems = []
    stop = threading.Event()

    def write(name):
        try:
            writer = Writer(repository)
            writer.column(name, (7, 28))
            for start in range(0, 400, 20):
                writer.put(name, (range(start, start + 20), rows[start : start + 20]))
                writer.commit()
        except BaseException as error:
            problems.append(error)

    def read(reader):
        try:
            while not stop.is_set():
                for name, head in reader.branches().items():
                    if head is None:
                        continue
                    with reader.checkout(name) as tree:
                        for column in tree.values():
                            keys = list(column)
                            assert np.array_equal(column.get_many(keys), rows[keys])
        except BaseException as error:
            problems.append(error)

    with RepositoryReader(tmp_path) as reader:
        writers = [threading.Thread(target=write, args=(name,)) for name in "abc"]
        readers = [threading.Thread(target=read, args=(reader,)) for _ in range(2)]
        for thread in writers + readers:
            thread.start()
        for thread in writers:
            thread.join()
        stop.set()
        for thread in readers:
            thread.join()
        assert problems == []
        with reader.checkout() as tree:
            assert sorted(tree) == ["a", "b", "c"]
            assert all(len(column) == 400 for column in tree.values())


def test_history_and_differences_of_real_commits(repository, tmp_path):
    writer = Writer(repository)
    rows = images(10, 3)
    writer.column("a", (7, 28))
    writer.put("a", (range(10), rows))
    first = writer.commit("first").digest
    writer.put("a", {3: rows[4], "new": rows[5]})
    writer.delete("a", 7)
    second = writer.commit("second").digest
    with RepositoryReader(tmp_path) as reader:
        assert [digest for digest, _ in reader.log()] == [second, first]
        (column,) = reader.diff(first, "HEAD")
        kinds = {change.key: change.kind for change in column.samples()}
        assert kinds == {3: "changed", 7: "deleted", "new": "added"}
        assert reader.reflog()[0].after == second
