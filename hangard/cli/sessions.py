"""``hangard sessions``: who has staged what."""

from __future__ import annotations

import time
from typing import Any

import click
import msgspec
from rich.table import Table

from hangard.cli.completing import complete_sessions
from hangard.cli.output import console, counted, human_bytes, print_json
from hangard.cli.place import open_repository
from hangard.wire.messages import SessionInfo


@click.group("sessions", invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """List, close, abort and release sessions; alone it lists.

    A session keeps one writer's staged changes until they are committed or dropped. The command
    line stages into the session named `default`.
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_sessions, as_json=as_json)


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print the sessions as JSON.")
def list_sessions(as_json: bool) -> None:
    """List the sessions, the oldest first: what each has staged, who opened it, and when it was
    last used."""
    with open_repository() as repo:
        sessions = repo.sessions()
    if as_json:
        print_json([record(session) for session in sessions])
        return
    table = Table(
        *("session", "branch", "base", "staged", "journal", "user", "process", "age", "unused"),
        box=None,
    )
    now_s = time.time()
    for session in sessions:
        table.add_row(
            session.id,
            session.branch,
            session.base.hex()[:16] if session.base else "-",
            str(session.staged),
            human_bytes(session.journal_bytes),
            session.user,
            process_text(session),
            age_text(now_s - session.opened_s),
            age_text(now_s - session.used_s),
        )
    console().print(table if sessions else "no session")


@command.command("close")
@click.argument("session", shell_complete=complete_sessions)
def close(session: str) -> None:
    """End SESSION, which nobody uses and which holds no changes."""
    with open_repository() as repo:
        repo.close_session(session)
    click.echo(f"Closed session {session}.")


@command.command("abort")
@click.argument("session", shell_complete=complete_sessions)
@click.option("--json", "as_json", is_flag=True, help="Print what was dropped as JSON.")
def abort(session: str, as_json: bool) -> None:
    """Drop SESSION with all that is staged in it, also if a process uses it."""
    with open_repository() as repo:
        found = [info for info in repo.sessions() if info.id == session]
        repo.abort_session(session)
    if as_json:
        print_json(record(found[0]) if found else {"id": session})
        return
    for info in found:
        changes = counted(info.staged, "change")
        click.echo(f"Dropped session {session}: {changes} staged for branch {info.branch}.")


@command.command("release")
def release() -> None:
    """End the exclusive lease of whoever holds it: that process can write no more.

    What it has staged stays in its session.
    """
    with open_repository() as repo:
        holder = repo.release_exclusive()
    if holder is None:
        click.echo("No session is exclusive.")
    else:
        click.echo(f"Session {holder.id} (process {holder.pid}) is exclusive no more.")


def record(session: SessionInfo) -> dict[str, Any]:
    """A session as plain values, those that are as usual included."""
    return msgspec.structs.asdict(session)


def process_text(session: SessionInfo) -> str:
    """The process that opened a session, and whether it is there still."""
    if not session.pid:
        return "-"
    if not session.alive:
        return f"{session.pid} (ended)"
    return f"{session.pid} (exclusive)" if session.leased else str(session.pid)


def age_text(seconds: float) -> str:
    """A stretch of time in its largest unit."""
    whole = max(0, int(seconds))
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if whole >= length:
            return f"{whole // length} {unit}"
    return f"{whole} s"
