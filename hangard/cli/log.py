"""``hangard log``: the history of a branch, or of all."""

from __future__ import annotations

import click
from hangard_client.graph import draw

from hangard.cli.completing import complete_revisions
from hangard.cli.describe import (
    commit_lines,
    commit_record,
    decoration,
    first_line,
    names_record,
)
from hangard.cli.output import print_json
from hangard.cli.place import open_repository

LINE_COLOURS = ("red", "green", "yellow", "blue", "magenta", "cyan")


@click.command("log")
@click.argument("revision", required=False, shell_complete=complete_revisions)
@click.option("-n", "count", type=click.IntRange(min=0), help="Show so many commits only.")
@click.option("--all", "all_refs", is_flag=True, help="The commits of all branches and tags.")
@click.option("--oneline", is_flag=True, help="One line for each commit.")
@click.option("--graph", is_flag=True, help="Draw how commits follow each other.")
@click.option("--json", "as_json", is_flag=True, help="Print the commits as JSON.")
def command(
    revision: str | None,
    count: int | None,
    all_refs: bool,
    oneline: bool,
    graph: bool,
    as_json: bool,
) -> None:
    """Show the commits that led to REVISION (a branch or a commit; the branch of HEAD if left out).

    The newest comes first. Behind each stand the branches and tags that name it. With --json each
    has its parents, and the names of branches and tags.
    """
    if revision is not None and all_refs:
        raise click.UsageError("give either a revision or --all")
    with open_repository() as repo:
        head = repo.head()
        history = repo.history(revision or head, limit=count, all_refs=all_refs)
    if as_json:
        print_json(
            [
                {**commit_record(entry), **names_record(entry.digest, history)}
                for entry in history.entries
            ]
        )
        return
    if not history.entries:
        click.echo("no commit yet", err=True)
    rows = draw(((entry.digest, entry.parents) for entry in history.entries), paint)
    for entry, row in zip(history.entries, rows, strict=True):
        names = decoration(entry.digest, history, head)
        if oneline:
            digest = click.style(entry.digest.hex()[:16], fg="yellow")
            lines = [f"{digest}{names} {first_line(entry.message)}"]
        else:
            first, *others = commit_lines(entry)
            lines = [click.style(first, fg="yellow") + names, *others, ""]
        click.echo(f"{row.mark} {lines[0]}" if graph else lines[0])
        for line in lines[1:]:
            click.echo(f"{row.margin} {line}".rstrip() if graph else line)
        for line in row.below if graph else ():
            click.echo(line)


def paint(character: str, number: int) -> str:
    """Lines of history in colours that differ from their neighbours'."""
    if character == "*":
        return character
    return click.style(character, fg=LINE_COLOURS[number % len(LINE_COLOURS)])
