"""A commit's message, from the command line or from an editor."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence

import click

from hangard.errors import InvalidRequest

COMMENT = "#"


def message_of(given: Sequence[str], status: Iterable[str]) -> str:
    """The lines of ``-m``; without any, what is written in the user's editor, which shows
    ``status`` in lines of comment.

    Errors: InvalidRequest (``empty-message``); click.UsageError where there is nobody to write.
    """
    if given:
        return "\n".join(given)
    if not (sys.stdin.isatty() or os.environ.get("VISUAL") or os.environ.get("EDITOR")):
        raise click.UsageError("give a message: -m MESSAGE")
    hints = ["What changed, and why. An empty message commits nothing.", "", *status]
    template = "".join(f"{COMMENT} {line}".rstrip() + "\n" for line in hints)
    written = click.edit(f"\n{template}") or ""
    lines = [line.rstrip() for line in written.splitlines() if not line.startswith(COMMENT)]
    message = "\n".join(lines).strip()
    if not message:
        raise InvalidRequest("the message is empty; nothing is committed", code="empty-message")
    return message
