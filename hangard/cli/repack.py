"""``hangard repack``: existing samples into their column's present backend."""

from __future__ import annotations

import click

from hangard.cli.completing import complete_columns
from hangard.cli.exits import EXIT_ERROR
from hangard.cli.output import counted, human_bytes, print_json
from hangard.cli.place import open_repository
from hangard.cli.progress import StageBars


@click.command("repack")
@click.argument("columns", nargs=-1, shell_complete=complete_columns)
@click.option("--revision", help="Of this branch, tag or commit, not of every branch's head.")
@click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON.")
@click.pass_context
def command(
    ctx: click.Context, columns: tuple[str, ...], revision: str | None, as_json: bool
) -> None:
    """Write the samples of COLUMNS (all if left out) again into the backend and the options that
    their columns have now, with those that lie in the log or in small files.

    Readers and writers go on meanwhile, and so does the daemon if this command is interrupted. Run
    it again to go on after the daemon's end. `hangard gc` then removes what is not needed any more.
    """
    with open_repository() as repo, StageBars() as bars:
        done = repo.repack(*columns, revision=revision, progress=bars)
    if as_json:
        print_json(done)
    else:
        click.echo(
            f"Wrote {counted(done.rewritten, 'sample')} again"
            f" ({human_bytes(done.rewritten_bytes)}), of {done.samples:,} in"
            f" {counted(done.columns, 'column')}."
        )
    if done.unreadable:
        if not as_json:
            lost = counted(done.unreadable, "sample")
            click.echo(f"{lost} could not be read; see: hangard verify")
        ctx.exit(EXIT_ERROR)
