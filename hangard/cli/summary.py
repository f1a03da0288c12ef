"""``hangard summary``: what the repository holds, in short."""

from __future__ import annotations

from typing import Any

import click
import hangard_client

from hangard.cli.completing import complete_revisions
from hangard.cli.describe import commit_lines, commit_record
from hangard.cli.output import console, counted, human_bytes, print_json
from hangard.cli.place import open_repository
from hangard.cli.show import column_table, schema_record


@click.command("summary")
@click.argument("revision", required=False, shell_complete=complete_revisions)
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def command(revision: str | None, as_json: bool) -> None:
    """Show disk use, and the commit and the columns of REVISION (HEAD if left out)."""
    with open_repository() as repo:
        summary = repo.summary(revision)
    columns = [column_record(column) for column in summary.columns]
    if as_json:
        commit = None if summary.commit is None else commit_record(summary.commit)
        numbers = {
            name: getattr(summary, name) for name in ("disk_bytes", "branches", "tags", "commits")
        }
        place = {"path": str(summary.path), "revision": summary.revision}
        print_json({**place, **numbers, "commit": commit, "columns": columns})
        return
    click.echo(f"repository {summary.path}")
    click.echo(
        f"{human_bytes(summary.disk_bytes)} on disk, {counted(summary.commits, 'commit')},"
        f" {summary.branches} {'branch' if summary.branches == 1 else 'branches'},"
        f" {counted(summary.tags, 'tag')}"
    )
    click.echo()
    if summary.commit is None:
        click.echo(f"{summary.revision}: no commit yet")
        return
    for line in commit_lines(summary.commit):
        click.echo(line)
    click.echo()
    console().print(column_table(columns) if columns else "no column")


def column_record(column: hangard_client.ColumnSummary) -> dict[str, Any]:
    """A column as plain values."""
    return schema_record(column.name, column.schema, column.samples)
