"""Crashes at named points: a short scripted load that ends at the N-th moment of its life.

The points are the calls that reach the disk through objects which the repository was given: each
write (before it, and with half of it done), each fsync, each new name, and the database's
transaction (before it and behind it). A process of its own runs the load and is killed with -9;
with a *power cut* all that was not synced is gone as well.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from crash.processes import environment
from hangard_ext.digest import digest_many
from repository.writing import Writer

from hangard.backends.disk import Disk
from hangard.db.environment import WritableEnvironment
from hangard.db.tables import WriteTables
from hangard.encoding.samples import sample_key
from hangard.errors import NoSpace
from hangard.limits import INDEX_SMALL_ENTRIES_MAX
from hangard.repository import session
from hangard.repository.clock import SystemClock
from hangard.repository.repository import Repository

LIFE_S_MAX = 60
SAMPLE_BYTES = 256
BATCH_ROWS = 1_100  # above LOG_ROWS_BYTES_MAX
RUN_ROWS = INDEX_SMALL_ENTRIES_MAX + 100  # so that the index writes a run
KEYS_MAX = RUN_ROWS
JOURNAL_BYTES_MAX = 100_000  # so that the session begins a new journal
BOOT_ID = b"this boot"


class Countdown:
    """Calls ``end`` at the moment with the given number, counted from 1; 0: never.

    Only moments whose names end with ``kind`` count: a large commit writes its index run while it
    is planned, so that moments of different kinds do not always come in the same order.
    """

    def __init__(self, number: int, end: Callable[[], None], kind: str = "") -> None:
        self.passed = 0
        self.names: list[str] = []
        self._number = number
        self._end = end
        self._kind = kind
        self._lock = threading.Lock()

    def pass_by(self, name: str) -> None:
        if not name.endswith(self._kind):
            return
        with self._lock:
            self.passed += 1
            self.names.append(name)
            is_now = self.passed == self._number
        if is_now:
            with translated(name):
                self._end()


@contextmanager
def translated(where: str) -> Iterator[None]:
    """A full disk as hangard.backends.disk tells of it; the database tells of it otherwise."""
    try:
        yield
    except OSError as error:
        if "database" in where or error.errno != errno.ENOSPC:
            raise
        raise NoSpace("the disk is full", code="disk-full") from error


class CountingDisk(Disk):
    """A disk whose calls are moments of a countdown."""

    def __init__(self, countdown: Countdown) -> None:
        self._countdown = countdown

    def create(self, path: Path) -> int:
        self._countdown.pass_by(f"before {path.name} is created")
        return super().create(path)

    def open_or_create(self, path: Path) -> int:
        self._countdown.pass_by(f"before {path.name} is opened")
        return super().open_or_create(path)

    def write(self, fd: int, data: bytes | memoryview, offset: int) -> None:
        name = Path(os.readlink(f"/proc/self/fd/{fd}")).name
        view = memoryview(data).cast("B")
        self._countdown.pass_by(f"before a write to {name}")
        super().write(fd, view[: len(view) // 2], offset)
        self._countdown.pass_by(f"within a write to {name}")
        super().write(fd, view[len(view) // 2 :], offset + len(view) // 2)

    def sync(self, fd: int) -> None:
        name = Path(os.readlink(f"/proc/self/fd/{fd}")).name
        self._countdown.pass_by(f"before {name} is synced")
        super().sync(fd)
        self.synced(fd)

    def rename(self, source: Path, target: Path) -> None:
        self._countdown.pass_by(f"before {target.name} has its name")
        super().rename(source, target)

    def unlink(self, path: Path) -> None:
        self._countdown.pass_by(f"before {path.name} is unlinked")
        super().unlink(path)

    def synced(self, fd: int) -> None:
        """A file's bytes are durable."""


