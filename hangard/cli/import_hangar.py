"""``hangard import-hangar PATH``: a repository of Hangar, brought in with its whole history."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Literal

import click
import hangard_client
from hangard_client.hangar_import.results import HangarImport, ImportProgress, Report
from hangard_client.hangar_import.source import HangarSource

from hangard.cli.output import counted, human_bytes, print_json, progress_console
from hangard.cli.place import find_repository
from hangard.errors import NoRepository

DEFAULT_BRANCH = "main"


@click.command("import-hangar")
@click.argument("path", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--prefix", default="", help="Put this before the branches' names, as old/.")
@click.option(
    "--missing",
    type=click.Choice(["error", "skip"]),
    default="error",
    help="What samples mean that only a remote of Hangar has.",
)
@click.option("--verify", is_flag=True, help="Check Hangar's digests of all samples, too.")
@click.option("--ignore-lock", is_flag=True, help="Import although a writer of Hangar holds it.")
@click.option("--json", "as_json", is_flag=True, help="Print what was imported as JSON.")
def command(
    path: Path,
    prefix: str,
    missing: Literal["error", "skip"],
    verify: bool,
    ignore_lock: bool,
    as_json: bool,
) -> None:
    """Bring the repository of Hangar 0.5 at PATH in, with its whole history.

    Commits keep message, author, time and parents, branches their names; columns keep their kind,
    backend and options. The digests that commits had in Hangar go on to name them (a=1c5afe09).
    PATH is only read. Branches move when everything else is done; run again after an error, or
    when PATH has new commits, it goes on where it was.

    Where there is no repository, one is made in the current folder (or that of -C).
    """
    with open_or_create(path, prefix, ignore_lock) as repo, progress_of(as_json) as report:
        done = repo.import_hangar(
            path,
            prefix=prefix,
            missing=missing,
            verify=verify,
            ignore_lock=ignore_lock,
            report=report,
        )
    if as_json:
        print_json(done)
        return
    tell(done)


def open_or_create(path: Path, prefix: str, ignore_lock: bool) -> hangard_client.Repository:
    """The repository of the current folder; a new one has the source's branch as its first."""
    try:
        return hangard_client.open(find_repository(Path.cwd()))
    except NoRepository:
        source = HangarSource(path.resolve(), ignore_lock=ignore_lock)
        source.close()
        branch = prefix + source.head if source.head else DEFAULT_BRANCH
        return hangard_client.open(Path.cwd(), create=True, branch=branch)


def tell(done: HangarImport) -> None:
    """What was imported, for people."""
    what = f"{counted(done.commits, 'commit')}, {counted(done.samples, 'sample')}"
    click.echo(f"Imported {what}, {human_bytes(done.sample_bytes)}.")
    for name, digest in done.branches.items():
        click.echo(f"  {name} {digest.hex()[:16]}")
    if done.missing:
        click.echo(f"{counted(done.missing, 'sample')} left out: only a remote of Hangar has them.")
    if done.renamed:
        keys = counted(done.renamed, "key")
        click.echo(f"{keys} that Hangar should have refused became text that begins with '#'.")
    if done.other_backends:
        names = ", ".join(done.other_backends)
        click.echo(f"Stored otherwise than in Hangar, with default options: {names}")


def progress_of(as_json: bool) -> AbstractContextManager[Report | None]:
    """Progress bars where people watch."""
    console = progress_console()
    if as_json or not console.is_terminal:
        return nullcontext(None)
    return Bars(console)


class Bars:
    """A bar for the commits and one for the samples of the present one."""

    def __init__(self, console: Any) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
        self._progress = Progress(*columns, console=console, transient=True)
        self._commits = self._progress.add_task("commits", total=None)
        self._samples = self._progress.add_task("samples", total=None)

    def __enter__(self) -> Report:
        self._progress.start()
        return self._show

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def _show(self, now: ImportProgress) -> None:
        self._progress.update(self._commits, completed=now.commit, total=now.commits)
        title = now.message[:40] or "samples"
        self._progress.update(
            self._samples, completed=now.sample, total=now.samples, description=title
        )
