"""A repository's index made again, when one of its runs is lost or damaged."""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path

from hangard.backends.disk import Disk
from hangard.db.environment import WritableEnvironment
from hangard.errors import Corrupt
from hangard.index.rebuild import Rebuilt, rebuild
from hangard.limits import MIB
from hangard.model.directory import rows_path
from hangard.reading.runs import open_run

# A file of this name marks that a run was found damaged: the next life makes the index again.
INDEX_DAMAGED = "index-damaged"
# So much is checked in full at every start, in 0.1 s; merges check the runs of larger indexes.
VERIFIED_BYTES_MAX = 256 * MIB

_log = logging.getLogger(__name__)


def rebuild_index(path: str | Path, disk: Disk | None = None) -> Rebuilt:
    """Write the index again from logs and ``.rows`` files; the repository must not be open.

    Errors: NoRepository, Busy (``repository-locked``), NoSpace.
    """
    with WritableEnvironment(path) as env:
        finish_drops(env, disk or Disk())
        return reindex(env, disk or Disk())


def finish_drops(env: WritableEnvironment, disk: Disk) -> None:
    """Remove files that the last life had dropped, but not unlinked yet."""
    with env.read() as tables:
        dropped = tuple(path for path, record in tables.files() if record.state == "dropped")
    if not dropped:
        return
    remove_files(env.directory, disk, dropped)
    with env.write() as tables:
        for path in dropped:
            tables.delete_file(path)


def remove_files(directory: Path, disk: Disk, paths: tuple[str, ...]) -> None:
    """Unlink data files with what lies beside them."""
    for path in paths:
        disk.unlink(directory / path)
        disk.unlink(directory / rows_path(path))


def reindex_if_damaged(env: WritableEnvironment, disk: Disk) -> None:
    """Write the index again if one of its runs cannot be used. Errors: NoSpace."""
    damage = _find_damage(env)
    if not damage:
        return
    _log.error("the index is made again: %s", damage)
    rebuilt = reindex(env, disk)
    for problem in rebuilt.problems:
        _log.error("left out of the index: %s", problem)
    _log.warning("the index was made again: %d entries", rebuilt.entries)


def reindex(env: WritableEnvironment, disk: Disk) -> Rebuilt:
    """Write the index again; until the one transaction that names the new runs, the old one stays.

    Errors: NoSpace.
    """
    with env.read() as tables:
        known = dict(tables.files())
        number = max(
            [tables.counter("next-file"), *(record.number + 1 for record in known.values())]
        )

    def take_number() -> int:
        nonlocal number
        number += 1
        return number - 1

    old = [name for name, record in known.items() if record.kind == "run"]
    rebuilt = rebuild(env.directory, disk, take_number, known)
    with env.write() as tables:
        for name in old:
            tables.delete_file(name)
        for name, record in rebuilt.runs.items():
            tables.put_file(name, record)
        tables.clear_specs()
        tables.put_counter("next-file", number)
    for name in [*old, INDEX_DAMAGED]:
        disk.unlink(env.directory / name)
    return rebuilt


def mark_damaged(directory: Path) -> None:
    """Let the next life make the index again."""
    with suppress(OSError):
        (directory / INDEX_DAMAGED).touch()


def _find_damage(env: WritableEnvironment) -> str:
    """What is wrong with the runs that the database names; empty if nothing is."""
    if (env.directory / INDEX_DAMAGED).exists():
        return "one of its runs was found damaged"
    with env.read() as tables:
        names = [name for name, record in tables.files() if record.kind == "run"]
    left_bytes = VERIFIED_BYTES_MAX
    for name in names:
        try:
            run = open_run(env.directory / name).run
            if run.nbytes <= left_bytes:
                left_bytes -= run.nbytes
                run.verify()
        except FileNotFoundError:
            return f"{name} is missing"
        except (ValueError, Corrupt) as error:
            return f"{name} is damaged: {error}"
    return ""
