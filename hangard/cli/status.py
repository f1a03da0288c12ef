"""``hangard status``: the daemon in one line, then what is staged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import hangard_client
from hangard_client.starting import find_endpoint

from hangard.cli.diff import stat_record
from hangard.cli.output import counted, human_bytes, print_json
from hangard.cli.place import open_repository
from hangard.cli.settling import MARKS
from hangard.cli.staging import DEFAULT_SESSION, find_default, staged_session
from hangard.reading.differences import ColumnChanges
from hangard.reading.environment import acquire
from hangard.reading.format import checked_directory


@click.command("status")
@click.option("--short", is_flag=True, help="Only a line for each staged column.")
@click.option("--json", "as_json", is_flag=True, help="Print all that the daemon tells as JSON.")
def command(short: bool, as_json: bool) -> None:
    """Show the daemon and what is staged, column by column. Starts no daemon.

    + are samples or columns that are new, - those that are deleted, ~ those that are changed.
    """
    with open_repository() as repo:
        path, head = repo.path, repo.head()
        columns: list[ColumnChanges] | None = None
        if find_endpoint(path) is not None:
            daemon, found = repo.status(), find_default(repo)
            branch = found.branch if found is not None and found.staged else None
            changes = found.staged if found is not None else 0
            sessions = repo.sessions()
            others = sum(info.staged > 0 and info.id != DEFAULT_SESSION for info in sessions)
            if branch is not None and found is not None and not found.leased:
                columns = staged_columns(repo)
        else:
            daemon, branch, changes, others = None, kept_for_branch(path), None, 0
        if as_json:
            print_json(
                {
                    "path": str(path),
                    "head": head,
                    "daemon": daemon,
                    "staged": staged_record(branch, changes, columns),
                    "other_sessions": others,
                }
            )
            return
        if short:
            print_columns(columns or [], "")
            return
        click.echo(daemon_line(daemon))
        click.echo(f"repository {path}, branch {head}")
        if branch is None:
            click.echo("nothing staged")
        elif changes is None:
            click.echo(
                f"staged for branch {branch}; `hangard sessions` starts the daemon and counts"
            )
        else:
            click.echo(f"staged for branch {branch}: {counted(changes, 'change')}")
            print_columns(columns or [], "  ")
        if others:
            click.echo(f"also staged in {counted(others, 'other session')}: hangard sessions")


def staged_columns(repo: hangard_client.Repository) -> list[ColumnChanges]:
    """The columns that the command line's session has changed."""
    with staged_session(repo) as co:
        return list(co.diff())


def print_columns(columns: list[ColumnChanges], indent: str) -> None:
    """A line for each column."""
    for column in columns:
        counts = column.counts()
        marks = {"added": counts.added, "deleted": counts.deleted, "changed": counts.changed}
        samples = " ".join(f"{MARKS[kind]}{count}" for kind, count in marks.items() if count)
        schema = {"added": " (new column)", "deleted": " (removed)", "changed": " (storage)"}
        note = schema.get(column.schema_change or "", "")
        click.echo(f"{indent}{column.name}{' ' if samples else ''}{samples}{note}")


def staged_record(
    branch: str | None, changes: int | None, columns: list[ColumnChanges] | None
) -> dict[str, Any] | None:
    """The same as plain values."""
    if branch is None:
        return None
    return {
        "session": DEFAULT_SESSION,
        "branch": branch,
        "changes": changes,
        "columns": None if columns is None else [stat_record(column) for column in columns],
    }


def kept_for_branch(path: Path) -> str | None:
    """The branch for which something is staged while no daemon runs; a session that holds nothing
    ends with its last client, and leaves no record."""
    env = acquire(checked_directory(path))
    try:
        with env.read() as tables:
            record = tables.find_session(DEFAULT_SESSION)
    finally:
        env.release()
    return None if record is None else record.branch


def daemon_line(daemon: dict[str, Any] | None) -> str:
    """The daemon in one line."""
    if daemon is None:
        return "daemon: not running (the next write starts it)"
    others = max(0, daemon["requests_running"] - 1)  # than the one that asks
    return (
        f"daemon: process {daemon['pid']}, HDF5 process {daemon['hdf5_pid'] or '-'},"
        f" {counted(daemon['sessions'], 'session')}, {counted(others, 'request')} running,"
        f" {sum(daemon['queues'].values())} queued,"
        f" {human_bytes(daemon['memory_bytes'])} of {human_bytes(daemon['memory_bytes_max'])} used"
    )
