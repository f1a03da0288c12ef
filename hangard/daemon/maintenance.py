"""Handlers of maintenance. What they start goes on when its client has gone."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import msgspec

from hangard.daemon.service import Service
from hangard.wire import integrity
from hangard.wire.maintenance import MaintenanceStage, Repacked, RepackRequest


class MaintenanceHandlers:
    """Each method answers one endpoint."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def gc(self, request: integrity.GcRequest) -> integrity.GcResult:
        """Answers when all is done."""
        options: dict[str, Any] = {"full": request.full, "dry_run": request.dry_run}
        if request.grace_s is not None:
            options["grace_s"] = request.grace_s
        if request.reflog_age_s is not None:
            options["reflog_age_s"] = request.reflog_age_s
        done = await self._service.threads.control(self._service.repository.upkeep.gc, **options)
        self._service.events.write("gc", **asdict(done))
        return integrity.GcResult(**asdict(done))

    async def purge(self, request: integrity.PurgeRequest) -> integrity.PurgeResult:
        """Answers when the samples are in no file any more."""
        upkeep = self._service.repository.upkeep
        done = await self._service.threads.control(
            upkeep.purge, request.digests, dry_run=request.dry_run
        )
        self._service.events.write("purge", **asdict(done))
        return integrity.PurgeResult(**asdict(done))

    async def undo_purge(self, request: integrity.PurgeRequest) -> integrity.PurgeUndone:
        """Let equal content in again."""
        upkeep = self._service.repository.upkeep
        count = await self._service.threads.control(upkeep.undo_purge, request.digests)
        return integrity.PurgeUndone(samples=count)

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
