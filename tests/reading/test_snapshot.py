"""Refs, revisions, history and differences of a repository opened for reading."""

import itertools
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from hangard.encoding.objects import KIND_COMMIT, encode_commit
from hangard.errors import (
    Closed,
    InvalidType,
    NoRepository,
    UnknownRevision,
)
from hangard.model.commit import Author, Commit
from hangard.model.diff import SampleChange
from hangard.reading.readers import live_marks
from hangard.reading.snapshot import RepositoryReader

ROWS = np.arange(40, dtype="<i4").reshape(10, 4)


def column(*numbers):
    return (numbers, ROWS[list(numbers)], "20")


@pytest.fixture
def repository(stored):
    with RepositoryReader(stored.path) as repository:
        yield repository


def test_what_is_no_repository(tmp_path):
    with pytest.raises(NoRepository):
        RepositoryReader(tmp_path)


def test_a_new_repository_has_a_branch_without_a_commit(repository):
    assert repository.head() == "main"
    assert repository.branches() == {"main": None}
    assert repository.branch("main") is None
    assert repository.tags() == {}
    for revision in ("main", "HEAD", "HEAD~2"):
        with pytest.raises(UnknownRevision) as caught:
            repository.resolve(revision)
        assert caught.value.code == "branch-without-commit"
    with repository.checkout_commit(None) as tree:
        assert list(tree) == []
        assert tree.record is None


def test_revisions(stored, repository):
    first, second, third = (stored.commit({"a": column(i)}, message=str(i)) for i in range(3))
    side = stored.commit({"a": column(5)}, branch="dev/x", parents=(first,))
    merged = stored.commit({"a": column(6)}, parents=(third, side))
    with stored.env.write() as tables:
        tables.put_ref("tags/v1.0", second)
    for revision, expected in {
        "HEAD": merged,
        "main": merged,
        "heads/main": merged,
        "main^": third,
        "main^1": third,
        "main^2": side,
        "main^0": merged,
        "main~0": merged,
        "main~": third,
        "main~2": second,
        "main~1~1^": first,
        "main^2~": first,
        "HEAD^2": side,
        "dev/x": side,
        "v1.0": second,
        "tags/v1.0": second,
        "v1.0~1": first,
        third.hex(): third,
        third.hex().upper(): third,
        third.hex()[:9]: third,
        side.hex()[:12] + "~1": first,
        side: side,
    }.items():
        assert repository.resolve(revision) == expected, revision
    for revision in (
        "nobody",
        "",
        "~1",
        "main~4",
        "main^3",
        "main~x",
        "ma in",
        "ünï",
        "x" * 600,
        "abc",
        "0" * 64,
        bytes(32),
        b"short",
        "main~999999999999",
    ):
        with pytest.raises(UnknownRevision):
            repository.resolve(revision)
    with pytest.raises(InvalidType):
        repository.resolve(3)
    assert repository.branches() == {"dev/x": side, "main": merged}
    assert repository.tags() == {"v1.0": second}
    with pytest.raises(UnknownRevision):
        repository.branch("nobody")


def test_a_short_digest_that_fits_several_commits_is_ambiguous(stored, repository):
    author = Author("Ada", "ada@example.org")
    with stored.env.write() as tables:
        digests = sorted(
            tables.put_object(
                KIND_COMMIT, encode_commit(Commit((), bytes(32), author, str(i), 0))
            ).hex()
            for i in range(600)
        )
    pair = next(pair for pair in itertools.pairwise(digests) if pair[0][:4] == pair[1][:4])
    with pytest.raises(UnknownRevision) as caught:
        repository.resolve(pair[0][:4])
    assert caught.value.code == "ambiguous-revision"
    assert set(pair) <= set(caught.value.details["candidates"])
    assert repository.resolve(pair[1][:12]).hex() == pair[1]


def test_a_branch_whose_name_looks_like_a_digest_wins(stored, repository):
    first = stored.commit({"a": column(1)})
    other = stored.commit({"a": column(2)}, branch=first.hex()[:8], parents=())
    assert repository.resolve(first.hex()[:8]) == other


def test_the_log_of_a_line_streams_newest_first(stored, repository):
    digests = [stored.commit({"a": column(i)}, message=str(i)) for i in range(5)]
    log = repository.log()
    assert next(log)[0] == digests[-1]
    assert [commit.message for _, commit in log] == ["3", "2", "1", "0"]
    assert [digest for digest, _ in repository.log("main~2")] == digests[2::-1]


