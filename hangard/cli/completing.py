"""What a shell offers at the Tab key. It reads the files, and starts no daemon."""

from __future__ import annotations

from pathlib import Path

import click
import hangard_client
from hangard_client.starting import find_endpoint

from hangard.cli.place import find_repository
from hangard.errors import HangardError


def complete_branches(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Branches that begin so; none if they cannot be read."""
    try:
        with _opened(ctx) as repo:
            return [name for name in repo.branches() if name.startswith(incomplete)]
    except (HangardError, OSError):
        return []


def complete_tags(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Tags that begin so."""
    try:
        with _opened(ctx) as repo:
            return [name for name in repo.tags() if name.startswith(incomplete)]
    except (HangardError, OSError):
        return []


def complete_revisions(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """HEAD, branches and tags that begin so."""
    try:
        with _opened(ctx) as repo:
            names = ["HEAD", *repo.branches(), *repo.tags()]
            return [name for name in dict.fromkeys(names) if name.startswith(incomplete)]
    except (HangardError, OSError):
        return []


def complete_sessions(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Sessions that begin so, if a daemon runs; none is started for it."""
    try:
        with _opened(ctx) as repo:
            if find_endpoint(repo.path) is None:
                return []
            return [info.id for info in repo.sessions() if info.id.startswith(incomplete)]
    except (HangardError, OSError):
        return []


def complete_columns(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Columns that begin so, in the revision that was given before or in HEAD's branch."""
    try:
        with _opened(ctx) as repo:
            revision = ctx.params.get("revision") or repo.head()
            with repo.checkout(revision) as co:
                return [name for name in co.columns if name.startswith(incomplete)]
    except (HangardError, OSError):
        return []


def _opened(ctx: click.Context) -> hangard_client.Repository:
    # The shell asks without running the command, so -C has not moved this process.
    directory = ctx.find_root().params.get("directory")
    return hangard_client.open(find_repository(Path(directory or ".")))
