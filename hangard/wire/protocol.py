"""Version, paths and headers of the protocol.

Every request carries ``HEADER_PROTOCOL``; a daemon answers any other version with Unavailable,
code ``protocol-mismatch``, which says which side to restart. Bodies are msgpack (``messages``) or
framed (``frames``).
"""

from __future__ import annotations

from typing import Final

from hangard.errors import Unavailable

PROTOCOL_VERSION: Final = 1

HEADER_PROTOCOL: Final = "X-Hangard-Protocol"
HEADER_ERROR: Final = "X-Hangard-Error"  # class name of hangard.errors, beside an error status
CONTENT_TYPE_MESSAGE: Final = "application/vnd.hangard.message"
CONTENT_TYPE_FRAMES: Final = "application/vnd.hangard.frames"

HELLO: Final = "/hello"
STATUS: Final = "/status"
STOP: Final = "/stop"
SESSIONS: Final = "/sessions"
SESSION_OPEN: Final = "/sessions/open"
SESSION_RESUME: Final = "/sessions/resume"
SESSION_CLOSE: Final = "/sessions/close"
SESSION_LEASE: Final = "/sessions/lease"
CHANGES: Final = "/changes"
PIECES: Final = "/pieces"
COLUMNS: Final = "/columns"
FLUSH: Final = "/flush"
COMMIT: Final = "/commit"
STAGED: Final = "/staged"
STAGED_KEYS: Final = "/staged/keys"
BRANCH_CREATE: Final = "/branches/create"
BRANCH_DELETE: Final = "/branches/delete"
BRANCH_RENAME: Final = "/branches/rename"
BRANCH_RESET: Final = "/branches/reset"
TAG_CREATE: Final = "/tags/create"
TAG_DELETE: Final = "/tags/delete"
SESSION_RESET: Final = "/sessions/reset"
HEAD: Final = "/head"
TREE: Final = "/tree"
NODE: Final = "/node"
SAMPLES: Final = "/samples"


def check_version(theirs: str | None, *, peer: str) -> None:
    """Refuse a peer that speaks another version.

    ``peer`` names who sent ``theirs``: "client" or "daemon".
    Errors: Unavailable (``protocol-mismatch``).
    """
    if theirs == str(PROTOCOL_VERSION):
        return
    older = theirs is None or not theirs.isdecimal() or int(theirs[:9]) < PROTOCOL_VERSION
    this = "daemon" if peer == "client" else "client"
    restart = peer if older else this
    what = (
        "stop the daemon; the next write starts a new one"
        if restart == "daemon"
        else ("upgrade and restart the client process")
    )
    raise Unavailable(
        f"the {peer} speaks protocol version {theirs or 'unknown'},"
        f" this {this} {PROTOCOL_VERSION}: {what}",
        code="protocol-mismatch",
        restart=restart,
    )
