"""``hangard serve``: run the daemon in the foreground."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click
import uvloop

from hangard.cli.place import find_repository
from hangard.daemon.events import EventLog
from hangard.daemon.serve import serve
from hangard.model.configuration import daemon_settings


@click.command("serve")
@click.option("--idle-s", type=click.FloatRange(min=0), help="End after so long without a request.")
@click.option("--log", type=click.Path(dir_okay=False, path_type=Path), help="Log to this file.")
@click.option("-c", "--config", "settings", multiple=True, help="NAME=VALUE: a setting for all.")
def command(idle_s: float | None, log: Path | None, settings: tuple[str, ...]) -> None:
    """Serve this repository until SIGTERM, SIGINT (Ctrl-C) or `hangard stop`.

    You rarely need it: a write starts a daemon by itself, which ends when it is idle. The log goes
    to standard error. Settings (-c, or HANGARD_... in the environment) are those of
    `hangard config`; they count where neither caller, repository nor user has the same.
    """
    path = find_repository(Path.cwd())
    config = daemon_settings(settings)
    events = EventLog(log)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(path, events=events, idle_s=idle_s, config=config))
    finally:
        events.close()