def test_the_log_gives_children_before_parents_whatever_the_clocks_say(stored, repository):
    base = stored.commit({}, time_ns=100, message="base")
    late = stored.commit({}, time_ns=50, message="left 1")
    left = stored.commit({}, time_ns=40, message="left 2")
    right = stored.commit({}, branch="r", parents=(base,), time_ns=60, message="right")
    merge = stored.commit({}, parents=(left, right), time_ns=10, message="merge")
    digests = [digest for digest, _ in repository.log()]
    assert digests == [merge, right, left, late, base]
    again = stored.commit({}, parents=(merge, merge), time_ns=5, message="again")
    assert [digest for digest, _ in repository.log()] == [again, *digests]


def test_differences_stream_by_column(stored, repository):
    first = stored.commit({"a": column(1, 2, 3), "same": column(7), "gone": column(8)})
    second = stored.commit(
        {"a": ([1, 3, 4], ROWS[[1, 5, 4]], "20"), "same": column(7), "new": column(9)}
    )
    assert list(repository.diff(first, first)) == []
    changes = {change.name: change for change in repository.diff("main~1", second)}
    assert list(changes) == ["a", "gone", "new"]
    kinds = {change.key: change.kind for change in changes["a"].samples()}
    assert kinds == {2: "deleted", 3: "changed", 4: "added"}
    assert changes["gone"].schema_after is None
    assert changes["new"].schema_before is None
    collected = changes["gone"].collect()
    assert [sample.kind for sample in collected.samples] == ["deleted"]
    assert isinstance(collected.samples[0], SampleChange)


def test_a_checkout_of_a_branch_stays_at_its_commit(stored, repository):
    stored.commit({"a": column(1)})
    with repository.checkout("main") as tree:
        stored.commit({"a": column(2)})
        assert list(tree["a"]) == [1]
        with repository.checkout("main") as later:
            assert list(later["a"]) == [2]
            assert tree != later
            assert tree == tree
            assert len({tree, later}) == 2


def test_an_open_checkout_marks_its_commit_for_gc(stored, repository):
    commit = stored.commit({"a": column(1)})
    with repository.checkout() as tree:
        assert live_marks(repository.directory) == [commit]
        with repository.checkout():
            assert live_marks(repository.directory) == [commit, commit]
    assert live_marks(repository.directory) == []
    tree.close()
    code = (
        "import os, sys\n"
        "from hangard.reading.snapshot import RepositoryReader\n"
        "tree = RepositoryReader(sys.argv[1]).checkout()\n"
        "os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(stored.path)], check=False)
    folder = repository.directory / "readers"
    assert len(list(folder.iterdir())) == 1
    assert live_marks(repository.directory) == []
    assert list(folder.iterdir()) == []


def test_a_repository_without_a_writable_folder_is_read_without_marks(stored, repository):
    stored.commit({"a": column(1)})
    (repository.directory / "readers").rmdir()
    with repository.checkout() as tree:
        assert np.array_equal(tree["a"][1], ROWS[1])


def test_a_closed_reader_says_so(stored):
    stored.commit({"a": column(1)})
    repository = RepositoryReader(stored.path)
    tree = repository.checkout()
    assert np.array_equal(tree["a"][1], ROWS[1])
    tree.close()
    repository.close()
    repository.close()
    with pytest.raises(Closed):
        repository.checkout()


@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_forked_child_reads_on_and_marks_its_own(stored, repository):
    commit = stored.commit({"a": (range(10), ROWS, "10")})
    tree = repository.checkout()
    stop = threading.Event()
    problems = []

    def read_on():
        try:
            while not stop.is_set():
                repository.locations.forget_all()
                assert np.array_equal(tree["a"].get_many(range(10)), ROWS)
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=read_on) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(5):
            reading, writing = os.pipe()
            pid = os.fork()
            if pid == 0:
                status = 1
                try:
                    assert np.array_equal(tree["a"].get_many(range(10)), ROWS)
                    assert np.array_equal(tree["a"][3], ROWS[3])
                    os.write(writing, b"%d" % len(live_marks(repository.directory)))
                    status = 0
                finally:
                    os._exit(status)
            os.close(writing)
            assert os.read(reading, 10) == b"2"
            os.close(reading)
            assert os.waitpid(pid, 0)[1] == 0
            assert live_marks(repository.directory) == [commit]
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert problems == []
    assert np.array_equal(tree["a"][4], ROWS[4])
    tree.close()


def test_reading_loads_no_heavy_package():
    code = (
        "import sys, hangard.reading.snapshot\n"
        "print([name for name in ('aiohttp', 'h5py', 'hdf5plugin', 'blosc2', 'uvloop', 'asyncio')"
        " if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
