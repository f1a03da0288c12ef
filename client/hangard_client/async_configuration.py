"""Settings of a repository and its user, for asyncio (hangard.config says which counts)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hangard.config import Levels, check_name, load_user
from hangard.errors import InvalidRequest, InvalidType
from hangard.model.configuration import check_setting, column_defaults
from hangard.wire.configuration import set_config
from hangard.wire.endpoint import read_endpoint
from hangard_client.connection import Connection
from hangard_client.user_config import set_user_config

if TYPE_CHECKING:
    from hangard.reading.snapshot import RepositoryReader

Level = Literal["repository", "user"]


class AsyncConfiguration:
    """What AsyncRepository can do about settings."""

    path: Path
    _connection: Connection

    if TYPE_CHECKING:

        def reader(self) -> RepositoryReader: ...

    async def levels(self) -> Levels:
        """All places of configuration as this process sees them. Errors: InvalidRequest
        (``invalid-config``)."""
        return self.read_levels()

    async def config(self, level: Level | None = None) -> dict[str, str]:
        """Settings by their dotted names: of the repository, of the user, or (None) all that are
        in force, from wherever they are. Errors: InvalidRequest (``invalid-config``)."""
        return self.read_config(level)

    async def set_config(
        self, values: Mapping[str, str | int | bool | None], level: Level = "repository"
    ) -> dict[str, str]:
        """Make settings, or (None) take them away; all that the level has then.

        Errors: InvalidRequest (``unknown-setting``, ``invalid-setting``, ``unknown-level``), which
        name what is legal; InvalidType.
        """
        if not isinstance(values, Mapping):
            raise InvalidType(
                f"settings are a mapping of names to values, {{name: value}}, not"
                f" {type(values).__name__}",
                code="invalid-setting",
            )
        checked: dict[str, str | None] = {}
        for name, value in values.items():
            checked[check_name(name)] = None if value is None else check_setting(name, value)[1]
        if check_level(level) == "user":
            return set_user_config(checked)
        return (await self._connection.send(set_config(checked))).values

    # Local reads, which the synchronous client uses without a hop to the loop.

    def read_levels(self) -> Levels:
        endpoint = read_endpoint(self.path)
        return Levels.read(
            repository=self.reader().config(),
            daemon=endpoint.config if endpoint is not None else None,
        )

    def read_config(self, level: Level | None) -> dict[str, str]:
        if level is None:
            return {name: value for name, (value, _) in self.read_levels().in_force().items()}
        return load_user() if check_level(level) == "user" else self.reader().config()

    def column_defaults(self) -> dict[str, Any]:
        """Backend and options of columns that name none."""
        return column_defaults(self.read_levels())


def check_level(level: object) -> Level:
    """Errors: InvalidRequest (``unknown-level``)."""
    if level == "repository" or level == "user":
        return level
    raise InvalidRequest(
        f"settings are made for 'repository' or 'user', not for {level!r}", code="unknown-level"
    )
