"""The whole index again, from what lies beside and in the data: ``.rows`` files and logs.

For an index whose runs or database entries are lost or damaged. Nothing else may write meanwhile.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hangard_ext.recordspec import unpack_many
from hangard_ext.table import Table

from hangard.encoding.log import HEADER_BYTES as LOG_HEADER_BYTES
from hangard.encoding.log import next_record, scan_log
from hangard.encoding.rows import HEADER_BYTES as ROWS_HEADER_BYTES
from hangard.encoding.rows import next_rows_record, scan_rows
from hangard.errors import Corrupt
from hangard.index.runfiles import Bytes, RunDisk, run_pieces, write_run_file
from hangard.limits import INDEX_FRESH_ENTRIES_MAX
from hangard.model.directory import LOG, SEGMENTS, rows_path, run_path
from hangard.model.files import FileRecord


@dataclass(slots=True)
class Rebuilt:
    """New runs by their paths, to be named in place of all others, and what could not be read."""

    runs: dict[str, FileRecord] = field(default_factory=dict)
    entries: int = 0
    problems: list[str] = field(default_factory=list)


def rebuild(
    directory: Path,
    disk: RunDisk,
    take_number: Callable[[], int],
    known: Mapping[str, FileRecord] | None = None,
) -> Rebuilt:
    """Write runs of every entry found below ``directory`` (``PATH/.hangard``); all are durable.

    ``known`` are LMDB's records of the files, if it still has them: then only these files are read,
    and only as far as they were indexed; recovery reads the rest. Of a digest that is stored twice
    the place in the file with the higher number counts. Damage is passed over and told; so are
    entries that point behind the end of their file. Errors: NoSpace.
    """
    rebuilt = Rebuilt()
    table = Table()

    def write() -> None:
        digests, specs = table.items()
        number = take_number()
        path = run_path(number)
        pieces = run_pieces(number, digests, specs)
        length = write_run_file(disk, directory / path, pieces, len(digests))
        rebuilt.runs[path] = FileRecord(
            "run", number, "sealed", length_bytes=length, entries=len(digests)
        )
        rebuilt.entries += len(digests)
        table.clear()

    for digests, specs in stored_entries(directory, known, rebuilt.problems):
        table.add_many(digests, specs)
        if len(table) >= INDEX_FRESH_ENTRIES_MAX:
            write()
    if len(table):
        write()
    return rebuilt


def stored_entries(
    directory: Path, known: Mapping[str, FileRecord] | None, problems: list[str]
) -> Iterator[tuple[Bytes, Bytes]]:
    """Digests (n, 32) and specs (n, 32) of every file, in the order of the files' numbers."""
    logs = [(file.stem, file) for file in (directory / LOG).glob("*.log")]
    segments = [
        (file.stem, file) for file in (directory / SEGMENTS).glob("*/*") if file.suffix != ".rows"
    ]
    for _, data in sorted(logs + segments):
        name = data.relative_to(directory).as_posix()
        valid = None
        if known is not None:
            if name not in known:
                continue
            valid = known[name].indexed_bytes
        try:
            length = data.stat().st_size
            if data.suffix == ".log":
                batches = _log_entries(data, name, valid, problems)
            else:
                batches = _rows_entries(Path(rows_path(str(data))), name, valid, problems)
            for digests, specs in batches:
                fields = unpack_many(specs)
                inside = fields["offset"] + fields["stored_length"] <= length
                if not inside.all():
                    problems.append(f"{name}: {(~inside).sum()} entries point behind its end")
                yield digests[inside], specs[inside]
        except (Corrupt, FileNotFoundError) as error:
            problems.append(f"{name}: {error}")


def _log_entries(
    path: Path, name: str, valid: int | None, problems: list[str]
) -> Iterator[tuple[Bytes, Bytes]]:
    if path.stat().st_size < LOG_HEADER_BYTES:
        return
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
        memoryview(mapped) as whole,
        whole[:valid] as view,
    ):
        position = LOG_HEADER_BYTES
        while True:
            records = scan_log(view, position)
            if len(records.digests):
                yield records.digests, records.specs
            position = next_record(view, records.end_bytes)
            if position >= len(view):
                return
            problems.append(f"{name}: damaged from {records.end_bytes} to {position}")


def _rows_entries(
    path: Path, name: str, valid: int | None, problems: list[str]
) -> Iterator[tuple[Bytes, Bytes]]:
    content = path.read_bytes()[:valid]
    position = ROWS_HEADER_BYTES
    while True:
        digests, specs, end = scan_rows(content, position)
        if len(digests):
            yield digests, specs
        position = next_rows_record(content, end)
        if position >= len(content):
            return
        problems.append(f"{name}.rows: damaged from {end} to {position}")
