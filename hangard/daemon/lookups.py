"""Handlers of questions about data: what a session has staged, and rows for clients that cannot
read the files themselves."""

from __future__ import annotations

from typing import Any

import numpy as np

from hangard.daemon.memory import Reservation
from hangard.daemon.service import Service
from hangard.limits import REQUEST_KEYS_MAX
from hangard.wire import frames, messages

STAGED_KEYS_MAX = 65_536  # in one answer


class LookupHandlers:
    """Each method answers one endpoint."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def staged(self, body: memoryview, reservation: Reservation) -> list[Any]:
        """States, digests and specs of keys, as of everything accepted before."""
        with reservation:
            header, keys, ends = _keys_of(body, messages.StagedRequest)
        pipeline = await self._service.find_pipeline(header.session)
        await pipeline.drain()
        states, digests, specs = await self._service.threads.control(
            self._service.repository.find_staged, header.session, header.column, keys, ends
        )
        answer = messages.StagedAnswer(count=len(states))
        return frames.encode(answer, [states, digests, specs])

    async def staged_keys(self, request: messages.StagedKeysRequest) -> list[Any]:
        """All staged keys of a column with their digests, from a position on."""
        pipeline = await self._service.find_pipeline(request.session)
        await pipeline.drain()
        return await self._service.threads.control(self._staged_keys, request)

    def _staged_keys(self, request: messages.StagedKeysRequest) -> list[Any]:
        session = self._service.repository.session(request.session)
        block = session.staged_changes(request.column)
        if block is not None and request.prefix:
            block = block.starting_with(request.prefix)
        if block is None or request.start >= len(block):
            total = len(block) if block is not None else 0
            answer = messages.StagedKeysAnswer(count=0, keys_bytes=0, total=total)
            return frames.encode(answer, [b"", b"", b""])
        stop = min(len(block), request.start + STAGED_KEYS_MAX)
        first = int(block.ends[request.start - 1]) if request.start else 0
        ends = (block.ends[request.start : stop] - np.uint32(first)).astype("<u4")
        keys = block.blob[first : first + int(ends[-1])]
        answer = messages.StagedKeysAnswer(count=len(ends), keys_bytes=len(keys), total=len(block))
        digests = np.ascontiguousarray(block.digests[request.start : stop])
        return frames.encode(answer, [keys, ends, digests])


def _keys_of(body: memoryview, header_type: Any) -> tuple[Any, bytes, Any]:
    header, view, offset = frames.split_header(body, header_type)
    count = min(header.count, REQUEST_KEYS_MAX + 1)
    lengths = [header.keys_bytes, count * frames.ENDS_BYTES]
    keys, raw_ends = frames.split_sections(view, offset, lengths)
    ends = np.frombuffer(bytes(raw_ends), "<u4")
    frames.check_ends(ends, len(keys))
    return header, bytes(keys), ends
