"""Reads in a write checkout: the client's buffer, then the session's staged keys, then the base.

The daemon is asked once a batch of keys, and not at all about a column that nobody changed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from hangard_ext.keyblock import find_keys, merge_changes, take_keys
from hangard_ext.treekey import decode_key, decode_keys

from hangard.errors import UnknownKey
from hangard.limits import REQUEST_KEYS_MAX
from hangard.model.keys import Key, PackedKeys
from hangard.reading.columns import ColumnReader
from hangard.tree.iterate import iterate
from hangard.tree.store import NodeSource
from hangard.wire import requests
from hangard.wire.messages import StagedKeysRequest, StagedRequest
from hangard_client.buffers import ColumnBuffer, pack
from hangard_client.staging import Staging

NOT_STAGED, STAGED, DELETED = 0, 1, 2

Bytes = npt.NDArray[np.uint8]
Changes = tuple[bytes, npt.NDArray[np.uint32], Bytes]


class Overlay:
    """One column of a write checkout, as its session sees it.

    ``open_base`` gives the base commit's samples: none where the session began the column.
    The coroutines run on the connection's loop.
    """

    def __init__(
        self,
        staging: Staging,
        buffer: ColumnBuffer,
        open_base: Callable[[], ColumnReader],
        nodes: NodeSource,
    ) -> None:
        self._open_base = open_base
        self._base: ColumnReader | None = None
        self._staging = staging
        self._buffer = buffer
        self._nodes = nodes

    @property
    def base(self) -> ColumnReader:
        """The column as the commit has it that the session goes on from."""
        base = self._base
        if base is None:
            base = self._base = self._open_base()
        return base

    def forget_base(self) -> None:
        """The session goes on from another commit."""
        self._base = None

    @property
    def is_local(self) -> bool:
        """Whether only this client's buffer and the base have to be looked at."""
        return not self._staging.may_be_staged(self._buffer.column)

    @property
    def only_adds(self) -> bool:
        """Whether what the base commit has is there, whatever is staged. Errors: as
        ``find_buffered``."""
        with self._staging.lock:
            self._staging.check_column(self._buffer)
            return self.is_local and not self._buffer.has_deletions

    def find_buffered(self, encoded: bytes) -> npt.NDArray[Any] | None:
        """A copy of a buffered row, None if the key is not buffered. Errors: UnknownKey if it is
        deleted there; Closed."""
        with self._staging.lock:
            self._staging.check_column(self._buffer)
            if self._buffer.is_deleted(encoded):
                raise self.unknown(encoded)
            return self._buffer.find(encoded)

    async def get_many(self, keys: PackedKeys, out: npt.NDArray[Any] | None) -> Any:
        """Samples of packed keys, in their order, (n, *shape). Errors: UnknownKey."""
        blob, ends = keys
        rows = self.base.output(len(ends), out)
        left = self._fill_buffered(keys, rows)
        if len(left) and not self.is_local:
            wanted = take_keys(blob, ends, left)
            states, digests, specs = await self._ask(wanted)
            if (states == DELETED).any():
                raise self.unknown(_key_at(wanted, int(np.argmax(states == DELETED))))
            hits = np.flatnonzero(states == STAGED)
            if len(hits):
                staged = self.base.read_specs(
                    np.ascontiguousarray(digests[hits]), np.ascontiguousarray(specs[hits])
                )
                _place(rows, left[hits], staged)
            left = left[states == NOT_STAGED]
        if len(left):
            wanted = take_keys(blob, ends, left)
            digests, found = self.base.find_digests(*wanted)
            if not found.all():
                raise self.unknown(_key_at(wanted, int(np.argmin(found))))
            _place(rows, left, self.base.read_digests(digests))
        return rows

    async def contains_many(self, keys: PackedKeys) -> npt.NDArray[np.bool_]:
        """Which of packed keys are there."""
        blob, ends = keys
        changes = self._buffered_changes()
        states = np.zeros(len(ends), np.uint8)
        if not self.is_local:
            states, _, _ = await self._ask(keys)
        for i in range(len(ends)):
            buffered = changes.get(_key_at(keys, i))
            if buffered is not None:
                states[i] = STAGED if buffered else DELETED
        _, found = self.base.find_digests(blob, ends)
        return np.where(states == NOT_STAGED, found, states == STAGED)

    async def find_many(self, keys: PackedKeys, default: Any) -> list[Any]:
        """Samples of packed keys, in their order, ``default`` for each that is not there."""
        there = np.flatnonzero(await self.contains_many(keys))
        samples = [default] * len(keys[1])
        rows = await self.get_many(take_keys(*keys, there), None)
        for i, row in zip(there.tolist(), rows, strict=True):
            samples[i] = row
        return samples

    async def count(self) -> int:
        """How many keys the column has."""
        blob, ends, digests = await self.changes()
        if not len(ends):
            return len(self.base)
        _, found = self.base.find_digests(blob, ends)
        puts = _is_put(digests)
        return len(self.base) + int((puts & ~found).sum()) - int((~puts & found).sum())

    async def key_blocks(self) -> AsyncIterator[list[Key]]:
        """All keys in order, a block at a time, as they are when the iteration begins."""
        changes = await self.changes()
        for block in merged_blocks(
            ((blob, ends) for blob, ends, _ in iterate(self._nodes, self.base.root)), changes
        ):
            yield block

    def unknown(self, encoded: bytes) -> UnknownKey:
        key, column = decode_key(encoded), self._buffer.column
        return UnknownKey(f"no sample {key!r} in column {column!r}", keys=[repr(key)], total=1)

    def _fill_buffered(self, keys: PackedKeys, rows: Any) -> npt.NDArray[np.int64]:
        """Copy buffered rows; the positions of the other keys."""
        blob, ends = keys
        with self._staging.lock:
            self._staging.check_column(self._buffer)
            if not len(self._buffer):
                return np.arange(len(ends))
            left, start = [], 0
            for i, end in enumerate(ends.tolist()):
                encoded = blob[start:end]
                start = end
                if self._buffer.is_deleted(encoded):
                    raise self.unknown(encoded)
                row = self._buffer.find(encoded)
                if row is None:
                    left.append(i)
                else:
                    rows[i] = row
            return np.array(left, np.int64)

    def _buffered_changes(self) -> dict[bytes, bool]:
        with self._staging.lock:
            self._staging.check_column(self._buffer)
            return self._buffer.changes()

    async def _ask(self, keys: PackedKeys) -> tuple[Bytes, Bytes, Bytes]:
        """What the session has staged of packed keys: states, digests, specs."""
        blob, ends = keys
        parts = []
        for start in range(0, len(ends), REQUEST_KEYS_MAX):
            stop = min(start + REQUEST_KEYS_MAX, len(ends))
            first = int(ends[start - 1]) if start else 0
            part_blob = blob[first : int(ends[stop - 1])]
            part_ends = np.ascontiguousarray(ends[start:stop] - np.uint32(first), "<u4")
            parts.append(await self._ask_part(part_blob, part_ends))
        states, digests, specs = zip(*parts, strict=True) if parts else ((), (), ())
        empty: Bytes = np.zeros((0, 32), np.uint8)
        return (
            np.concatenate([empty[:, 0], *states]),
            np.concatenate([empty, *digests]),
            np.concatenate([empty, *specs]),
        )

    async def _ask_part(
        self, blob: bytes, ends: npt.NDArray[np.uint32]
    ) -> tuple[Bytes, Bytes, Bytes]:
        sender = self._staging.sender
        header = StagedRequest(
            session=sender.session,
            column=self._buffer.column,
            count=len(ends),
            keys_bytes=len(blob),
        )
        request = requests.find_staged(header, blob, ends)
        _, (states, digests, specs) = await sender.ask(lambda: sender.connection.send(request))
        return (
            np.frombuffer(states, np.uint8),
            np.frombuffer(digests, np.uint8).reshape(-1, 32),
            np.frombuffer(specs, np.uint8).reshape(-1, 32),
        )

    async def changes(self, prefix: bytes = b"") -> Changes:
        """Staged and buffered changes, of keys that begin with ``prefix``, sorted; a zero digest
        means deleted. Digests of buffered rows are not known, only not zero."""
        buffered = self._buffered_changes()
        blocks = [] if self.is_local else await self._staged_blocks(prefix)
        keys = sorted(key for key in buffered if key.startswith(prefix))
        blob, ends = pack(keys)
        # Buffered rows have no digest yet; here it only matters that it is not zero.
        marks = np.zeros((len(ends), 32), np.uint8)
        marks[:, 0] = np.fromiter((buffered[key] for key in keys), np.uint8, len(keys))
        return merge_changes([*blocks, (blob, ends, marks)])

    async def staged_changes(self) -> Changes:
        """What the daemon knows to be staged, sorted; a zero digest means deleted."""
        return merge_changes([] if self.is_local else await self._staged_blocks())

    async def _staged_blocks(self, prefix: bytes = b"") -> list[Changes]:
        sender, blocks, start = self._staging.sender, [], 0
        while True:
            message = StagedKeysRequest(
                session=sender.session, column=self._buffer.column, start=start, prefix=prefix
            )
            request = requests.staged_keys(message)

            async def attempt(request: Any = request) -> Any:
                return await sender.connection.send(request)

            answer, (keys, ends, digests) = await sender.ask(attempt)
            blocks.append(
                (
                    bytes(keys),
                    np.frombuffer(ends, "<u4"),
                    np.frombuffer(digests, np.uint8).reshape(-1, 32),
                )
            )
            start += answer.count
            if start >= answer.total or not answer.count:
                return blocks


