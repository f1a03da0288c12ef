"""``hangard branch``: list, create, rename, delete."""

from __future__ import annotations

import click

from hangard.cli.completing import complete_branches, complete_revisions
from hangard.cli.output import print_json
from hangard.cli.place import open_repository


@click.group("branch", invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """List, create, rename and delete branches; alone it lists."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_branches)


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print names and heads as JSON.")
def list_branches(as_json: bool) -> None:
    """List the branches with their last commits; HEAD's has a star."""
    with open_repository() as repo:
        head, branches = repo.head(), repo.branches()
    if as_json:
        print_json([{"name": n, "commit": c, "head": n == head} for n, c in branches.items()])
        return
    for name, commit in branches.items():
        digest = commit.hex()[:16] if commit else "no commit yet"
        click.echo(f"{'*' if name == head else ' '} {name} {digest}")


@command.command("create")
@click.argument("name")
@click.argument("start", required=False, shell_complete=complete_revisions)
def create(name: str, start: str | None) -> None:
    """Create branch NAME at START (a branch or commit; the branch of HEAD if left out)."""
    with open_repository() as repo:
        commit = repo.create_branch(name, start)
    click.echo(f"Created branch {name} at {commit.hex()[:16] if commit else 'no commit yet'}.")


@command.command("rename")
@click.argument("old", shell_complete=complete_branches)
@click.argument("new")
def rename(old: str, new: str) -> None:
    """Rename branch OLD to NEW. HEAD, the sessions on it and its reflog follow."""
    with open_repository() as repo:
        repo.rename_branch(old, new)
    click.echo(f"Branch {old} is now {new}.")


@command.command("delete")
@click.argument("name", shell_complete=complete_branches)
@click.option(
    "-f", "--force", is_flag=True, help="Also if no other branch and no tag has its commits."
)
def delete(name: str, force: bool) -> None:
    """Delete branch NAME."""
    with open_repository() as repo:
        repo.delete_branch(name, force=force)
    click.echo(f"Deleted branch {name}.")
