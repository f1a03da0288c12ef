"""After a crash at any moment the state is that just before the request under way, or just after;
after a full disk at any moment the same request works again."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from crash.points import (
    BOOT_ID,
    JOURNAL_BYTES_MAX,
    KEYS_MAX,
    Contents,
    Countdown,
    CountingDisk,
    CountingEnvironment,
    Life,
    Lives,
    Model,
    after,
    carry_out,
    command_of,
    numbers,
    script,
)
from repository.writing import Writer, read_commit

from hangard.errors import Closed, Corrupt, NoSpace
from hangard.model.keys import encode_keys
from hangard.reading.snapshot import RepositoryReader
from hangard.repository.clock import SystemClock
from hangard.repository.repository import Repository
from hangard.repository.session import Session
from hangard.repository.staging import DELETED, STAGED

# Of how many moments the quick run takes one: a life with HDF5 costs a process more.
STRIDES = {"10": 1, "00": 8}
COMMIT = ("commit",)
SYNC = "is synced"


@pytest.fixture(scope="module")
def lives() -> Iterator[Lives]:
    opened = Lives()
    yield opened
    opened.close()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A place in memory if there is one: thousands of fsyncs need not wait for a disk."""
    memory = Path("/dev/shm")
    parent = memory if os.access(memory, os.W_OK) else tmp_path
    place = Path(tempfile.mkdtemp(prefix="hangard-crash-", dir=parent))
    yield place
    shutil.rmtree(place)


@pytest.fixture
def template(folder: Path) -> Path:
    path = folder / "template"
    Repository.create(path)
    return path


def committed(repository: Repository) -> Contents:
    """What the branch's head holds; each sample is read and looked at."""
    with RepositoryReader(repository.path) as reader:
        head = reader.branch("main")
    found = read_commit(repository, head) if head is not None else {}
    return {
        name: dict(zip(samples, numbers(np.stack(list(samples.values()))), strict=True))
        for name, samples in found.items()
    }


def seen(repository: Repository, session: Session) -> Contents:
    """What a session sees: its base with its staged changes."""
    base = read_commit(repository, session.base) if session.base is not None else {}
    result: Contents = {}
    keys = range(KEYS_MAX)
    blob, ends = encode_keys(keys)
    with RepositoryReader(repository.path) as reader:
        for name, schema in session.columns().items():
            rows = dict(base.get(name, {}))
            states, digests, specs = repository.find_staged(session.id, name, blob, ends)
            staged = np.flatnonzero(states == STAGED)
            out = np.empty((len(staged), schema.sample_bytes), np.uint8)
            reader.samples.read_specs(digests[staged], specs[staged], schema.sample_bytes, out)
            rows |= {keys[i]: row for i, row in zip(staged, out, strict=True)}
            for i in np.flatnonzero(states == DELETED):
                rows.pop(keys[i], None)
            values = numbers(np.stack(list(rows.values()))) if rows else []
            result[name] = dict(zip(rows, values, strict=True))
    return result


def models(backend: str) -> list[Model]:
    """The state before the first step, and after each."""
    result = [Model()]
    for step in script(backend):
        result.append(after(result[-1], step))
    return result


def go_on(repository: Repository, session: Session, backend: str, done: int) -> None:
    """Carry out the steps that are left, and compare with the model."""
    writer = Writer(repository, session)
    steps = script(backend)
    for position in range(done, len(steps)):
        carry_out(writer, steps[position], command_of(position))
    assert seen(repository, session) == models(backend)[-1].seen
    assert committed(repository) == models(backend)[-1].committed


def check_after_kill(path: Path, backend: str, life: Life) -> None:
    """Staged and committed state are those of a moment between the last answer and the next."""
    allowed = models(backend)[life.answered : life.answered + 2]
    repository = Repository.open(path, boot_id=BOOT_ID)
    found = committed(repository)
    if not life.session:
        assert found == {}
        repository.close()
        return
    session = repository.session(life.session)
    state = Model(found, seen(repository, session))
    assert state in allowed
    done = life.answered + allowed.index(state)
    steps = script(backend)
    if steps[life.answered :][:1] == [COMMIT]:
        # The answer may have been lost: who asks again gets it, and there is one commit.
        carry_out(Writer(repository, session), COMMIT, command_of(life.answered))
        assert committed(repository) == allowed[1].committed
        done = life.answered + 1
    with RepositoryReader(path) as reader:
        head = reader.branch("main")
        history = [] if head is None else list(reader.log(head))
    assert len(history) == steps[:done].count(COMMIT)
    go_on(repository, session, backend, done)
    repository.close()


def check_after_power_cut(path: Path, backend: str, life: Life) -> None:
    """What was committed is there; what was only staged is there as a whole, or refused."""
    states = models(backend)
    repository = Repository.open(path, boot_id=b"another boot")
    found = committed(repository)
    assert found in [model.committed for model in states[life.answered : life.answered + 2]]
    if life.session:
        session = repository.session(life.session)
        state = Model(found, seen(repository, session))
        assert state in states[: life.answered + 2]
        if state in states[: life.answered]:
            with pytest.raises(Closed, match="lost the changes"):
                session.check_contains(life.sequence)
        else:
            session.check_contains(life.sequence)
        done = max(position for position, model in enumerate(states) if model == state)
        go_on(repository, session, backend, done)
    repository.close()


