"""Messages of a repository's configuration, and their requests."""

from __future__ import annotations

from typing import Final

import msgspec

from hangard.wire.requests import Request, message_request

CONFIG: Final = "/config"


class SetConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Make settings of the repository; None takes one away. None at all: only tell."""

    values: dict[str, str | None] = {}


class RepositoryConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The repository's settings by their dotted names."""

    values: dict[str, str]


def set_config(values: dict[str, str | None]) -> Request[RepositoryConfig]:
    return message_request(CONFIG, SetConfig(values=values), RepositoryConfig)
