"""Exit codes, and how an error is told.

0 done | 1 error | 2 wrong usage | 3 conflict | 4 busy | 130 interrupted, as shells have it
"""

from __future__ import annotations

import sys

from hangard.cli.output import key_text, print_json
from hangard.config import user_file
from hangard.errors import Busy, Conflict, HangardError

EXIT_ERROR = 1
EXIT_USAGE = 2
EXIT_CONFLICT = 3
EXIT_BUSY = 4
EXIT_INTERRUPTED = 130

KEYS_SHOWN_MAX = 20


def report(error: HangardError, *, as_json: bool = False) -> int:
    """Print an error on standard error, as JSON on standard output; the exit code it has."""
    if as_json:
        report_json(error, error.code, worded(error))
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


def report_json(error: Exception, code: str, message: str) -> None:
    """An error for programs, on standard output like all that they read."""
    print_json({"error": type(error).__name__, "code": code, "message": message})


def worded(error: HangardError) -> str:
    """The message, with the options of the command line where it names arguments of Python."""
    if error.code == "commit-conflict":
        return error.message.partition(" Commit again with strategy=")[0] + (
            " Commit again with --strategy ours|theirs"
        )
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
    keys = error.details.get("keys", [])
    for column, key in keys[:KEYS_SHOWN_MAX]:
        print(f"  {column} {key_text(key)}", file=sys.stderr)
    hidden = int(error.details.get("total", len(keys))) - min(len(keys), KEYS_SHOWN_MAX)
    if hidden > 0:
        print(f"  and {hidden} more", file=sys.stderr)
    print(
        "To settle it, commit again with --strategy ours (what you staged)"
        " or --strategy theirs (what the branch has).",
        file=sys.stderr,
    )
