"""``python -m hangard.daemon PATH``: the daemon as a process of its own."""

from __future__ import annotations

import argparse
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hangard.daemon.report import Report

DESCRIPTORS = 8192  # at most CONNECTIONS_MAX + windows + SESSIONS_MAX + files, with room


def main(arguments: list[str] | None = None) -> int:
    """Serve until stopped; 0 after an orderly end, 1 after an error, which is on stderr."""
    parser = argparse.ArgumentParser(prog="python -m hangard.daemon", description=__doc__)
    parser.add_argument("path", type=Path, help="the repository's directory")
    parser.add_argument("--idle-s", type=float, help="end after so many seconds without a request")
    parser.add_argument("--log", type=Path, help="a file for the log instead of standard error")
    parser.add_argument("--detach", action="store_true", help="go on in the background")
    parser.add_argument("--report-fd", type=int, help="where to write the endpoint, or an error")
    parser.add_argument("--create", action="store_true", help="make the repository first")
    parser.add_argument("--branch", default="main", help="the first branch of a new repository")
    parser.add_argument(
        "--config", action="append", default=[], metavar="NAME=VALUE", help="a setting"
    )
    parser.add_argument("--repair", action="store_true", help="repair it, and end")
    options = parser.parse_args(arguments)
    if options.repair:
        from hangard.daemon import repair

        return repair.main(options.path)
    if options.detach:
        # Before anything heavy is imported: threads do not survive a fork.
        if os.fork():
            os._exit(0)
        os.setsid()
    return _run(options)


def _run(options: argparse.Namespace) -> int:
    from hangard.daemon.report import Report
    from hangard.db.filesystem import free_bytes
    from hangard.db.full_disk import as_no_space
    from hangard.errors import HangardError

    with Report(options.report_fd) as report:
        try:
            _serve(options, report)
        except HangardError as error:
            report.failed(error)
            print(f"hangard: {error}", file=sys.stderr)
            return 1
        except Exception as error:
            full = as_no_space(error, partial(free_bytes, options.path))
            failure = HangardError(f"the daemon failed: {error!r}", code="internal-error")
            report.failed(full or failure)
            raise
    return 0


def _serve(options: argparse.Namespace, report: Report) -> None:
    import asyncio

    import uvloop

    from hangard.daemon.events import EventLog
    from hangard.daemon.serve import serve
    from hangard.model.configuration import daemon_settings
    from hangard.repository.repository import Repository

    _allow_descriptors()
    config = daemon_settings(options.config)
    if options.create:
        Repository.create(options.path, branch=options.branch)
    events = EventLog(options.log)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(
                serve(
                    options.path,
                    events=events,
                    idle_s=options.idle_s,
                    on_ready=report.ready,
                    config=config,
                )
            )
    except Exception as error:
        events.write("failed", level="error", error=repr(error))
        raise
    finally:
        events.close()


def _allow_descriptors() -> None:
    """Connections, windows, journals and segments together may pass the usual 1,024."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


if __name__ == "__main__":
    sys.exit(main())
