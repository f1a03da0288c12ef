"""``hangard log``: the history of a branch."""

from __future__ import annotations

import click
from hangard_client.graph import draw

from hangard.cli.completing import complete_branches
from hangard.cli.describe import commit_lines, commit_record, first_line
from hangard.cli.output import print_json
from hangard.cli.place import open_repository


@click.command("log")
@click.argument("revision", required=False, shell_complete=complete_branches)
@click.option("-n", "count", type=click.IntRange(min=0), help="Show so many commits only.")
@click.option("--oneline", is_flag=True, help="One line for each commit.")
@click.option("--graph", is_flag=True, help="Draw how commits follow each other.")
@click.option("--json", "as_json", is_flag=True, help="Print the commits as JSON.")
def command(
    revision: str | None, count: int | None, oneline: bool, graph: bool, as_json: bool
) -> None:
    """Show the commits that led to REVISION (a branch or a commit; the branch of HEAD if left out).

    The newest comes first.
    """
    with open_repository() as repo:
        entries = repo.log(revision or repo.head(), limit=count)
    if as_json:
        print_json([commit_record(entry) for entry in entries])
        return
    if not entries:
        click.echo("no commit yet", err=True)
    if graph:
        rows = draw((entry.digest, entry.parents) for entry in entries)
    else:
        rows = (("", []) for _ in entries)
    for entry, (mark, below) in zip(entries, rows, strict=True):
        if oneline:
            lines = [f"{entry.digest.hex()[:16]} {first_line(entry.message)}"]
        else:
            lines = [*commit_lines(entry), ""]
        click.echo(f"{mark} {lines[0]}" if graph else lines[0])
        margin = mark.replace("*", "|") + " " if graph else ""
        for line in lines[1:]:
            click.echo((margin + line).rstrip())
        for line in below:
            click.echo(line)
