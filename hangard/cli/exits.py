"""Exit codes, and how an error is told.

0 done | 1 error | 2 wrong usage | 3 conflict | 4 busy | 130 interrupted, as shells have it
"""

from __future__ import annotations

import sys

from hangard.cli.output import key_text
from hangard.errors import Busy, Conflict, HangardError

EXIT_ERROR = 1
EXIT_USAGE = 2
EXIT_CONFLICT = 3
EXIT_BUSY = 4
EXIT_INTERRUPTED = 130

KEYS_SHOWN_MAX = 20


def report(error: HangardError) -> int:
    """Print an error on standard error; the exit code that belongs to it."""
    print(f"error: {error.message} [{error.code}]", file=sys.stderr)
    if error.code == "no-author":
        print('Here: hangard commit -m MESSAGE --author "Name <email>"', file=sys.stderr)
    if not isinstance(error, Conflict):
        return EXIT_BUSY if isinstance(error, Busy) else EXIT_ERROR
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
    return EXIT_CONFLICT
