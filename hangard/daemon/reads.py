"""Handlers for clients that cannot read the files themselves: in another container, or when no slot
for a reader is left. What they ask for is named by digests, as in the files.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from hangard.daemon.memory import Reservation
from hangard.daemon.service import Service
from hangard.errors import InvalidRequest
from hangard.limits import REQUEST_BODY_BYTES_MAX, SAMPLE_BYTES_MAX
from hangard.model.schema import Schema, check_schema, normal_dtype
from hangard.wire import frames, messages

DIGEST_BYTES = 32


class ReadHandlers:
    """Each method answers one endpoint."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def tree(self, request: messages.OpenTree) -> messages.TreeState:
        return await self._service.threads.control(self._tree, request)

    async def node(self, request: messages.NodeRequest) -> messages.Node:
        return await self._service.threads.control(self._node, request)

    async def samples(self, body: memoryview, reservation: Reservation) -> list[Any]:
        with reservation:
            header, view, offset = frames.split_header(body, messages.SamplesRequest)
            (raw,) = frames.split_sections(view, offset, [header.count * DIGEST_BYTES])
            digests = np.frombuffer(bytes(raw), np.uint8).reshape(-1, DIGEST_BYTES)
        if header.ragged is not None:
            return await self._ragged_samples(check_schema(header.ragged.schema()), digests)
        row_bytes = prod(header.shape) * np.dtype(normal_dtype(header.dtype)).itemsize
        if row_bytes > SAMPLE_BYTES_MAX:
            raise InvalidRequest(f"no sample has {row_bytes} bytes", code="sample-too-large")
        rows_bytes = header.count * row_bytes
        if header.count != 1 and rows_bytes > REQUEST_BODY_BYTES_MAX:
            raise InvalidRequest(
                f"{rows_bytes} bytes of samples; ask for {REQUEST_BODY_BYTES_MAX} at most",
                code="answer-too-large",
            )
        with await self._service.memory.reserve(rows_bytes):
            rows = await self._service.threads.control(self._samples, header, digests, row_bytes)
            return frames.encode(messages.SamplesAnswer(rows_bytes=rows_bytes), [rows])

    async def _ragged_samples(self, schema: Schema, digests: Any) -> list[Any]:
        """As many of the samples as one answer may hold, at least one."""
        control = self._service.threads.control
        samples = self._service.reader().samples
        sizes = await control(samples.sizes_of, schema, digests)
        count, rows_bytes = 0, 0
        while count < len(sizes) and (
            not count or rows_bytes + sizes[count] <= REQUEST_BODY_BYTES_MAX
        ):
            rows_bytes += sizes[count]
            count += 1
        with await self._service.memory.reserve(rows_bytes):
            rows = await control(samples.read_rows, schema, digests[:count])
            answer = messages.SamplesAnswer(rows_bytes=rows.nbytes, count=count)
            return frames.encode(answer, [rows.data, rows.shapes.reshape(-1).view(np.uint8)])

    def _tree(self, request: messages.OpenTree) -> messages.TreeState:
        reader = self._service.reader()
        commit = request.commit
        if commit is None:
            branches = reader.branches()
            if request.revision in branches:
                commit = branches[request.revision]
                if commit is None:
                    return messages.TreeState(commit=None, columns={})
            else:
                commit = reader.resolve(request.revision)
        columns = {
            name: messages.TreeColumn(
                messages.SchemaMessage.of(reader.schema(entry.schema)), entry.root
            )
            for name, entry in reader.tree(reader.commit(commit).tree).items()
        }
        return messages.TreeState(commit=commit, columns=columns)

    def _node(self, request: messages.NodeRequest) -> messages.Node:
        return messages.Node(record=self._service.reader().nodes.get(request.digest))

    def _samples(
        self, header: messages.SamplesRequest, digests: Any, row_bytes: int
    ) -> np.ndarray[Any, Any]:
        out = np.empty((header.count, row_bytes), np.uint8)
        self._service.reader().samples.read_many(digests, row_bytes, out)
        return out.reshape(-1)
