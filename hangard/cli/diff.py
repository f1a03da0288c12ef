"""``hangard diff A B``: what differs between two commits."""

from __future__ import annotations

import click

from hangard.cli.completing import complete_branches
from hangard.cli.output import key_text, print_json
from hangard.cli.place import open_repository
from hangard.model.diff import ColumnDiff

MARKS = {"added": "+", "deleted": "-", "changed": "~"}


@click.command("diff")
@click.argument("first", shell_complete=complete_branches)
@click.argument("second", shell_complete=complete_branches)
@click.option("--stat", is_flag=True, help="Only count the samples of each column.")
@click.option("--json", "as_json", is_flag=True, help="Print the differences as JSON.")
def command(first: str, second: str, stat: bool, as_json: bool) -> None:
    """Show what changes from FIRST to SECOND, which are branches or commits.

    + is a key or column that only SECOND has, - one that only FIRST has, ~ one that both have with
    different content.
    """
    with open_repository() as repo:
        columns = [column.collect() for column in repo.diff(first, second)]
    if as_json:
        print_json([record(column) for column in columns])
        return
    for column in columns:
        if column.schema_before != column.schema_after:
            click.echo(f"{column_mark(column)} column {column.name}")
        if stat:
            counts = {
                mark: sum(change.kind == kind for change in column.samples)
                for kind, mark in MARKS.items()
            }
            click.echo(f"{column.name}: " + " ".join(f"{m}{n}" for m, n in counts.items()))
            continue
        for change in column.samples:
            click.echo(f"{MARKS[change.kind]} {column.name} {key_text(change.key)}")


def column_mark(column: ColumnDiff) -> str:
    if column.schema_before is None:
        return MARKS["added"]
    return MARKS["deleted"] if column.schema_after is None else MARKS["changed"]


def record(column: ColumnDiff) -> dict[str, object]:
    return {
        "column": column.name,
        "schema_before": column.schema_before,
        "schema_after": column.schema_after,
        "samples": [
            {
                "key": change.key,
                "change": change.kind,
                "before": change.before,
                "after": change.after,
            }
            for change in column.samples
        ],
    }
