"""``hangard checkout``: choose the branch that commands mean."""

from __future__ import annotations

import click

from hangard.cli.completing import complete_branches
from hangard.cli.place import open_repository


@click.command("checkout")
@click.argument("branch", shell_complete=complete_branches)
def command(branch: str) -> None:
    """Make BRANCH the one that commands mean if none is named.

    What is staged stays staged, for the branch it was staged for.
    """
    with open_repository() as repo:
        repo.set_head(branch)
    click.echo(f"HEAD is now branch {branch}.")
