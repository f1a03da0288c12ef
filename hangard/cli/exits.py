"""Exit codes, and how an error is told.

0 done | 1 error | 2 wrong usage | 3 conflict | 4 busy | 130 interrupted, as shells have it
"""

from __future__ import annotations

import sys
from typing import Any

from hangard.cli.output import key_text, print_json
from hangard.config import user_file
from hangard.errors import Busy, Conflict, HangardError

EXIT_ERROR = 1
EXIT_USAGE = 2
EXIT_CONFLICT = 3
EXIT_BUSY = 4
EXIT_INTERRUPTED = 130

KEYS_SHOWN_MAX = 20

KINDS = {
    "t1": "added differently on both sides",
    "t21": "deleted here, changed there",
    "t22": "changed here, deleted there",
    "t3": "changed differently on both sides",
}


def report(error: HangardError, *, as_json: bool = False) -> int:
    """Print an error on standard error, as JSON on standard output; the exit code it has."""
    if as_json:
        more = {}
        if isinstance(error, Conflict):
            more = {"conflicts": conflict_records(error), "total": error.details.get("total")}
        report_json(error, error.code, worded(error), **more)
    else:
        print(f"error: {worded(error)} [{error.code}]", file=sys.stderr)
    if not isinstance(error, Conflict):
        return EXIT_BUSY if isinstance(error, Busy) else EXIT_ERROR
    if not as_json:
        print_keys(error)
    return EXIT_CONFLICT


def report_os_error(error: OSError, *, as_json: bool = False) -> int:
    """The same for what the system refuses: a path that is not there, a disk without space."""
    reason = error.strerror or str(error) or type(error).__name__
    message = reason if error.filename is None else f"{error.filename}: {reason}"
    if as_json:
        report_json(error, "os-error", message)
    else:
        print(f"error: {message}", file=sys.stderr)
    return EXIT_ERROR


def report_json(error: Exception, code: str, message: str, **more: Any) -> None:
    """An error for programs, on standard output like all that they read."""
    print_json({"error": type(error).__name__, "code": code, "message": message, **more})


def worded(error: HangardError) -> str:
    """The message, with the options of the command line where it names arguments of Python."""
    if error.code == "commit-conflict":
        return error.message.partition(" Commit again with strategy=")[0] + (
            " Commit again with --strategy ours|theirs, or --choose COLUMN[:KEY]=SIDE"
        )
    if error.code == "merge-conflict":
        return error.message.partition(" Try again with strategy=")[0] + (
            " Try again with --strategy ours|theirs, or --choose COLUMN[:KEY]=SIDE"
        )
    if error.code == "not-fast-forward":
        return error.message.replace("merge with ff='auto'", "merge without --ff-only")
    if error.code == "mainline":
        return error.message.replace("mainline=", "--mainline")
    if error.code == "no-author":
        return (
            "a commit needs its author's name and e-mail: hangard commit -m MESSAGE"
            " --author 'NAME <EMAIL>', or set GIT_AUTHOR_NAME and GIT_AUTHOR_EMAIL, or write"
            f" [user] into {user_file()}"
        )
    if error.code == "branch-not-merged":
        return error.message.replace("force deletes", "--force deletes")
    return error.message


def print_keys(error: Conflict) -> None:
    """The keys that both sides changed, and the way out."""
    found = conflict_records(error)
    for conflict in found[:KEYS_SHOWN_MAX]:
        print(conflict_line(**conflict), file=sys.stderr)
    hidden = int(error.details.get("total", len(found))) - min(len(found), KEYS_SHOWN_MAX)
    if hidden > 0:
        print(f"  and {hidden} more", file=sys.stderr)
    if error.code != "merge-conflict":
        print(
            "To settle it, commit again with --strategy ours (what you staged)"
            " or --strategy theirs (what the branch has).",
            file=sys.stderr,
        )


def conflict_line(column: str, key: Any, kind: str) -> str:
    """One conflict for people; ours is "here", theirs is "there"."""
    what = "(the column itself)" if key is None else key_text(key)
    return f"  {column} {what}" + (f": {KINDS[kind]}" if kind in KINDS else "")


def conflict_records(error: Conflict) -> list[dict[str, Any]]:
    """The listed conflicts as plain values."""
    keys = error.details.get("keys", [])
    kinds = error.details.get("kinds") or [""] * len(keys)
    return [
        {"column": column, "key": key, "kind": kind}
        for (column, key), kind in zip(keys, kinds, strict=True)
    ]
