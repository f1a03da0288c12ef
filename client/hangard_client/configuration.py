"""Settings of a repository and its user, synchronous (hangard.config says which counts)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from hangard.config import Levels
from hangard_client.async_configuration import Level
from hangard_client.portal import Portal

if TYPE_CHECKING:
    from hangard_client.async_repository import AsyncRepository


class Configuration:
    """What Repository can do about settings."""

    _inner: AsyncRepository
    _portal: Portal

    def levels(self) -> Levels:
        """All places of configuration as this process sees them. Errors: InvalidRequest
        (``invalid-config``)."""
        return self._inner.read_levels()

    def config(self, level: Level | None = None) -> dict[str, str]:
        """Settings by their dotted names: of the repository, of the user, or (None) all that are
        in force, from wherever they are. Errors: InvalidRequest (``invalid-config``)."""
        return self._inner.read_config(level)

    def set_config(
        self, values: Mapping[str, str | int | bool | None], level: Level = "repository"
    ) -> dict[str, str]:
        """Make settings, or (None) take them away; all that the level has then.

        Errors: InvalidRequest (``unknown-setting``, ``invalid-setting``, ``unknown-level``), which
        name what is legal; InvalidType.
        """
        return self._portal.run(self._inner.set_config(values, level))
