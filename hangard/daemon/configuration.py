"""The handler of a repository's settings."""

from __future__ import annotations

from hangard.daemon.service import Service
from hangard.wire.configuration import RepositoryConfig, SetConfig


class ConfigurationHandlers:
    """Each method answers one endpoint."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def set(self, request: SetConfig) -> RepositoryConfig:
        """Durable when it answers."""
        repository = self._service.repository
        values = await self._service.threads.control(repository.set_config, request.values)
        return RepositoryConfig(values=values)
