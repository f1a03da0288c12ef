"""Handlers of what changes a session: changes, pieces, columns, flush, commit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
from hangard_ext.treekey import check_keys

from hangard.daemon.applying import Abandoned
from hangard.daemon.bodies import new_buffer
from hangard.daemon.memory import Reservation
from hangard.daemon.pipeline import Pipeline, Work, release_held
from hangard.daemon.service import Service
from hangard.errors import Closed, HangardError, InvalidRequest
from hangard.limits import METADATA_BYTES_MAX, SAMPLE_BYTES_MAX, WINDOW_BYTES
from hangard.model.keys import PackedKeys
from hangard.model.ragged import RaggedRows
from hangard.model.schema import check_schema, normal_dtype
from hangard.repository.batching import Rows
from hangard.repository.changes import Change as StagedChange
from hangard.repository.changes import ColumnChange
from hangard.wire import frames, messages
from hangard.wire.frames import ChangeSections


class ChangeHandlers:
    """Each method answers one endpoint."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def change(self, body: memoryview, reservation: Reservation) -> messages.Accepted:
        """Accept changes; they are applied later, and an answer means that they will be."""
        header, view, offset = frames.split_header(body, messages.ChangeRequest)
        changes = frames.join_changes(view, offset, header.changes)
        pipeline = await self._pipeline(header.session, header.epoch)
        await self._accept(pipeline, header.sequence, changes, reservation)
        failure = pipeline.tell(header.sequence)
        return messages.Accepted(failure=messages.ErrorMessage.of(failure) if failure else None)

    async def piece(self, body: memoryview, reservation: Reservation) -> messages.Done:
        """Take one piece of a large row."""
        with reservation:
            header, view, offset = frames.split_header(body, messages.PieceRequest)
            rows_bytes = header.length if header.rows_in == "body" and not header.drop else 0
            (rows,) = frames.split_sections(view, offset, [rows_bytes])
            if header.session not in self._service.pipelines:
                await self._service.find_pipeline(header.session)
            if header.drop:
                self._service.uploads.drop(header.session, header.upload)
                return messages.Done()
            target = await self._service.uploads.open_piece(header)
            if target is None:
                return messages.Done()
            if header.rows_in == "window":
                self._service.windows.read_into(header.rows_id, header.rows_offset, target)
            else:
                target[:] = rows
            self._service.uploads.fill(header)
        return messages.Done()

    async def column(self, request: messages.ColumnRequest) -> messages.ColumnState:
        """Add, remove or change a column, behind everything accepted before."""
        pipeline = await self._service.find_pipeline(request.session)
        await pipeline.drain()
        pipeline.raise_failure()
        schema = check_schema(request.schema.schema()) if request.schema is not None else None
        if (schema is None) != (request.kind == "remove"):
            raise InvalidRequest("a schema goes with add and change only", code="invalid-message")
        change = ColumnChange(request.column, schema, create=request.kind == "add")
        async with pipeline.column_lock:
            return await self._service.threads.control(
                self._change_column, request.session, pipeline, change
            )

    async def flush(self, request: messages.FlushRequest) -> messages.Done:
        """Answer when what was accepted survives a kill of the daemon."""
        pipeline = await self._service.find_pipeline(request.session)
        await pipeline.drain()
        pipeline.raise_failure()
        await self._service.threads.control(pipeline.target.check_contains, request.last_sequence)
        return messages.Done()

    async def commit(self, body: memoryview, reservation: Reservation) -> messages.CommitResult:
        """Apply what rides on the request and all that was accepted before, then commit."""
        header, view, offset = frames.split_header(body, messages.CommitBody)
        changes = frames.join_changes(view, offset, header.changes)
        request = header.commit
        check_metadata(request.metadata)
        pipeline = await self._pipeline(request.session, request.epoch)
        self._service.check_not_taken(request.session, request.last_sequence)
        works: list[Work] = []
        if changes and pipeline.check_next(header.sequence, len(changes)):
            await pipeline.wait_for_room()
            works = await self._works(pipeline, changes)
        try:
            repository = self._service.repository
            with repository.expecting_commit():
                return await pipeline.commit(
                    header.sequence,
                    works,
                    partial(repository.commit, request.session, request),
                    reservation,
                    command=request.command_id,
                    find_done=partial(repository.find_result, request.command_id),
                )
        except HangardError as error:
            # The client must not send again what rode on the request, if it was taken.
            error.details["accepted"] = pipeline.accepted(header.sequence)
            raise

    async def _pipeline(self, session: str, epoch: bytes) -> Pipeline:
        if epoch and epoch != self._service.epoch:
            raise Closed(
                f"the daemon was restarted; resume session {session}", code="epoch-changed"
            )
        return await self._service.find_pipeline(session)

    async def _accept(
        self,
        pipeline: Pipeline,
        sequence: int,
        changes: Sequence[ChangeSections],
        reservation: Reservation,
    ) -> None:
        if not pipeline.check_next(sequence, len(changes)):
            reservation.release()
            return
        await pipeline.wait_for_room()
        works = await self._works(pipeline, changes)
        try:
            if not pipeline.accept(sequence, works, reservation):
                release_held(works)  # the same request came twice, and the other was first
        except BaseException:
            release_held(works)
            raise

    async def _works(self, pipeline: Pipeline, changes: Sequence[ChangeSections]) -> list[Work]:
        works: list[Work] = []
        try:
            for change in changes:
                work = await self._work(pipeline, change)
                work.more = change.change.more
                works.append(work)
        except BaseException:
            release_held(works)
            raise
        return works

    async def _work(self, pipeline: Pipeline, sections: ChangeSections) -> Work:
        change = sections.change
        # Copies: staged keys must not keep the whole body, with its rows, in memory.
        keys = bytes(sections.keys), sections.ends.copy()
        if change.kind == "abandon":
            return Work(change.column, keys, _abandon)
        if change.kind == "delete":
            prepare = partial(self._prepare_deletion, pipeline.session, change.column, keys)
            return Work(change.column, keys, prepare)
        rows, held = sections.rows, None
        ends = _ragged_ends(sections)
        row_bytes = _row_bytes(change) if ends is None else 0
        rows_bytes = row_bytes * change.count if ends is None else _last(ends)
        if change.rows_in == "upload":
            rows, held = self._service.uploads.take(pipeline.session, change.rows_id, rows_bytes)
        elif change.rows_in == "window":
            if rows_bytes > WINDOW_BYTES:
                raise InvalidRequest(
                    f"{change.count} rows of {rows_bytes} bytes are in no window",
                    code="invalid-window-range",
                )
            held = await self._service.memory.reserve(rows_bytes)
            try:
                rows = new_buffer(rows_bytes)
                self._service.windows.read_into(change.rows_id, change.rows_offset, rows)
            except BaseException:
                held.release()
                raise
        if len(rows) != rows_bytes:
            raise InvalidRequest(
                f"{change.count} rows of {rows_bytes} bytes are not {len(rows)} bytes",
                code="wrong-row-bytes",
            )
        data = np.frombuffer(rows, np.uint8)
        batch: Rows = data.reshape(change.count, row_bytes) if ends is None else data
        if sections.shapes is not None and ends is not None:
            batch = RaggedRows(data, ends, sections.shapes.copy())
        prepare = partial(self._prepare_rows, pipeline.session, change, keys, batch)
        return Work(change.column, keys, prepare, held=held)

    def _prepare_rows(
        self, session: str, change: messages.Change, keys: PackedKeys, rows: Any
    ) -> StagedChange:
        self._check_keys(session, change.column, keys)
        return self._service.repository.prepare_rows(
            session, change.column, *keys, change.dtype, change.shape, rows
        )

    def _prepare_deletion(self, session: str, column: str, keys: PackedKeys) -> StagedChange:
        self._check_keys(session, column, keys)
        return self._service.repository.prepare_deletion(session, column, *keys)

    def _check_keys(self, session: str, column: str, keys: PackedKeys) -> None:
        """Errors: InvalidRequest (``invalid-key``) unless they are keys of the column's layout."""
        schema = self._service.repository.session(session).schema(column)
        try:
            check_keys(*keys, schema.layout == "nested")
        except ValueError as error:
            raise InvalidRequest(str(error), code="invalid-key") from error

    def _change_column(
        self, session_id: str, pipeline: Pipeline, change: ColumnChange
    ) -> messages.ColumnState:
        session = self._service.repository.session(session_id)
        if not pipeline.column_sequence:
            pipeline.column_sequence = session.attach()
        session.apply(pipeline.column_sequence, change)
        pipeline.column_sequence += 1
        return messages.ColumnState(column=self._service.describe_column(session, change.column))


