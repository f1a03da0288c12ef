"""The history of a branch or commit: as data, or printed."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Any

import hangard_client
from hangard.errors import UnknownRevision
from hangard.model.commit import Digest
from hangard_client.graph import draw

_OLD_DIGEST = re.compile(r"a=[0-9a-f]{40}")


def full_digest(repo: hangard_client.Repository, commit: object) -> Digest:
    """A commit's digest from all its hexadecimal digits, or from those that it had in a repository
    of Hangar which was imported. Errors: UnknownRevision, a ValueError."""
    if isinstance(commit, str) and _OLD_DIGEST.fullmatch(commit):
        return repo.log(commit, limit=1)[0].digest
    try:
        digest = bytes.fromhex(commit) if isinstance(commit, str) else b""
    except ValueError:
        digest = b""
    if len(digest) != 32:
        raise UnknownRevision(f"{commit!r} is not the full digest of a commit")
    return digest


def digest_text(digest: Digest | None) -> str:
    """As Hangar names a commit: a text, empty if there is none."""
    return digest.hex() if digest else ""


def start_of(
    repo: hangard_client.Repository, branch: str | None, commit: str | None
) -> Digest | None:
    """The commit that ``branch`` and ``commit`` mean, which wins; of neither, HEAD's.

    None: the branch has none yet. Errors: UnknownRevision.
    """
    if commit:
        return full_digest(repo, commit)
    name = branch or repo.head()
    branches = repo.branches()
    if name not in branches:
        raise UnknownRevision(f"there is no branch {name!r}", code="unknown-branch", revision=name)
    return branches[name]


def log_data(repo: hangard_client.Repository, start: Digest | None) -> dict[str, Any]:
    """What ``log(return_contents=True)`` gives: digests as texts, times in seconds of the epoch."""
    entries = repo.log(start) if start else []
    heads: dict[str, list[str]] = {}
    for name, digest in sorted(repo.branches().items()):
        if digest:
            heads.setdefault(digest.hex(), []).append(name)
    order = [entry.digest.hex() for entry in entries]
    return {
        "head": digest_text(start),
        "ancestors": {
            entry.digest.hex(): [parent.hex() for parent in entry.parents] for entry in entries
        },
        "specs": {
            entry.digest.hex(): {
                "commit_time": entry.time_ns / 1e9,
                "commit_message": entry.message,
                "commit_user": entry.author.name,
                "commit_email": entry.author.email,
            }
            for entry in entries
        },
        "order": order,
        "branch_heads": {digest: heads[digest] for digest in order if digest in heads},
    }


def print_log(
    repo: hangard_client.Repository,
    start: Digest | None,
    *,
    show_time: bool = False,
    show_user: bool = False,
) -> None:
    """The history as a graph, a line a commit: coloured in a terminal."""
    entries = repo.log(start) if start else []
    if not entries:
        print("No commit has been made yet.")
        return
    heads: dict[bytes, list[str]] = {}
    for name, digest in sorted(repo.branches().items()):
        if digest:
            heads.setdefault(digest, []).append(name)
    paint = _painter(sys.stdout.isatty())
    lines = _line_painter(paint)
    rows = draw(((entry.digest, entry.parents) for entry in entries), lines)
    for entry, row in zip(entries, rows, strict=True):
        parts = [row.mark, paint(YELLOW, entry.digest.hex())]
        if entry.digest in heads:
            parts.append(paint(GREEN, f"({', '.join(heads[entry.digest])})"))
        if show_time:
            parts.append(paint(CYAN, f"({entry.time.astimezone():%Y-%m-%d %H:%M:%S%z})"))
        if show_user:
            parts.append(paint(CYAN, f"({entry.author.name})"))
        print(*parts, ":", entry.message)
        for line in row.below:
            print(line)


YELLOW, GREEN, CYAN = 33, 32, 36
LINE_COLOURS = (31, 32, 34, 35, 36)


def _painter(coloured: bool) -> Callable[[int, str], str]:
    def paint(colour: int, text: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if coloured else text

    return paint


def _line_painter(paint: Callable[[int, str], str]) -> Callable[[str, int], str]:
    return lambda text, number: paint(LINE_COLOURS[number % len(LINE_COLOURS)], text)
