"""Files against what the database says of them: there, long enough, and whole.

Beside a writer files come and go between two looks, so whatever seems wrong is looked at again with
the database's list of that moment.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from hangard_ext.recordspec import unpack_many

from hangard.encoding.log import HEADER_BYTES as LOG_HEADER_BYTES
from hangard.encoding.log import next_record, scan_log
from hangard.encoding.rows import HEADER_BYTES as ROWS_HEADER_BYTES
from hangard.encoding.rows import next_rows_record, scan_rows
from hangard.errors import Corrupt
from hangard.model.directory import LOG, RUNS, SEGMENTS, rows_path
from hangard.model.files import FileRecord
from hangard.model.findings import Finding
from hangard.reading.environment import Environment
from hangard.reading.reachable import Reads
from hangard.reading.runs import open_run
from hangard.reading.tables import Bytes

RUN_ENTRIES = 262_144  # read at once
STRAYS = ((LOG, ".log"), (RUNS, ".run"), *((SEGMENTS, end) for end in (".h5", ".npy", ".pack")))

Report = Callable[[Finding], None]


def listed_files(env: Reads) -> dict[str, FileRecord]:
    """The files that the database names now, without those that are about to go."""
    with env.read() as tables:
        return {path: record for path, record in tables.files() if record.state != "dropped"}


def check_files(
    env: Environment, directory: Path, report: Report, *, quick: bool
) -> Iterator[tuple[int, int]]:
    """Check all files; after each how many are done, and how many there are."""
    files = listed_files(env)
    total = len(files)
    for done, (path, record) in enumerate(sorted(files.items()), 1):
        found = list(_check_file(directory, path, record, quick=quick))
        if found and path in listed_files(env):
            for finding in found:
                report(finding)
        yield done, total
    _check_strays(env, directory, report)
    _check_entries(env, directory, report)


def _check_file(
    directory: Path, path: str, record: FileRecord, *, quick: bool
) -> Iterator[Finding]:
    file = directory / path
    try:
        length = file.stat().st_size
    except FileNotFoundError:
        kind = "missing-run" if record.kind == "run" else "missing-file"
        yield Finding(kind, path)
        return
    if record.kind == "run":
        try:
            open_run(file).run.verify()
        except (Corrupt, ValueError) as error:
            yield Finding("damaged-run", path, "", str(error))
        return
    if length < record.length_bytes:
        yield Finding("short-file", path, "", f"{length} of {record.length_bytes} bytes are left")
    if record.kind == "log":
        if not quick:
            yield from _check_log(file, path, record)
    else:
        yield from _check_rows(Path(rows_path(str(file))), rows_path(path), record)


def _check_log(file: Path, path: str, record: FileRecord) -> Iterator[Finding]:
    if not record.indexed_bytes:
        return
    with (
        file.open("rb") as opened,
        mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
        memoryview(mapped) as whole,
        whole[: record.indexed_bytes] as view,
    ):
        position = LOG_HEADER_BYTES
        while position < len(view):
            try:
                end = scan_log(view, position).end_bytes
                position = next_record(view, end)
            except Corrupt as error:
                yield Finding("damaged-log", path, "", str(error))
                return
            if end < record.indexed_bytes:
                yield Finding("damaged-log", path, f"bytes {end} to {position}")


def _check_rows(file: Path, path: str, record: FileRecord) -> Iterator[Finding]:
    if not record.indexed_bytes:
        return
    try:
        content = file.read_bytes()[: record.indexed_bytes]
    except FileNotFoundError:
        yield Finding("damaged-rows", path, "", "it is missing")
        return
    if len(content) < record.indexed_bytes:
        yield Finding(
            "damaged-rows", path, "", f"{len(content)} of {record.indexed_bytes} bytes are left"
        )
    position = ROWS_HEADER_BYTES
    while position < len(content):
        try:
            end = scan_rows(content, position)[2]
        except Corrupt as error:
            yield Finding("damaged-rows", path, "", str(error))
            return
        position = next_rows_record(content, end)
        if end < len(content):
            yield Finding("damaged-rows", path, f"bytes {end} to {position}")


def _check_strays(env: Environment, directory: Path, report: Report) -> None:
    """Files that nothing names, and that no daemon is about to name: their number is too low."""
    strays = _strays(env, directory)
    if strays:
        for path in strays & _strays(env, directory):
            report(Finding("stray-file", path, "", "the database does not name it"))


def _strays(env: Environment, directory: Path) -> set[str]:
    with env.read() as tables:
        listed = {path for path, _ in tables.files()}
        next_number = tables.counter("next-file")
    present = set()
    for folder, suffix in STRAYS:
        for file in (directory / folder).rglob(f"*{suffix}"):
            try:
                number = int(file.stem, 16)
            except ValueError:
                continue
            if number < next_number:
                present.add(file.relative_to(directory).as_posix())
    return present - listed


def _check_entries(env: Environment, directory: Path, report: Report) -> None:
    """Entries of the index that name files which are not there."""
    suspects: dict[int, int] = {}
    for specs in _index_specs(env, directory):
        numbers, counts = np.unique(unpack_many(specs)["segment"], return_counts=True)
        known = {record.number for record in listed_files(env).values()}
        for number, count in zip(numbers.tolist(), counts.tolist(), strict=True):
            if number not in known:
                suspects[number] = suspects.get(number, 0) + count
    if not suspects:
        return
    # Runs that were merged away, or written without what gc dropped, named them a moment ago.
    counts_now: dict[int, int] = {}
    for specs in _index_specs(env, directory):
        numbers = unpack_many(specs)["segment"]
        for number in suspects:
            counts_now[number] = counts_now.get(number, 0) + int((numbers == number).sum())
    known = {record.number for record in listed_files(env).values()}
    for number, count in counts_now.items():
        if count and number not in known:
            report(
                Finding(
                    "dangling-entries",
                    f"file number {number:08x}",
                    "index",
                    f"{count} entries name it, and it is not there",
                )
            )


def _index_specs(env: Environment, directory: Path) -> Iterator[Bytes]:
    """All specs of the index, in blocks (n, 32); runs that are damaged are reported elsewhere."""
    with env.read() as tables:
        runs = [path for path, record in tables.files(f"{RUNS}/") if record.state != "dropped"]
        entries = tables.index_entries()[1]
    if len(entries):
        yield entries
    for path in runs:
        try:
            run = open_run(directory / path).run
        except (FileNotFoundError, Corrupt):
            continue
        for begin in range(0, len(run), RUN_ENTRIES):
            yield run.items(begin, RUN_ENTRIES)[1]
