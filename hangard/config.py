"""Configuration: what a user, a repository and a daemon have settled before a call is made.

A setting has a dotted name and a text value. The first of these places that has it wins::

    argument       of the call itself: user_name=, backend=, --author, --backend
    environment    HANGARD_ and the name in capitals: HANGARD_USER_NAME, HANGARD_COLUMN_COMPLIB
    repository     in its LMDB: `hangard config set NAME VALUE`, repo.set_config({name: value})
    user           TOML, $XDG_CONFIG_HOME/hangard/config.toml (~/.config by default):
                   `hangard config set --user NAME VALUE`
    daemon         of whoever runs it: `hangard serve -c NAME=VALUE`, or HANGARD_... in the
                   environment of `hangard serve`; a daemon that a client started has none
    git            GIT_AUTHOR_NAME and GIT_AUTHOR_EMAIL, of an author only

The user's file::

    [user]
    name = "Ada Lovelace"
    email = "ada@example.org"

    [column]
    backend = "hdf5"
    complib = "blosc2:zstd"

Settings of columns are resolved once, when a column is created or its backend is changed, into its
schema: what they become later changes no column. A place that names column.complib means a set of
options of its own: those of the places behind it are left out.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hangard.errors import InvalidRequest, PermissionDenied

AUTHOR_CHARACTERS_MAX = 255

# Every setting there is. New ones are only added.
KEYS = {
    "user.name": "author of commits",
    "user.email": "the author's e-mail address",
    "column.backend": "backend of new ndarray columns that name none, by code or name",
    "column.complib": "compressor of the HDF5 backends",
    "column.complevel": "its level",
    "column.shuffle": "shuffle of the HDF5 backends",
    "column.fletcher32": "whether their chunks carry HDF5's own checksum",
}

ENVIRONMENT_PREFIX = "HANGARD_"
_GIT = {"user.name": "GIT_AUTHOR_NAME", "user.email": "GIT_AUTHOR_EMAIL"}


@dataclass(frozen=True, slots=True)
class Levels:
    """The places of configuration that a process sees; each maps names to values."""

    environment: Mapping[str, str] = field(default_factory=dict)
    repository: Mapping[str, str] = field(default_factory=dict)
    user: Mapping[str, str] = field(default_factory=dict)
    daemon: Mapping[str, str] = field(default_factory=dict)
    git: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(
        cls,
        *,
        repository: Mapping[str, str] | None = None,
        daemon: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        user_path: Path | None = None,
    ) -> Levels:
        """The levels of now. Errors: InvalidRequest (``invalid-config``), PermissionDenied."""
        variables = os.environ if environment is None else environment
        return cls(
            environment=from_environment(variables),
            repository=repository or {},
            user=load_user(user_path),
            daemon=daemon or {},
            git={name: variables[key] for name, key in _GIT.items() if variables.get(key)},
        )

    def named(self) -> list[tuple[str, Mapping[str, str]]]:
        """Name and settings of each, the one that wins first."""
        names = ("environment", "repository", "user", "daemon", "git")
        return [(name, getattr(self, name)) for name in names]

    def find(self, name: str) -> tuple[str, str] | None:
        """A setting's value and the level it is from; None if it is nowhere."""
        for level, settings in self.named():
            if settings.get(name, "").strip():
                return settings[name], level
        return None

    def in_force(self) -> dict[str, tuple[str, str]]:
        """Value and level of everything that is set, by name."""
        names = sorted({name for _, settings in self.named() for name in settings})
        found = {name: self.find(name) for name in names}
        return {name: value for name, value in found.items() if value is not None}


def check_name(name: object) -> str:
    """The name of a setting, if there is such. Errors: InvalidRequest (``unknown-setting``)."""
    if not isinstance(name, str) or name not in KEYS:
        raise InvalidRequest(
            f"there is no setting {str(name)[:80]!r}; there are {', '.join(KEYS)}",
            code="unknown-setting",
        )
    return name


def variable_of(name: str) -> str:
    """The environment variable of a setting."""
    return ENVIRONMENT_PREFIX + name.upper().replace(".", "_")


def from_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """The settings that the environment has."""
    return {name: variables[key] for name in KEYS if variables.get(key := variable_of(name))}


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
    return dotted(content)


def dotted(content: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Tables of TOML as dotted names with text values, booleans as TOML spells them."""
    result: dict[str, str] = {}
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            result |= dotted(value, f"{name}.")
        else:
            result[name] = str(value).lower() if isinstance(value, bool) else str(value)
    return result


def find_author(
    name: str | None = None,
    email: str | None = None,
    *,
    repository: Mapping[str, str] | None = None,
    daemon: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
    user_path: Path | None = None,
) -> tuple[str, str]:
    """Name and e-mail of who commits: each from the first place that has it.

    Errors: InvalidRequest (``no-author``), which says how to set one.
    """
    if not (name and email):
        levels = Levels.read(
            repository=repository, daemon=daemon, environment=environment, user_path=user_path
        )
        found_name, found_email = levels.find("user.name"), levels.find("user.email")
        name = name or (found_name[0] if found_name else None)
        email = email or (found_email[0] if found_email else None)
    if not name or not email:
        missing = "name" if not name else "e-mail"
        raise InvalidRequest(
            f"a commit needs its author's {missing}: pass user_name= and user_email= to open,"
            f" or set GIT_AUTHOR_NAME and GIT_AUTHOR_EMAIL, or write [user] into {user_file()}",
            code="no-author",
        )
    return checked_author(name, email)


def checked_author(name: str, email: str) -> tuple[str, str]:
    """Both without surrounding blanks. Errors: InvalidRequest (``invalid-author``)."""
    return checked_author_text(name), checked_author_text(email)


def checked_author_text(text: str) -> str:
    """An author's name or address without surrounding blanks. Errors: InvalidRequest."""
    result = text.strip()
    if not result or len(result) > AUTHOR_CHARACTERS_MAX or not result.isprintable():
        raise InvalidRequest(
            f"{result[:80]!r} is no author: use 1 to {AUTHOR_CHARACTERS_MAX} printable characters",
            code="invalid-author",
        )
    return result
