"""``hangard serve``: run the daemon in the foreground."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click
import uvloop

from hangard.cli.place import find_repository
from hangard.daemon.events import EventLog
from hangard.daemon.serve import serve


@click.command("serve")
@click.option("--idle-s", type=click.FloatRange(min=0), help="End after so long without a request.")
@click.option("--log", type=click.Path(dir_okay=False, path_type=Path), help="Log to this file.")
def command(idle_s: float | None, log: Path | None) -> None:
    """Serve this repository until SIGTERM, SIGINT (Ctrl-C) or `hangard stop`.

    You rarely need it: a write starts a daemon by itself, which ends when it is idle. The log goes
    to standard error.
    """
    path = find_repository(Path.cwd())
    events = EventLog(log)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(path, events=events, idle_s=idle_s))
    finally:
        events.close()
