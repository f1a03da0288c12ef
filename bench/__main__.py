"""Run all benches, or those named: `python -m bench digest ingest --quick`."""

from __future__ import annotations

import pkgutil
import sys
import tempfile
from importlib import import_module
from pathlib import Path

import click
from rich.console import Console

import bench
from bench.harness import Bench, Result
from bench.report import as_json, print_table

PREFIX = "bench_"
TABLE_COLUMNS_MIN = 240
NAMES = sorted(
    module.name.removeprefix(PREFIX)
    for module in pkgutil.iter_modules(bench.__path__)
    if module.name.startswith(PREFIX)
)


@click.command(help=__doc__)
@click.argument("names", nargs=-1, type=click.Choice(NAMES), metavar="[NAME]...")
@click.option("--quick", is_flag=True, help="Smaller inputs and fewer rounds.")
@click.option("--json", "json_", is_flag=True, help="Print JSON instead of a table.")
@click.option(
    "--directory",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=tempfile.gettempdir(),
    show_default=True,
    help="Where files are written: on the disk to be measured.",
)
def main(names: tuple[str, ...], quick: bool, json_: bool, directory: Path) -> None:
    progress = Console(stderr=True)
    results: list[Result] = []
    with progress.status("", spinner="line") as status:
        for name in names or NAMES:
            one = Bench(name=name, directory=directory, quick=quick)
            one.on_progress = status.update
            import_module(f"bench.{PREFIX}{name}").run(one)
            results += one.results
    if json_:
        sys.stdout.write(as_json(results, directory, quick) + "\n")
    else:
        # Narrower, in a pipe or a small window, rows would wrap into pieces nobody can read.
        console = Console()
        print_table(Console(width=max(console.width, TABLE_COLUMNS_MIN)), results, directory, quick)


if __name__ == "__main__":
    main()
