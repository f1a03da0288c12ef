"""Small commits on a large repository, and opening it in a fresh process."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import count
from pathlib import Path
from typing import Any

import hangard_client
import lmdb

from bench.data import IMAGE_SHAPE, images
from bench.harness import Bench, Case, Mark
from bench.store import Images, check_column, open_store

COLUMN = "images"
SLICE = 50_000  # images in memory at once
CHANGES = 10
BARE = "LMDB, fdatasync"
COMMIT_GROWTH_BYTES_MAX = 200e3

# A fresh process says when its imports are done, then opens and reads one key when told to.
READER = f"""
import sys
import hangard_client
path, key = sys.argv[1], int(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
with hangard_client.open(path).checkout("main") as checkout:
    print(int(checkout[{COLUMN!r}][key].sum()), flush=True)
"""


def run(bench: Bench) -> None:
    total = bench.scaled(1_000_000, 20_000)
    with bench.scratch() as directory, open_store(directory / "repository") as repository:
        bench.on_progress(f"{bench.name}: {total} samples to begin with")
        fill(repository, total)
        changed_keys(bench, repository, total)
        one_sample_commits(bench, repository, directory, total)
        fresh_process(bench, repository, total)


def fill(repository: hangard_client.Repository, total: int) -> None:
    with repository.checkout("main", write=True) as checkout:
        column = checkout.add_ndarray_column(
            COLUMN, shape=IMAGE_SHAPE, dtype="uint8", backend="numpy"
        )
        for seed, first in enumerate(range(0, total, SLICE)):
            some = images(min(SLICE, total - first), seed)
            column.put_many(range(first, first + len(some)), some)
        checkout.commit("to begin with")


class Changes:
    """New images under spread keys of one write checkout, a few more each time."""

    def __init__(self, repository: hangard_client.Repository, total: int, seed: int) -> None:
        self._images = images(10_000, seed)
        self._step = total // 97 * 2 + 1
        self._total = total
        self._positions = count()
        self.checkout = repository.checkout("main", write=True)
        self.column = self.checkout[COLUMN]

    def take(self, number: int) -> tuple[list[int], Images]:
        positions = [next(self._positions) for _ in range(number)]
        keys = [position * self._step % self._total for position in positions]
        return keys, self._images[positions]

    def put_and_commit(self, taken: tuple[list[int], Images]) -> tuple[list[int], Images]:
        for key, image in zip(*taken, strict=True):
            self.column[key] = image
        self.checkout.commit("some keys")
        return taken

    def commit_each(self, taken: tuple[list[int], Images]) -> tuple[list[int], Images]:
        for key, image in zip(*taken, strict=True):
            self.column[key] = image
            self.checkout.commit("one key")
        return taken


def changed_keys(bench: Bench, repository: hangard_client.Repository, total: int) -> None:
    changes = Changes(repository, total, 101)
    rounds = bench.scaled(50, 5)
    before = stored_bytes(repository.path)
    bench.measure(
        Case(
            name=f"commit of {CHANGES} keys on {total:,}",
            prepare=lambda: changes.take(CHANGES),
            call=changes.put_and_commit,
            finish=lambda taken: check_column(repository, COLUMN, *taken),
            work=1,
            unit="commits",
            marks=[Mark(quantity="seconds", at_most=0.010)],
        ),
        rounds=rounds,
    )
    grown = stored_bytes(repository.path) - before
    bench.count(
        f"commit of {CHANGES} keys: grown (mean)",
        grown / (1 + rounds),
        "B",
        Mark(quantity="value", at_most=COMMIT_GROWTH_BYTES_MAX),
    )
    changes.checkout.close()


def stored_bytes(path: Path) -> int:
    return sum(
        os.stat(os.path.join(directory, name)).st_size
        for directory, _, names in os.walk(path)
        for name in names
    )


def one_sample_commits(
    bench: Bench, repository: hangard_client.Repository, directory: Path, total: int
) -> None:
    changes = Changes(repository, total, 102)
    commits = bench.scaled(100, 10)
    bare = BareCommits(directory / "bare", images(1).tobytes())
    bench.measure(
        Case(name=BARE, call=lambda _: bare.run(commits), work=commits, unit="commits"),
        Case(
            name=f"commits of 1 key on {total:,}",
            prepare=lambda: changes.take(commits),
            call=changes.commit_each,
            finish=lambda taken: check_column(repository, COLUMN, *taken),
            work=commits,
            unit="commits",
            reference=BARE,
            marks=[Mark(quantity="rate", at_least=200)],
        ),
    )
    bare.close()
    changes.checkout.close()


class BareCommits:
    """What the disk and LMDB cost at least: a row appended and synced, a transaction synced."""

    def __init__(self, directory: Path, row: bytes) -> None:
        self._row = row
        self._env = lmdb.open(str(directory), map_size=1 << 30)
        self._log = os.open(directory / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._numbers = count()

    def run(self, commits: int) -> None:
        for _ in range(commits):
            os.write(self._log, self._row)
            os.fdatasync(self._log)
            number = next(self._numbers)
            with self._env.begin(write=True) as transaction:
                transaction.put(number.to_bytes(8, "big"), bytes(200))
                transaction.put(b"head", number.to_bytes(32, "big"))

    def close(self) -> None:
        os.close(self._log)
        self._env.close()


def fresh_process(
    bench: Bench,
    repository: hangard_client.Repository,
    total: int,
    what: str = "read one key",
) -> None:
    """Time a process that has only imported the client: opening a repository, and one sample."""
    keys = (position * 7919 % total for position in count())

    def start() -> tuple[subprocess.Popen[str], int]:
        key = next(keys)
        process = subprocess.Popen(
            [sys.executable, "-c", READER, str(repository.path), str(key)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert answer(process) == "ready"
        return process, key

    def read(started: tuple[subprocess.Popen[str], int]) -> tuple[Any, int, int]:
        process, key = started
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
        return process, key, int(answer(process))

    def finish(result: tuple[Any, int, int]) -> None:
        process, key, pixel_sum = result
        process.communicate()
        with repository.checkout("main") as checkout:
            assert checkout[COLUMN][key].sum() == pixel_sum

    bench.measure(
        Case(
            name=f"fresh process: open, {what}",
            prepare=start,
            call=read,
            finish=finish,
            work=1,
            unit="samples",
            marks=[Mark(quantity="seconds", at_most=0.020)],
        )
    )


def answer(process: Any) -> str:
    line: str = process.stdout.readline()
    return line.strip()
