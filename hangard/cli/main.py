"""The ``hangard`` command: its verbs, its global options and its exit codes."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

import hangard
from hangard.cli.exits import EXIT_INTERRUPTED, EXIT_USAGE, report, report_json, report_os_error
from hangard.errors import HangardError

# verb -> module below hangard.cli that has its ``command``; imported only when it is used, so that
# `hangard log` does not wait for what `hangard demo` needs.
VERBS = {
    "branch": "branch",
    "cat": "cat",
    "checkout": "checkout",
    "cherry-pick": "cherry_pick",
    "column": "column",
    "commit": "commit",
    "config": "config",
    "demo": "demo.command",
    "diff": "diff",
    "export": "export",
    "gc": "gc",
    "import": "importing.command",
    "import-hangar": "import_hangar",
    "init": "init",
    "log": "log",
    "merge": "merge",
    "purge": "purge",
    "reflog": "reflog",
    "repack": "repack",
    "repair": "repair",
    "reset": "reset",
    "revert": "revert",
    "serve": "serve",
    "sessions": "sessions",
    "show": "show",
    "status": "status",
    "stop": "stop",
    "summary": "summary",
    "tag": "tag",
    "verify": "verify",
}


class Verbs(click.Group):
    """A group whose commands are modules, and whose errors are those of hangard."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f"hangard.cli.{VERBS[cmd_name]}")
        command: click.Command = module.command
        return command

    def main(self, *args: Any, **settings: Any) -> Any:
        """As click's, but wrong usage is told as every other error is."""
        settings["standalone_mode"] = False
        given = args[0] if args else settings.get("args")
        # Looked for in the words, since errors may come before any option is understood.
        as_json = "--json" in (sys.argv[1:] if given is None else given)
        try:
            code = super().main(*args, **settings)
        except HangardError as error:
            code = report(error, as_json=as_json)
        except OSError as error:
            code = report_os_error(error, as_json=as_json)
        except click.UsageError as error:
            if as_json:
                report_json(error, "wrong-usage", error.format_message())
            else:
                if error.ctx is not None:
                    click.echo(error.ctx.get_usage(), err=True)
                click.echo(f"error: {error.format_message()}", err=True)
            code = EXIT_USAGE
        except click.Abort:
            click.echo("error: interrupted", err=True)
            code = EXIT_INTERRUPTED
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # `hangard log | head`: the reader left, and Python must not complain at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(1)


@click.group(
    cls=Verbs,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 error, 2 wrong usage, 3 conflict, 4 busy. Completion in bash:"
    ' eval "$(_HANGARD_COMPLETE=bash_source hangard)" (also zsh_source, fish_source).',
)
@click.option(
    "-C",
    "directory",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Run as if started in this folder.",
)
@click.version_option(hangard.__version__, prog_name="hangard", message="%(prog)s %(version)s")
@click.pass_context
def cli(ctx: click.Context, directory: Path | None) -> None:
    """Versioned tensor data, written by many processes at once.

    The repository is looked for in the current folder and the ones above it.
    """
    if directory is not None:
        os.chdir(directory)
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    cli.main(args=None if arguments is None else list(arguments), prog_name="hangard")
