"""``hangard sessions``: who has staged what."""

from __future__ import annotations

import click
from rich.table import Table

from hangard.cli.output import console, counted, date_text, print_json
from hangard.cli.place import open_repository

NANOSECONDS_PER_SECOND = 1_000_000_000


@click.command("sessions")
@click.option("--drop", metavar="ID", help="Drop a session with all that is staged in it.")
@click.option("--json", "as_json", is_flag=True, help="Print the sessions as JSON.")
def command(drop: str | None, as_json: bool) -> None:
    """List the sessions of the repository.

    A session keeps one writer's staged changes until they are committed or dropped. The command
    line stages into the session named `default`.
    """
    with open_repository() as repo:
        dropped = [info for info in repo.sessions() if info.id == drop]
        if drop is not None:
            repo.abort_session(drop)
        sessions = repo.sessions()
    if as_json:
        print_json(sessions)
        return
    for session in dropped:
        changes = counted(session.staged, "change")
        click.echo(f"Dropped session {drop}: {changes} staged for branch {session.branch}.")
    if drop is not None:
        return
    table = Table("session", "branch", "base", "staged", "user", "last used", box=None)
    for session in sessions:
        table.add_row(
            session.id,
            session.branch,
            session.base.hex()[:16] if session.base else "-",
            str(session.staged),
            session.user,
            date_text(int(session.used_s * NANOSECONDS_PER_SECOND)),
        )
    console().print(table if sessions else "no session")
