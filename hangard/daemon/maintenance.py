"""Handlers of maintenance. What they start goes on when its client has gone."""

from __future__ import annotations

from dataclasses import asdict

import msgspec

from hangard.daemon.service import Service
from hangard.wire.maintenance import MaintenanceStage, Repacked, RepackRequest


class MaintenanceHandlers:
    """Each method answers one endpoint."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def repack(self, request: RepackRequest) -> Repacked:
        """Answers when all is done."""
        service = self._service
        service.events.write("repack", columns=request.columns)
        done = await service.threads.control(
            service.repository.repacker.repack, request.columns, request.commit
        )
        service.events.write("repacked", **msgspec.structs.asdict(done))
        return done

    async def stage(self) -> MaintenanceStage:
        """How far it is."""
        return MaintenanceStage(**asdict(self._service.repository.upkeep.maintenance.stage))
