"""What Hangar accepts as the name of a column, a branch or a sample.

All of them are ``[A-Za-z0-9_.-]{1,64}``; a sample may also be an int from 0. The native face
accepts more, and what it wrote can be read here.
"""

from __future__ import annotations

import re
from typing import Any

from hangard_ext.treekey import KEY_INT_MAX

from hangard.errors import InvalidRequest

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
_LEGAL = "1 to 64 of A-Z a-z 0-9 _ . -"


def checked_name(what: str, name: object) -> str:
    """The name of a column or branch. Errors: InvalidRequest (``invalid-name``)."""
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name in (".", ".."):
        raise InvalidRequest(
            f"{what} name {_shown(name)}: use a str of {_LEGAL}, but not '.' or '..'",
            code="invalid-name",
        )
    return name


def checked_key(key: object) -> Any:
    """The key of a sample or subsample that is to be written.

    ``True`` is no key here: in Hangar it was, and spoiled the commit that held it.
    Errors: InvalidRequest (``invalid-key``).
    """
    if type(key) is int:
        if 0 <= key <= KEY_INT_MAX:
            return key
    elif isinstance(key, str) and _NAME.fullmatch(key):
        return key
    raise InvalidRequest(
        f"sample key {_shown(key)}: use an int from 0 to {KEY_INT_MAX}, or a str of {_LEGAL}",
        code="invalid-key",
    )


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
