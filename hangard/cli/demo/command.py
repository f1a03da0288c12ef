"""``hangard demo``: the whole path in one command, from four writers to a checked read."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import click
import hangard_client
from rich.console import Console
from rich.table import Table

from hangard.cli.demo.author import AUTHOR_EMAIL, AUTHOR_NAME
from hangard.cli.demo.bars import Bars
from hangard.cli.demo.messages import Finished
from hangard.cli.demo.processes import Workers
from hangard.cli.demo.source import SourceColumn, load_columns, save_columns
from hangard.cli.output import human_bytes, print_json
from hangard.errors import Corrupt

WRITERS = 4
BRANCH = "main"
WRITER_MODULE = "hangard.cli.demo.writer"
READER_MODULE = "hangard.cli.demo.reader"
# Files that hold samples and tree nodes; LMDB's one file is as large as its map says.
SAMPLE_FOLDERS = ("log", "segments")


@dataclass(frozen=True)
class Outcome:
    """What one run of the demo did. Sizes in bytes, times in seconds."""

    run: int
    commit: str
    commits: int
    rebased: int
    history: int
    samples: int
    sample_bytes: int
    stored_samples: int
    disk_bytes: int
    write_seconds: float
    read_samples: int
    read_bytes: int
    read_seconds: float


@click.command("demo")
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    help="Use this folder and leave the repository there; a further run continues its history.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the numbers as JSON.")
def command(keep: Path | None, as_json: bool) -> None:
    """Write real images from four processes at once, then read them all back.

    A daemon is started on a new repository. Each writer has its own session on the same branch;
    a separate process then opens the last commit and compares every sample with its source.
    """
    console = Console(stderr=as_json, highlight=False)
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        outcome = run(keep.resolve(), console)
    else:
        with tempfile.TemporaryDirectory(prefix="hangard-demo-") as place:
            outcome = run(Path(place), console)
    if as_json:
        print_json(outcome)
        return
    console.print(table(outcome))
    if keep is not None:
        console.print(f"The repository is in {keep}. Look around: hangard -C {keep} log --oneline")


def run(path: Path, console: Console) -> Outcome:
    """One run in the repository at ``path``, which is created if there is none."""
    columns = load_columns()
    with hangard_client.open(
        path, create=True, user_name=AUTHOR_NAME, user_email=AUTHOR_EMAIL
    ) as repo:
        try:
            return write_and_read(repo, columns, console)
        finally:
            repo.stop()


def write_and_read(
    repo: hangard_client.Repository, columns: list[SourceColumn], console: Console
) -> Outcome:
    """The run itself, while its daemon lives."""
    path = repo.path
    number = prepare(repo, columns)
    console.print(f"Run {number} in {path}: {WRITERS} writer processes, one branch.")
    disk_before = disk_bytes(path)
    stored_before = repo.status()["counts"]["stored_samples"]
    written, bars = write(path, number, columns, console)
    disk_after = disk_bytes(path)
    stored_after = repo.status()["counts"]["stored_samples"]
    history = repo.log(BRANCH)
    read = read_back(path, history[0].digest.hex(), number, columns, console)
    return Outcome(
        run=number,
        commit=history[0].digest.hex(),
        commits=bars.commits,
        rebased=bars.rebased,
        history=len(history),
        samples=sum(done.samples for done in written),
        sample_bytes=sum(done.sample_bytes for done in written),
        stored_samples=stored_after - stored_before,
        disk_bytes=disk_after - disk_before,
        write_seconds=max(done.seconds for done in written),
        read_samples=read.samples,
        read_bytes=read.sample_bytes,
        read_seconds=read.seconds,
    )


def prepare(repo: hangard_client.Repository, columns: list[SourceColumn]) -> int:
    """Make the columns, in a commit of their own, if they are not there; the number of this run."""
    with repo.checkout(BRANCH, write=True) as co:
        missing = [column for column in columns if column.name not in co]
        for column in missing:
            co.add_ndarray_column(
                column.name,
                shape=column.sample_shape,
                dtype=column.rows.dtype,
                backend=column.backend,
            )
        if missing:
            co.commit("columns of the demo", metadata={"demo-run": "0"})
    runs = [int(entry.metadata.get("demo-run", 0)) for entry in repo.log(BRANCH)]
    return max(runs) + 1


def write(
    path: Path, run_number: int, columns: list[SourceColumn], console: Console
) -> tuple[list[Finished], Bars]:
    """Let all writers run at once."""
    totals = [
        sum(len(column.part(writer, WRITERS).rows) for column in columns)
        for writer in range(WRITERS)
    ]
    names = [f"writer {writer + 1}" for writer in range(WRITERS)]
    with tempfile.TemporaryDirectory(prefix="hangard-demo-images-") as images:
        save_columns(columns, Path(images))
        commands = [
            [WRITER_MODULE, str(path), images, str(run_number), str(writer), str(WRITERS)]
            for writer in range(WRITERS)
        ]
        with Bars(console, "all", names, totals) as bars, Workers(commands) as workers:
            return workers.run(bars.heard), bars


def read_back(
    path: Path, commit: str, run_number: int, columns: list[SourceColumn], console: Console
) -> Finished:
    """Let another process read everything and compare it.

    Errors: Corrupt (``demo-samples-differ``).
    """
    command = [READER_MODULE, str(path), commit, str(run_number)]
    total = run_number * sum(len(column.rows) for column in columns)
    with Bars(console, "read back", ["reader"], [total]) as bars, Workers([command]) as workers:
        (finished,) = workers.run(bars.heard)
    if finished.wrong:
        raise Corrupt(
            f"{len(finished.wrong)} samples differ: {', '.join(finished.wrong)}",
            code="demo-samples-differ",
        )
    return finished


def disk_bytes(path: Path) -> int:
    """Length of all files that hold samples and the tree over them."""
    folders = [path / ".hangard" / name for name in SAMPLE_FOLDERS]
    return sum(
        file.stat().st_size for folder in folders for file in folder.rglob("*") if file.is_file()
    )


def table(outcome: Outcome) -> Table:
    """What a run did, for people."""
    repeated = outcome.samples - outcome.stored_samples
    write_speed = outcome.samples / outcome.write_seconds
    read_speed = outcome.read_samples / outcome.read_seconds
    rows = [
        ("samples written", f"{outcome.samples:,}"),
        ("  of them stored anew", f"{outcome.stored_samples:,}"),
        ("  deduplicated", f"{repeated:,}"),
        ("bytes raw", human_bytes(outcome.sample_bytes)),
        ("bytes stored, with trees", human_bytes(outcome.disk_bytes)),
        ("writing", f"{write_speed:,.0f} samples/s, {WRITERS} processes"),
        ("commits of this run", f"{outcome.commits} ({outcome.rebased} rebased on another's)"),
        ("commits in the history", f"{outcome.history}"),
        ("samples read and compared", f"{outcome.read_samples:,}, all equal"),
        ("reading", f"{read_speed:,.0f} samples/s, 1 process, checksums verified"),
        ("commit", outcome.commit[:16]),
    ]
    result = Table(title=f"Run {outcome.run}", show_header=False, title_justify="left")
    result.add_column(no_wrap=True)
    result.add_column(no_wrap=True)
    for row in rows:
        result.add_row(*row)
    return result
