"""A repository's index made again, when one of its runs is lost or damaged."""

from __future__ import annotations

from pathlib import Path

from hangard.backends.disk import Disk
from hangard.db.environment import WritableEnvironment
from hangard.index.rebuild import Rebuilt, rebuild


def rebuild_index(path: str | Path, disk: Disk | None = None) -> Rebuilt:
    """Write the index again from logs and ``.rows`` files; the repository must not be open.

    Until the one transaction that names the new runs, the old index stays as it is.
    Errors: NoRepository, Busy (``repository-locked``), NoSpace, Corrupt.
    """
    disk = disk or Disk()
    with WritableEnvironment(path) as env:
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
        for name in old:
            disk.unlink(env.directory / name)
    return rebuilt
