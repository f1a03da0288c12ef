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
@click.option("--name", help="The author of its commits, kept as its setting user.name.")
@click.option("--email", help="The author's e-mail address, kept as user.email.")
@click.option("--json", "as_json", is_flag=True, help="Print where it is as JSON.")
def command(path: Path, branch: str, name: str | None, email: str | None, as_json: bool) -> None:
    """Make a repository in PATH (the current folder if it is left out).

    Without --name and --email the author is found where git finds it, or in your settings.
    """
    path = path.resolve()
    if (directory_of(path) / FORMAT).exists():
        raise AlreadyExists(f"there is a repository in {path} already", code="repository-exists")
    author = {"user.name": name, "user.email": email}
    given = {setting: value for setting, value in author.items() if value is not None}
    with hangard_client.open(path, create=True, branch=branch) as repo:
        if given:
            repo.set_config(given)
    if as_json:
        print_json({"path": str(path), "branch": branch})
    else:
        click.echo(f"Made a repository in {path}; its first branch is {branch}.")