def _abandon() -> StagedChange:
    raise Abandoned


def check_metadata(metadata: Iterable[tuple[str, str]]) -> None:
    """Errors: InvalidRequest (``metadata-too-large``)."""
    metadata_bytes = sum(len(key) + len(value) for key, value in metadata)
    if metadata_bytes > METADATA_BYTES_MAX:
        raise InvalidRequest(
            f"metadata of {metadata_bytes} characters; at most {METADATA_BYTES_MAX}",
            code="metadata-too-large",
        )


def _row_bytes(change: messages.Change) -> int:
    """Bytes of each of a change's rows, all of one shape."""
    row_bytes = prod(change.shape) * np.dtype(normal_dtype(change.dtype)).itemsize
    if row_bytes > SAMPLE_BYTES_MAX:
        raise _too_large(row_bytes)
    return row_bytes


def _ragged_ends(sections: ChangeSections) -> npt.NDArray[np.uint64] | None:
    """Where rows of any shapes end; None for rows of one shape."""
    if sections.shapes is None:
        return None
    item_bytes = np.dtype(normal_dtype(sections.change.dtype)).itemsize
    # In floating point, where nothing overflows, then exactly.
    with np.errstate(over="ignore", invalid="ignore"):
        sizes = sections.shapes.astype(np.float64).prod(axis=1) * item_bytes
    fits = sizes <= SAMPLE_BYTES_MAX
    if not fits.all():
        raise _too_large(sizes[np.argmin(fits)])
    items = sections.shapes.prod(axis=1, dtype=np.uint64)
    return np.cumsum(items * np.uint64(item_bytes), dtype=np.uint64)


def _last(ends: npt.NDArray[np.uint64]) -> int:
    return int(ends[-1]) if len(ends) else 0


def _too_large(row_bytes: float) -> InvalidRequest:
    return InvalidRequest(
        f"a row of {row_bytes:.0f} bytes; at most {SAMPLE_BYTES_MAX} are possible",
        code="sample-too-large",
    )