def merged_blocks(blocks: Iterable[PackedKeys], changes: Changes) -> Iterator[list[Key]]:
    """Keys of sorted blocks with sorted changes applied, in order, a block at a time."""
    start, puts = 0, _is_put(changes[2])
    for blob, ends in blocks:
        last = blob[int(ends[-2]) if len(ends) > 1 else 0 :]
        stop = _position(changes, last)
        yield _merged((blob, ends), changes, puts, start, stop)
        start = stop
    if start < len(puts):
        yield _merged((b"", changes[1][:0]), changes, puts, start, len(puts))


def _place(rows: Any, positions: npt.NDArray[np.int64], samples: Any) -> None:
    """Put samples at positions of an array of rows, or of a list of samples of any shapes."""
    if not isinstance(rows, list):
        rows[positions] = samples
        return
    for position, sample in zip(positions.tolist(), samples, strict=True):
        rows[position] = sample


def _is_put(digests: Bytes) -> npt.NDArray[np.bool_]:
    return np.asarray(digests.any(axis=1), np.bool_)


def _key_at(keys: PackedKeys, i: int) -> bytes:
    blob, ends = keys
    return blob[int(ends[i - 1]) if i else 0 : int(ends[i])]


def _position(changes: Changes, last: bytes) -> int:
    """How many of sorted changes have keys up to ``last``."""
    blob, ends, _ = changes
    low, high = 0, len(ends)
    while low < high:
        middle = (low + high) // 2
        if _key_at((blob, ends), middle) <= last:
            low = middle + 1
        else:
            high = middle
    return low


def _merged(
    block: PackedKeys, changes: Changes, puts: npt.NDArray[np.bool_], start: int, stop: int
) -> list[Key]:
    """Keys of a block of the base with changes ``start`` to ``stop`` applied, in order."""
    if start == stop:
        return decode_keys(*block)
    chosen = np.arange(start, stop)
    blob, ends = take_keys(changes[0], changes[1], chosen)
    hits = find_keys(*block, blob, ends)
    kept = np.setdiff1d(np.arange(len(block[1])), hits[hits >= 0])
    added = np.flatnonzero(puts[start:stop])
    both = [take_keys(*block, kept), take_keys(blob, ends, added)]
    marks = [(*keys, np.ones((len(keys[1]), 32), np.uint8)) for keys in both]
    merged = merge_changes(marks)
    return decode_keys(merged[0], merged[1])
