"""The handler of merge, revert and cherry-pick."""

from __future__ import annotations

import msgspec

from hangard.daemon.changes import check_metadata
from hangard.daemon.service import Service
from hangard.wire.merging import MergeRequest, MergeResult


class MergeHandlers:
    """Each method answers one endpoint."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def merge(self, request: MergeRequest) -> MergeResult:
        """Behind everything that was accepted for the session, if one goes on from the result."""
        service = self._service
        check_metadata(request.metadata)
        if not request.session:
            return await service.threads.control(service.repository.merge, request)
        pipeline = await service.find_pipeline(request.session)
        service.check_not_taken(request.session, request.last_sequence)
        await pipeline.drain()
        pipeline.raise_failure()
        async with pipeline.column_lock:
            result = await service.threads.control(service.repository.merge, request)
            session = await service.threads.control(service.repository.session, request.session)
            state = await service.threads.control(service.describe, session, 0)
        return msgspec.structs.replace(result, state=state)
