"""``hangard status``: the daemon in one line, then what is staged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from hangard_client.starting import find_endpoint

from hangard.cli.output import counted, human_bytes, print_json
from hangard.cli.place import open_repository
from hangard.cli.staging import DEFAULT_SESSION, find_default
from hangard.reading.environment import acquire
from hangard.reading.format import checked_directory


@click.command("status")
@click.option("--json", "as_json", is_flag=True, help="Print all that the daemon tells as JSON.")
def command(as_json: bool) -> None:
    """Show the daemon and what is staged. Starts no daemon."""
    with open_repository() as repo:
        path, head = repo.path, repo.head()
        if find_endpoint(path) is not None:
            daemon, found = repo.status(), find_default(repo)
            branch = found.branch if found is not None and found.staged else None
            changes = found.staged if found is not None else 0
            sessions = repo.sessions()
            others = sum(info.staged > 0 and info.id != DEFAULT_SESSION for info in sessions)
        else:
            daemon, branch, changes, others = None, kept_for_branch(path), None, 0
    if as_json:
        staged = {"session": DEFAULT_SESSION, "branch": branch, "changes": changes}
        record = {"path": str(path), "head": head, "daemon": daemon}
        print_json({**record, "staged": staged if branch is not None else None})
        return
    click.echo(daemon_line(daemon))
    click.echo(f"repository {path}, branch {head}")
    if branch is None:
        click.echo("nothing staged")
    elif changes is None:
        click.echo(f"staged for branch {branch}; `hangard sessions` starts the daemon and counts")
    else:
        click.echo(f"staged for branch {branch}: {counted(changes, 'change')}")
    if others:
        click.echo(f"also staged in {counted(others, 'other session')}: hangard sessions")


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