class ForgetfulDisk(CountingDisk):
    """Knows what a power cut leaves of its files: what was last synced."""

    def __init__(self, countdown: Countdown, folder: Path) -> None:
        super().__init__(countdown)
        self._folder = folder
        self._durable: dict[Path, bytes] = {}
        self._initial = set(folder.rglob("*"))

    def synced(self, fd: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{fd}"))
        self._durable[path] = path.read_bytes()

    def rename(self, source: Path, target: Path) -> None:
        super().rename(source, target)
        if source in self._durable:
            self._durable[target] = self._durable.pop(source)

    def lose_unsynced(self) -> None:
        """Take from all files what was not synced. A name may stay, or be lost with its bytes."""
        for path in sorted(self._folder.rglob("*")):
            if path.is_file() and path not in self._initial and "db" not in path.parts:
                with suppress(FileNotFoundError):
                    path.write_bytes(self._durable.get(path, b""))


class CountingEnvironment(WritableEnvironment):
    """A database whose transactions are moments of a countdown."""

    def __init__(self, path: Path, countdown: Countdown, *, behind: bool = True) -> None:
        super().__init__(path)
        self._countdown = countdown
        self._behind = behind

    @contextmanager
    def write(self) -> Iterator[WriteTables]:
        with super().write() as tables:
            yield tables
            self._countdown.pass_by("before the database's transaction is durable")
        if self._behind:
            self._countdown.pass_by("behind the database's transaction")


Contents = dict[str, dict[int, int]]


@dataclass
class Model:
    """What is committed, and what the session sees: column -> key -> number of its sample."""

    committed: Contents = field(default_factory=dict)
    seen: Contents = field(default_factory=dict)

    def copy(self) -> Model:
        return Model(*({name: dict(keys) for name, keys in side.items()} for side in self.sides))

    @property
    def sides(self) -> tuple[Contents, Contents]:
        return self.committed, self.seen


Step = tuple[Any, ...]


def script(backend: str) -> list[Step]:
    """The load: each step is one request that changes the state."""
    return [
        ("column", "a", backend),
        ("put", "a", 0, 5, 1),
        ("commit",),
        ("put", "a", 3, BATCH_ROWS, 2),
        ("delete", "a", 0, 2),
        ("put", "a", 2_000, 4, 3),
        ("commit",),
        ("column", "b", backend),
        ("put", "b", 0, RUN_ROWS, 4),
        ("put", "a", 0, 3, 2),
        ("commit",),
        ("put", "b", 50, 3, 5),
    ]


def after(model: Model, step: Step) -> Model:
    """The model behind a step."""
    result = model.copy()
    kind, *arguments = step
    if kind == "column":
        result.seen[arguments[0]] = {}
    elif kind == "put":
        column, first, n, seed = arguments
        for key in range(first, first + n):
            result.seen[column][key] = seed * 10_000 + key - first
    elif kind == "delete":
        column, first, n = arguments
        for key in range(first, first + n):
            del result.seen[column][key]
    else:
        result.committed = result.copy().seen
    return result


def samples(seed: int, n: int) -> np.ndarray:
    """Sample i is that of seed * 10,000 + i, whatever n is."""
    return _rows(np.arange(n) + seed * 10_000)


def digests_of(rows: np.ndarray) -> list[bytes]:
    """The content addresses of samples."""
    out = np.empty((len(rows), 32), np.uint8)
    digest_many(sample_key("ndarray", "|u1", (SAMPLE_BYTES,)), rows, SAMPLE_BYTES, out)
    return [row.tobytes() for row in out]


def numbers(rows: np.ndarray) -> list[int]:
    """The numbers of samples, whose every byte is looked at."""
    found = rows[:, :8].copy().view("<u8").reshape(-1)
    assert np.array_equal(_rows(found), rows)
    return found.tolist()


def _rows(found: np.ndarray) -> np.ndarray:
    rows = np.zeros((len(found), SAMPLE_BYTES), np.uint8)
    rows[:, :8] = found.astype("<u8").view(np.uint8).reshape(-1, 8)
    rows[:, 8:] = rows[:, :1] % 7
    return rows


def carry_out(writer: Writer, step: Step, command: bytes) -> None:
    """One request of the load."""
    kind, *arguments = step
    if kind == "column":
        writer.column(arguments[0], shape=(SAMPLE_BYTES,), backend=arguments[1])
    elif kind == "put":
        column, first, n, seed = arguments
        writer.put(column, (range(first, first + n), samples(seed, n)))
    elif kind == "delete":
        column, first, n = arguments
        writer.delete(column, *range(first, first + n))
    else:
        writer.commit(command_id=command)


def command_of(number: int) -> bytes:
    """The id of the commit that is step ``number``."""
    return number.to_bytes(16, "big")


@dataclass
class Life:
    """What was heard of a life of the load: the session, how many steps were answered, the last
    sequence number of an answer, and the names of the moments it passed (if it was not killed)."""

    session: str = ""
    answered: int = 0
    sequence: int = 0
    moments: list[str] = field(default_factory=list)


class Lives:
    """Runs the load in processes forked from one that has imported everything."""

    def __init__(self, module: str = "crash.points") -> None:
        self._server = subprocess.Popen(
            [sys.executable, "-m", module],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def live(self, path: Path, backend: str, number: int, *, power_cut: bool = False) -> Life:
        """A life of the load in the repository at ``path``, killed at the moment ``number``."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        request = {"path": str(path), "backend": backend, "number": number, "power_cut": power_cut}
        self._server.stdin.write(json.dumps(request).encode() + b"\n")
        self._server.stdin.flush()
        life = Life()
        for line in self._server.stdout:
            for name, value in json.loads(line).items():
                if name == "status":
                    assert value == (-signal.SIGKILL if number else 0), value
                    return life
                setattr(life, name, value)
        raise AssertionError("the server of lives ended")

    def close(self) -> None:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.close()
        assert self._server.wait(LIFE_S_MAX) == 0
        self._server.stdout.close()


def serve(live: Callable[..., None]) -> None:
    """Fork one life for each line of standard input."""
    for line in sys.stdin.buffer:
        pid = os.fork()
        if pid == 0:
            signal.alarm(LIFE_S_MAX)
            live(**json.loads(line))
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        tell(status=status)


def tell(**facts: Any) -> None:
    os.write(1, json.dumps(facts).encode() + b"\n")


def counted_disk(path: Path, number: int, *, power_cut: bool) -> tuple[Countdown, CountingDisk]:
    """The disk of a life that is killed at the moment ``number``."""

    def end() -> None:
        if isinstance(disk, ForgetfulDisk):
            # The HDF5 process would go on for a while.
            for child in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
                os.kill(int(child), signal.SIGKILL)
            disk.lose_unsynced()
        os.kill(os.getpid(), signal.SIGKILL)

    countdown = Countdown(number, end)
    disk = ForgetfulDisk(countdown, path) if power_cut else CountingDisk(countdown)
    return countdown, disk


def run(path: str, backend: str, number: int, power_cut: bool) -> None:
    """The load, in a process that is killed at the moment ``number``."""
    session.JOURNAL_BYTES_MAX = JOURNAL_BYTES_MAX
    countdown, disk = counted_disk(Path(path), number, power_cut=power_cut)
    env = CountingEnvironment(Path(path), countdown)
    repository = Repository(env, SystemClock(), disk, BOOT_ID)
    writer = Writer(repository)
    tell(session=writer.session.id)
    for position, step in enumerate(script(backend)):
        carry_out(writer, step, command_of(position))
        tell(answered=position + 1, sequence=writer.sent)
    repository.close()
    tell(moments=countdown.names)


if __name__ == "__main__":
    serve(run)
