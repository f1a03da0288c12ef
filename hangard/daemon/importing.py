"""Handlers of what only imports ask for."""

from __future__ import annotations

from hangard.daemon.service import Service
from hangard.wire import messages
from hangard.wire.importing import MoveBranches


class ImportHandlers:
    """Each method answers one endpoint."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def move_branches(self, request: MoveBranches) -> messages.Done:
        """Put branches on commits that were imported."""
        repository = self._service.repository
        await self._service.threads.control(repository.move_branches, request)
        return messages.Done()
