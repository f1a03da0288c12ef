"""Names of columns, branches and tags."""

from __future__ import annotations

import re

from hangard.errors import InvalidRequest, InvalidType

COLUMN_NAME_BYTES_MAX = 64
REF_NAME_BYTES_MAX = 255

_HANGAR_DIGEST = re.compile(r"a=[0-9a-f]{40}", re.ASCII)
_HANGAR_PREFIX = re.compile(r"a=[0-9a-f]{4,40}", re.ASCII)

_PART = re.compile(rf"[A-Za-z0-9_.-]{{1,{COLUMN_NAME_BYTES_MAX}}}", re.ASCII)


def check_column_name(name: object) -> str:
    """The name itself when it is legal: ``[A-Za-z0-9_.-]{1,64}``, not ``.`` or ``..``.

    Errors: InvalidType (``invalid-name-type``), InvalidRequest (``invalid-name``).
    """
    text = _text(name, "column")
    if not _is_part(text):
        raise InvalidRequest(
            f"column name {text[:80]!r}: use 1 to {COLUMN_NAME_BYTES_MAX} of A-Z a-z 0-9 _ . -,"
            " but not '.' or '..'",
            code="invalid-name",
        )
    return text


def check_ref_name(name: object) -> str:
    """The name of a branch or tag when it is legal: parts like column names, joined by ``/``.

    At most 255 bytes, so that it fits an LMDB key. ``HEAD`` is no ref.
    Errors: InvalidType (``invalid-name-type``), InvalidRequest (``invalid-name``).
    """
    text = _text(name, "branch or tag")
    if (
        text == "HEAD"
        or len(text) > REF_NAME_BYTES_MAX
        or not all(_is_part(part) for part in text.split("/"))
    ):
        raise InvalidRequest(
            f"branch or tag name {text[:80]!r}: use parts of 1 to {COLUMN_NAME_BYTES_MAX} of"
            " A-Z a-z 0-9 _ . - joined by '/', but not '.', '..' or 'HEAD',"
            f" {REF_NAME_BYTES_MAX} bytes at most",
            code="invalid-name",
        )
    return text


def check_other_name(name: str) -> str:
    """What a commit is called elsewhere, when it is one of these: ``a=`` and 40 hexadecimal
    digits (a commit's digest in Hangar).

    Errors: InvalidRequest (``invalid-name``).
    """
    if not _HANGAR_DIGEST.fullmatch(name):
        raise InvalidRequest(
            f"{name[:80]!r} is no name that a commit has elsewhere: a= and 40 hexadecimal digits",
            code="invalid-name",
        )
    return name


def begins_other_name(text: str) -> bool:
    """Whether it is such a name, or its first 4 digits or more."""
    return _HANGAR_PREFIX.fullmatch(text) is not None


def check_session_name(name: object) -> str:
    """The id of a session when it is legal; as a column's name, since a file is named after it.

    Errors: InvalidType (``invalid-name-type``), InvalidRequest (``invalid-name``).
    """
    text = _text(name, "session")
    if not _is_part(text):
        raise InvalidRequest(
            f"session name {text[:80]!r}: use 1 to {COLUMN_NAME_BYTES_MAX} of A-Z a-z 0-9 _ . -,"
            " but not '.' or '..'",
            code="invalid-name",
        )
    return text


def _is_part(text: str) -> bool:
    return _PART.fullmatch(text) is not None and text not in (".", "..")


def _text(name: object, what: str) -> str:
    if not isinstance(name, str):
        raise InvalidType(
            f"a {what} name is a str, not {type(name).__name__}", code="invalid-name-type"
        )
    return name
