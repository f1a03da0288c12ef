"""gc, purge and repair that end at any moment: what is reachable is there, and the next run ends
what was begun."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from crash.maintenance import (
    ERASED,
    Prepared,
    collect,
    damage,
    erased_digests,
    prepare,
)
from crash.points import BOOT_ID, Lives, numbers, samples
from repository.writing import Writer

from hangard.errors import Purged
from hangard.model.directory import directory_of
from hangard.reading.snapshot import RepositoryReader
from hangard.reading.verification import verify
from hangard.repository.repairing import repair
from hangard.repository.repository import Repository

LIVES_MAX = 5  # of the quick run, for each case


@pytest.fixture(scope="module")
def lives() -> Iterator[Lives]:
    opened = Lives("crash.maintenance")
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


def check_contents(path: Path, expected: dict[int, int], *, erased: bool) -> None:
    """Each committed sample is what it was, or (``erased``: some are) cannot be read."""
    with RepositoryReader(path) as reader, reader.checkout("main") as checkout:
        column = checkout["a"]
        assert len(column) == len(expected)
        kept = [key for key in expected if not (erased and key in ERASED)]
        assert numbers(column.get_many(kept)) == [expected[key] for key in kept]
        for key in ERASED if erased else ():
            with pytest.raises(Purged):
                column[key]


def commit_staged(repository: Repository, prepared: Prepared) -> None:
    """What the session had staged is there, and can be committed."""
    writer = Writer(repository, repository.session(prepared.session))
    writer.commit()


def has_erased_bytes(path: Path) -> bool:
    """Whether a file has the raw bytes of an erased sample (not those of a compressed one)."""
    wanted = [samples(1, 4)[3].tobytes(), samples(2, 5)[4].tobytes()]
    return any(
        row in file.read_bytes()
        for row in wanted
        for file in directory_of(path).rglob("*")
        if file.is_file()
    )


def check(path: Path, verb: str, prepared: Prepared, boot_id: bytes) -> None:
    """The repository opens, is sound, and running the verb again ends what was begun."""
    repository = Repository.open(path, boot_id=boot_id)
    found = verify(path)
    assert {finding.kind for finding in found.findings} <= {"unfinished-purge"}, found.findings
    if verb == "gc":
        check_contents(path, prepared.committed, erased=False)
        collect(repository)
        again = repository.upkeep.gc(grace_s=-1, reflog_age_s=-1, full=True, dry_run=True)
        assert (again.commits, again.objects, again.records) == (0, 0, 0)
    else:
        repository.upkeep.purge(erased_digests())
        assert not has_erased_bytes(path)
        check_contents(path, prepared.committed, erased=True)
    assert verify(path).is_sound
    commit_staged(repository, prepared)
    check_contents(path, prepared.committed | prepared.staged, erased=verb == "purge")
    repository.close()
    Repository.open(path, boot_id=boot_id).close()
    found = verify(path)
    assert found.is_sound
    assert found.purged == (len(ERASED) if verb == "purge" else 0)


def check_repaired(path: Path, prepared: Prepared, boot_id: bytes) -> None:
    """Nothing is wrong but what was lost, and that comes back when it is put again."""
    Repository.open(path, boot_id=boot_id).close()
    found = repair(path).after
    assert {finding.kind for finding in found.findings} <= {"missing-sample"}
    repository = Repository.open(path, boot_id=boot_id)
    commit_staged(repository, prepared)
    writer = Writer(repository)
    for seed, n in ((1, 1_100), (2, 10), (3, 1_100), (4, 40), (5, 1_100)):
        writer.put("a", (range(n), samples(seed, n)))
    repository.close_session(writer.session.id, abort=True)
    repository.close()
    check_contents(path, prepared.committed | prepared.staged, erased=False)
    assert verify(path).is_sound


def end_at_moments(folder: Path, lives: Lives, verb: str, backend: str, **options: object) -> None:
    power_cut, every = bool(options.get("power_cut")), bool(options.get("every"))
    template = folder / "template"
    prepared = prepare(template, backend)
    if verb == "repair":
        damage(template)
    shutil.copytree(template, folder / "whole")
    moments = lives.live(folder / "whole", verb, 0).moments
    assert len(moments) > 20
    stride = 1 if every else max(1, len(moments) // LIVES_MAX)
    boot_id = b"another boot" if power_cut else BOOT_ID
    for number in range(1, len(moments) + 1, stride):
        path = folder / f"moment-{number}"
        shutil.copytree(template, path)
        lives.live(path, verb, number, power_cut=power_cut)
        try:
            if verb == "repair":
                check_repaired(path, prepared, boot_id)
            else:
                check(path, verb, prepared, boot_id)
        except BaseException as error:
            error.add_note(f"ended {moments[number - 1]} (moment {number} of {len(moments)})")
            raise
        shutil.rmtree(path)


@pytest.mark.parametrize("power_cut", [False, True])
@pytest.mark.parametrize("backend", ["00", "10"])
@pytest.mark.parametrize("verb", ["gc", "purge", "repair"])
@pytest.mark.timeout(300)
def test_maintenance_may_end_at_any_moment(
    folder: Path, lives: Lives, verb: str, backend: str, power_cut: bool
) -> None:
    end_at_moments(folder, lives, verb, backend, power_cut=power_cut)


@pytest.mark.slow
@pytest.mark.parametrize("power_cut", [False, True])
@pytest.mark.parametrize("backend", ["00", "10"])
@pytest.mark.parametrize("verb", ["gc", "purge", "repair"])
@pytest.mark.timeout(3600)
def test_maintenance_may_end_at_every_moment(
    folder: Path, lives: Lives, verb: str, backend: str, power_cut: bool
) -> None:
    end_at_moments(folder, lives, verb, backend, power_cut=power_cut, every=True)
