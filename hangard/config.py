"""Configuration of a user and of a repository.

The user's file is TOML, ``$XDG_CONFIG_HOME/hangard/config.toml`` (``~/.config`` by default)::

    [user]
    name = "Ada Lovelace"
    email = "ada@example.org"

A repository's own configuration lies in its LMDB under dotted names (``user.name``).
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hangard.errors import InvalidRequest, PermissionDenied

AUTHOR_CHARACTERS_MAX = 255


def user_file() -> Path:
    """The user's configuration file, which need not exist."""
    base = os.environ.get("XDG_CONFIG_HOME")
    directory = Path(base) if base else Path.home() / ".config"
    return directory / "hangard" / "config.toml"


def load_user(path: Path | None = None) -> dict[str, str]:
    """The user's configuration as dotted names; empty without a file.

    Errors: InvalidRequest (``invalid-config``), PermissionDenied.
    """
    file = path or user_file()
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except PermissionError as error:
        raise PermissionDenied(f"{file} may not be read: {error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{file} is no valid TOML: {error}", code="invalid-config") from error
    return dict(_dotted(content))


def find_author(
    name: str | None = None,
    email: str | None = None,
    *,
    repository: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
    user_path: Path | None = None,
) -> tuple[str, str]:
    """Name and e-mail of who commits: each from the first place that has it.

    Places: the arguments, the repository's configuration, the user's file, git's environment
    variables. Errors: InvalidRequest (``no-author``), which says how to set one.
    """
    places: list[Mapping[str, str]] = [{"user.name": name or "", "user.email": email or ""}]
    places.append(repository or {})
    if not (name and email):
        places.append(load_user(user_path))
    variables = os.environ if environment is None else environment
    places.append(
        {
            "user.name": variables.get("GIT_AUTHOR_NAME", ""),
            "user.email": variables.get("GIT_AUTHOR_EMAIL", ""),
        }
    )
    found_name = _first("user.name", places)
    found_email = _first("user.email", places)
    if not found_name or not found_email:
        missing = "name" if not found_name else "e-mail"
        raise InvalidRequest(
            f"a commit needs its author's {missing}: pass user_name= and user_email= to open,"
            f" or set GIT_AUTHOR_NAME and GIT_AUTHOR_EMAIL, or write [user] into {user_file()}",
            code="no-author",
        )
    return checked_author(found_name, found_email)


def checked_author(name: str, email: str) -> tuple[str, str]:
    """Both without surrounding blanks. Errors: InvalidRequest (``invalid-author``)."""
    result = name.strip(), email.strip()
    for text in result:
        if not text or len(text) > AUTHOR_CHARACTERS_MAX or not text.isprintable():
            raise InvalidRequest(
                f"{text[:80]!r} is no author: use 1 to {AUTHOR_CHARACTERS_MAX} printable"
                " characters",
                code="invalid-author",
            )
    return result


def _first(key: str, places: list[Mapping[str, str]]) -> str:
    return next((place[key] for place in places if place.get(key, "").strip()), "")


def _dotted(content: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    result: list[tuple[str, str]] = []
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            result += _dotted(value, f"{name}.")
        else:
            result.append((name, str(value)))
    return result
