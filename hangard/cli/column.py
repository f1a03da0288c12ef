"""``hangard column``: list the columns of a commit."""

from __future__ import annotations

import click

from hangard.cli.output import console, print_json
from hangard.cli.place import open_repository
from hangard.cli.show import column_table, describe


@click.group("column", invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """List columns, also if nothing follows."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_columns)


@command.command("list")
@click.argument("revision", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print the columns as JSON.")
def list_columns(revision: str | None, as_json: bool) -> None:
    """List the columns of REVISION (a branch or a commit; the branch of HEAD if left out)."""
    with open_repository() as repo, repo.checkout(revision or repo.head()) as co:
        columns = [describe(column) for column in co.columns.values()]
    if as_json:
        print_json(columns)
    else:
        console().print(column_table(columns))
