"""Crashes of maintenance at named points: gc, purge or repair, ended at the N-th moment.

The repository holds what keeps them busy: a branch that was deleted, samples that only it had, in
files with others, a session with staged changes, samples to erase, and (for repair) damage.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from crash.points import (
    BOOT_ID,
    SAMPLE_BYTES,
    CountingEnvironment,
    counted_disk,
    digests_of,
    samples,
    serve,
    tell,
)
from repository.writing import Writer

from hangard.model.directory import directory_of
from hangard.repository.clock import SystemClock
from hangard.repository.repairing import repair
from hangard.repository.repository import Repository

BATCH_ROWS = 1_100  # above LOG_ROWS_BYTES_MAX
ERASED = (3, 2_004)  # keys of column a: in a segment, and in the log


@dataclass(frozen=True)
class Prepared:
    """What a repository holds: samples by key of the branch, and those staged in a session."""

    session: str
    committed: dict[int, int]
    staged: dict[int, int]


def prepare(path: Path, backend: str) -> Prepared:
    """Fill a new repository; closed."""
    Repository.create(path)
    repository = Repository.open(path, boot_id=BOOT_ID)
    writer = Writer(repository)
    writer.column("a", shape=(SAMPLE_BYTES,), backend=backend)
    writer.put("a", (range(BATCH_ROWS), samples(1, BATCH_ROWS)))
    writer.put("a", (range(2_000, 2_010), samples(2, 10)))
    head = writer.commit().digest
    repository.create_branch("side", head)
    side = Writer(repository, branch="side")
    side.put("a", (range(5_000, 5_000 + BATCH_ROWS), samples(3, BATCH_ROWS)))
    side.put("a", (range(7_000, 7_040), samples(4, 40)))
    side.commit()
    repository.close_session(side.session.id, abort=True)
    # Most of what this batch stored is staged by nobody any more.
    writer.put("a", (range(3_000, 3_000 + BATCH_ROWS), samples(5, BATCH_ROWS)))
    writer.delete("a", *range(3_100, 3_000 + BATCH_ROWS))
    repository.delete_branch("side", force=True)
    repository.close()
    committed = {key: 10_000 + key for key in range(BATCH_ROWS)}
    committed |= {2_000 + i: 20_000 + i for i in range(10)}
    staged = {3_000 + i: 50_000 + i for i in range(100)}
    return Prepared(writer.session.id, committed, staged)


def damage(path: Path) -> None:
    """A bit of the first segment, another of its list of rows."""
    segment = min(
        file
        for file in (directory_of(path) / "segments").rglob("*")
        if file.suffix in (".h5", ".npy")
    )
    for file, part in ((segment, 0.6), (segment.with_name(segment.name + ".rows"), 0.5)):
        content = bytearray(file.read_bytes())
        content[int(len(content) * part)] ^= 16
        file.write_bytes(content)


def erased_digests() -> list[bytes]:
    """The digests of the samples under ERASED."""
    return digests_of(np.concatenate([samples(1, 4)[3:], samples(2, 5)[4:]]))


def collect(repository: Repository) -> None:
    """gc without grace."""
    repository.upkeep.gc(grace_s=-1, reflog_age_s=-1, full=True)


def run(path: str, backend: str, number: int, power_cut: bool) -> None:
    """One piece of maintenance, named by ``backend``, that is killed at the moment ``number``."""
    countdown, disk = counted_disk(Path(path), number, power_cut=power_cut)

    def opened(place: str | Path) -> Repository:
        env = CountingEnvironment(Path(place), countdown)
        return Repository(env, SystemClock(), disk, BOOT_ID)

    if backend == "repair":
        repair(path, open_repository=opened)
    else:
        repository = opened(path)
        if backend == "gc":
            collect(repository)
        else:
            repository.upkeep.purge(erased_digests())
        repository.close()
    tell(moments=countdown.names)


if __name__ == "__main__":
    serve(run)