def end_at_every_moment(
    folder: Path, template: Path, lives: Lives, backend: str, *, power_cut: bool, stride: int
) -> None:
    shutil.copytree(template, folder / "whole")
    moments = lives.live(folder / "whole", backend, 0).moments
    assert len(moments) > 80
    for number in range(1, len(moments) + 1, stride):
        path = folder / f"moment-{number}"
        shutil.copytree(template, path)
        life = lives.live(path, backend, number, power_cut=power_cut)
        try:
            if power_cut:
                check_after_power_cut(path, backend, life)
            else:
                check_after_kill(path, backend, life)
        except BaseException as error:
            error.add_note(f"ended {moments[number - 1]} (moment {number}), {life}")
            raise
        shutil.rmtree(path)


@pytest.mark.parametrize("backend", ["00", "10"])
@pytest.mark.timeout(300)
def test_a_kill_leaves_the_state_before_a_request_or_behind_it(
    folder: Path, template: Path, lives: Lives, backend: str
) -> None:
    end_at_every_moment(folder, template, lives, backend, power_cut=False, stride=STRIDES[backend])


@pytest.mark.parametrize("backend", ["00", "10"])
@pytest.mark.timeout(300)
def test_a_power_cut_takes_no_commit_and_nothing_silently(
    folder: Path, template: Path, lives: Lives, backend: str
) -> None:
    end_at_every_moment(
        folder, template, lives, backend, power_cut=True, stride=4 * STRIDES[backend]
    )


@pytest.mark.slow
@pytest.mark.parametrize("power_cut", [False, True])
@pytest.mark.parametrize("backend", ["00", "10"])
@pytest.mark.timeout(1800)
def test_a_crash_at_every_moment(
    folder: Path, template: Path, lives: Lives, backend: str, power_cut: bool
) -> None:
    end_at_every_moment(folder, template, lives, backend, power_cut=power_cut, stride=1)


class Troubled:
    """A repository whose disk fails once, at the moment (of a kind) with the given number."""

    def __init__(self, path: Path, number: int, error: Exception, kind: str = "") -> None:
        def end() -> None:
            raise error

        self.countdown = Countdown(number, end, kind)
        environment = CountingEnvironment(path, self.countdown, behind=False)
        disk = CountingDisk(self.countdown)
        self.repository = Repository(environment, SystemClock(), disk, BOOT_ID)


@pytest.fixture
def small_journals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hangard.repository.session.JOURNAL_BYTES_MAX", JOURNAL_BYTES_MAX)


def run_troubled(path: Path, backend: str, number: int) -> list[str]:
    """The load over a disk that is full once; what fails is asked for again."""
    troubled = Troubled(path, number, OSError(errno.ENOSPC, "No space left on device"))
    repository, failures = troubled.repository, 0
    while True:
        try:
            writer = Writer(repository)
            break
        except NoSpace:
            failures += 1
    steps = script(backend)
    for position, step in enumerate(steps):
        while True:
            try:
                carry_out(writer, step, command_of(position))
                break
            except NoSpace:
                failures += 1
                assert committed(repository) == models(backend)[position].committed
    assert failures <= 1
    assert seen(repository, writer.session) == models(backend)[-1].seen
    assert committed(repository) == models(backend)[-1].committed
    repository.close()
    again = Repository.open(path, boot_id=BOOT_ID)
    go_on(again, again.session(writer.session.id), backend, len(steps))
    again.close()
    return troubled.countdown.names


@pytest.mark.usefixtures("small_journals")
@pytest.mark.parametrize("backend", ["00", "10"])
@pytest.mark.timeout(300)
def test_a_full_disk_at_any_moment_costs_nothing(
    folder: Path, template: Path, backend: str
) -> None:
    shutil.copytree(template, folder / "whole")
    moments = run_troubled(folder / "whole", backend, 0)
    for number in range(2, len(moments) + 1, 2 * STRIDES[backend]):
        path = folder / f"moment-{number}"
        shutil.copytree(template, path)
        try:
            run_troubled(path, backend, number)
        except BaseException as error:
            error.add_note(f"the disk was full {moments[number - 1]} (moment {number})")
            raise
        shutil.rmtree(path)


def is_refused(call: Callable[[], object]) -> bool:
    """Whether a call is refused because of a failed fsync."""
    try:
        call()
    except Corrupt as error:
        return error.code == "sync-failed"
    return False


def run_unsynced(path: Path, number: int) -> None:
    """The load until an fsync fails; then nothing is accepted before the repository is opened
    again, and what was committed is there."""
    error = Corrupt("fsync failed", code="sync-failed")
    repository = Troubled(path, number, error, SYNC).repository
    writer = Writer(repository)
    steps = script("10")
    answered = 0
    while answered < len(steps):
        if is_refused(partial(carry_out, writer, steps[answered], command_of(answered))):
            put = partial(writer.put, "a", (range(9), np.ones((9, 256), np.uint8)))
            assert is_refused(put)
            assert is_refused(writer.commit)
            break
        answered += 1
    assert is_refused(repository.close)
    again = Repository.open(path, boot_id=BOOT_ID)
    states = models("10")
    state = Model(committed(again), seen(again, again.session(writer.session.id)))
    assert state.committed == states[answered].committed
    done = max(position for position, model in enumerate(states) if model == state)
    assert done <= answered
    go_on(again, again.session(writer.session.id), "10", done)
    again.close()


@pytest.mark.usefixtures("small_journals")
def test_after_a_failed_fsync_nothing_is_accepted_until_the_next_start(
    folder: Path, template: Path
) -> None:
    shutil.copytree(template, folder / "whole")
    moments = run_troubled(folder / "whole", "10", 0)
    syncs = [name for name in moments if name.endswith(SYNC)]
    assert len(syncs) > 5
    for number in range(1, len(syncs) + 1):
        path = folder / f"moment-{number}"
        shutil.copytree(template, path)
        try:
            run_unsynced(path, number)
        except BaseException as error:
            error.add_note(f"failed {syncs[number - 1]} (sync {number})")
            raise
