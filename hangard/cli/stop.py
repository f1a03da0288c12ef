"""``hangard stop``: end the daemon in order."""

from __future__ import annotations

import click

from hangard.cli.place import open_repository


@click.command("stop")
def command() -> None:
    """End this repository's daemon; what is staged stays.

    It answers what is under way first. The next write starts it again.
    """
    with open_repository() as repo:
        stopped = repo.stop()
    click.echo("The daemon has ended." if stopped else "No daemon was running.")
