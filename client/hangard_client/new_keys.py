"""Keys for samples that are appended.

Form     32 characters, ``TTTTTTTTTTTTTTTT-RRRRRRRRRRRRRRR``: nanoseconds since 1970 as 16
         lowercase hexadecimal digits, a hyphen, 15 random hexadecimal digits. Such keys sort by
         their time; two of one process never share theirs, and those of two processes differ.
         They are legal names of Hangar's, too.
"""

from __future__ import annotations

import os
import secrets
import time
from threading import Lock

_lock = Lock()
_last_ns = 0


def new_key() -> str:
    """A key that no other call gives, above all that this process was given before."""
    global _last_ns
    with _lock:
        _last_ns = max(time.time_ns(), _last_ns + 1)
        return f"{_last_ns:016x}-{secrets.token_hex(8)[:15]}"


def _after_fork_in_child() -> None:
    global _lock
    _lock = Lock()


os.register_at_fork(after_in_child=_after_fork_in_child)
