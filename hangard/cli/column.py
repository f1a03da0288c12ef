"""``hangard column``: list, create and remove columns."""

from __future__ import annotations

from typing import Any

import click

from hangard.cli.completing import complete_columns
from hangard.cli.importing.command import backend_options
from hangard.cli.output import console, print_json
from hangard.cli.place import open_repository
from hangard.cli.show import column_table, describe, format_text, shape_text
from hangard.cli.staging import default_session

_of_branch = click.option("--branch", help="The branch to stage for; without it HEAD.")
_then_commit = click.option("--commit", "message", metavar="MESSAGE", help="Commit it at once.")
_as_json = click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")

KINDS = ("str", "bytes")


@click.group("column", invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """List, create and remove columns; alone it lists."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_columns)


@command.command("list")
@click.argument("revision", required=False)
@_as_json
def list_columns(revision: str | None = None, as_json: bool = False) -> None:
    """List the columns of REVISION (a branch or a commit; the branch of HEAD if left out)."""
    with open_repository() as repo, repo.checkout(revision or repo.head()) as co:
        columns = [describe(column) for column in co.columns.values()]
    if as_json:
        print_json(columns)
    else:
        console().print(column_table(columns))


@command.command("create")
@click.argument("name")
@click.argument("dtype", required=False)
@click.argument("shape", nargs=-1, type=click.IntRange(min=0))
@click.option("--str", "kind", flag_value="str", help="For text, not arrays.")
@click.option("--bytes", "kind", flag_value="bytes", help="For bytes, not arrays.")
@click.option("--variable-shape", is_flag=True, help="SHAPE is the most of each dimension.")
@click.option("--contains-subsamples", is_flag=True, help="Each key holds samples of its own.")
@click.option("--backend", help="How samples are stored: a name (hdf5, numpy, ...) or a code.")
@click.option("--option", "options", multiple=True, help="Backend option NAME=VALUE; repeatable.")
@_of_branch
@_then_commit
@_as_json
def create(
    name: str,
    dtype: str | None,
    shape: tuple[int, ...],
    kind: str | None,
    variable_shape: bool,
    contains_subsamples: bool,
    backend: str | None,
    options: tuple[str, ...],
    branch: str | None,
    message: str | None,
    as_json: bool,
) -> None:
    """Stage the creation of column NAME for arrays of DTYPE (uint8, float32, ...) and SHAPE.

    SHAPE is one size for each dimension; none means single numbers. With --str or --bytes there is
    neither DTYPE nor SHAPE.
    """
    if kind is None and dtype is not None and dtype.lower() in KINDS:
        kind, dtype = dtype.lower(), None
    stored: dict[str, Any] = {"backend": backend, "backend_options": backend_options(options)}
    if kind is not None and (dtype is not None or shape or variable_shape):
        raise click.UsageError(f"a column of {kind} has neither DTYPE nor SHAPE")
    if kind is None and dtype is None:
        raise click.UsageError("give DTYPE and SHAPE, or --str or --bytes")
    with open_repository() as repo, default_session(repo, branch) as co:
        if kind == "str":
            column = co.add_str_column(name, contains_subsamples, **stored)
        elif kind == "bytes":
            column = co.add_bytes_column(name, contains_subsamples, **stored)
        else:
            column = co.add_ndarray_column(
                name,
                shape=shape,
                dtype=str(dtype).lower(),
                variable_shape=variable_shape,
                contains_subsamples=contains_subsamples,
                **stored,
            )
        described = describe(column)
        co.flush()
        commit = co.commit(message) if message is not None else None
        described |= {"branch": co.branch, "commit": commit}
    if as_json:
        print_json(described)
        return
    what = f"{described['dtype'] or kind} {shape_text(described)}".rstrip()
    done = "Staged" if commit is None else "Committed"
    click.echo(f"{done} column {name!r} of {what}, backend {format_text(described['backend'])}.")


@command.command("remove")
@click.argument("name", shell_complete=complete_columns)
@_of_branch
@_then_commit
@_as_json
def remove(name: str, branch: str | None, message: str | None, as_json: bool) -> None:
    """Stage the removal of column NAME with all its samples; older commits keep them."""
    with open_repository() as repo, default_session(repo, branch) as co:
        co.remove_column(name)
        co.flush()
        commit = co.commit(message) if message is not None else None
        staged_for = co.branch
    if as_json:
        print_json({"name": name, "branch": staged_for, "commit": commit})
    else:
        done = "Staged" if commit is None else "Committed"
        click.echo(f"{done} the removal of column {name!r}.")
