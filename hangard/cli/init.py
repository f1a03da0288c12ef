"""``hangard init``: make a repository."""

from __future__ import annotations

from pathlib import Path

import click
import hangard_client

from hangard.cli.output import print_json
from hangard.errors import AlreadyExists
from hangard.model.directory import FORMAT, directory_of


@click.command("init")
@click.argument("path", default=".", type=click.Path(file_okay=False, path_type=Path))
@click.option("--branch", default="main", show_default=True, help="Name of the first branch.")
@click.option("--json", "as_json", is_flag=True, help="Print where it is as JSON.")
def command(path: Path, branch: str, as_json: bool) -> None:
    """Make a repository in PATH (the current folder if it is left out)."""
    path = path.resolve()
    if (directory_of(path) / FORMAT).exists():
        raise AlreadyExists(f"there is a repository in {path} already", code="repository-exists")
    hangard_client.open(path, create=True, branch=branch).close()
    if as_json:
        print_json({"path": str(path), "branch": branch})
    else:
        click.echo(f"Made a repository in {path}; its first branch is {branch}.")
