"""A commit as people and as programs read it."""

from __future__ import annotations

from typing import Any

import click
import hangard_client

from hangard.cli.output import date_text


def commit_lines(entry: hangard_client.LogEntry) -> list[str]:
    """Digest, parents if there are several, author, date, metadata and message."""
    lines = [f"commit {entry.digest.hex()}"]
    if len(entry.parents) > 1:
        lines.append("parents " + " ".join(parent.hex()[:16] for parent in entry.parents))
    lines += [f"author {entry.author}", f"date   {date_text(entry.time_ns)}"]
    lines += [f"{name}: {value}" for name, value in sorted(entry.metadata.items())]
    return [*lines, "", *(f"    {line}" for line in entry.message.splitlines())]


def first_line(message: str) -> str:
    """What stands for a commit where there is one line only."""
    return message.strip().splitlines()[0] if message.strip() else ""


def commit_record(entry: hangard_client.LogEntry) -> dict[str, Any]:
    """The same as plain values."""
    return {
        "digest": entry.digest,
        "parents": list(entry.parents),
        "author": {"name": entry.author.name, "email": entry.author.email},
        "time_ns": entry.time_ns,
        "message": entry.message,
        "metadata": dict(entry.metadata),
    }


def decoration(digest: bytes, history: hangard_client.History, head: str) -> str:
    """The names of a commit, as `` (HEAD -> main, tag: v1)``; nothing for one without."""
    names = []
    for branch in history.branches.get(digest, ()):
        pointer = click.style("HEAD -> ", fg="cyan", bold=True) if branch == head else ""
        names.append(pointer + click.style(branch, fg="green", bold=True))
    names.sort(key=lambda name: "HEAD ->" not in name)
    names += [
        click.style(f"tag: {tag}", fg="yellow", bold=True) for tag in history.tags.get(digest, ())
    ]
    return f" ({', '.join(names)})" if names else ""


def names_record(digest: bytes, history: hangard_client.History) -> dict[str, Any]:
    """The same as plain values."""
    return {
        "branches": list(history.branches.get(digest, ())),
        "tags": list(history.tags.get(digest, ())),
    }
