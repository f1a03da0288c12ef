"""The processes of the kill tests: writers, their daemon, its HDF5 process."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from crash.model import Note, Told, read_notes

WAIT_S_MAX = 40.0
TESTS = Path(__file__).parent.parent


def environment() -> dict[str, str]:
    """So that children import what this process does."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *filter(None, sys.path)])}


class Writer:
    """A writer of the load, and what its notes have told so far."""

    def __init__(self, repository: Path, folder: Path, number: int, seed: int) -> None:
        self.number = number
        self.told = Told()
        self._repository = repository
        self._notes = folder / f"writer-{number}.notes"
        self._errors = folder / f"writer-{number}.errors"
        self._seed = seed
        self._heard_bytes = 0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, promise: str) -> None:
        self._seed += 1000
        with self._errors.open("ab") as errors:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "crash.load", str(self._repository), str(self._notes)),
                    *(str(self.number), str(self._seed), promise),
                ],
                env=environment(),
                stderr=errors,
            )

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """Let it commit and close its session."""
        assert self._process is not None
        self._process.terminate()
        assert self._process.wait(WAIT_S_MAX) == 0, self._errors.read_text()

    def hear(self) -> list[Note]:
        """New notes, not yet taken in."""
        notes, self._heard_bytes = read_notes(self._notes, self._heard_bytes)
        return notes

    @property
    def notes_bytes(self) -> int:
        return read_notes(self._notes, self._heard_bytes)[1]

    def committed_since(self, start: int) -> bool:
        """Whether a commit was answered that was asked for behind byte ``start`` of the notes."""
        kinds = [note[0] for note in read_notes(self._notes, start)[0]]
        asked = kinds.index("committing") if "committing" in kinds else len(kinds)
        return "committed" in kinds[asked:]

    def check_alive(self) -> None:
        assert self._process is not None
        assert self._process.poll() is None, self._errors.read_text()


def daemon_pid(repository: Path) -> int | None:
    """The daemon that holds the repository's lock, be it still starting."""
    with suppress(OSError, ValueError):
        pid = int((repository / ".hangard" / "lock").read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        if b"hangard.daemon" in command and os.fsencode(repository) in command:
            return pid
    return None


def hdf5_pid(repository: Path) -> int | None:
    """The HDF5 process of the repository's daemon."""
    daemon = daemon_pid(repository)
    for task in Path(f"/proc/{daemon}/task").glob("*/children"):
        with suppress(OSError):
            for child in task.read_text().split():
                if b"hangard.backends.hdf5_process" in Path(f"/proc/{child}/cmdline").read_bytes():
                    return int(child)
    return None


def kill(pid: int | None) -> bool:
    """Kill -9; whether there was such a process."""
    with suppress(ProcessLookupError):
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
            return True
    return False


def wait_for_commits(writers: list[Writer]) -> None:
    """Return when each writer was answered a commit that it asks for from now on."""
    starts = [writer.notes_bytes for writer in writers]
    deadline = time.monotonic() + WAIT_S_MAX
    for writer, start in zip(writers, starts, strict=True):
        while not writer.committed_since(start):
            writer.check_alive()
            assert time.monotonic() < deadline, f"writer {writer.number} does not get on"
            time.sleep(0.02)


def pause(chance: random.Random, longest_s: float) -> None:
    time.sleep(chance.random() * longest_s)
