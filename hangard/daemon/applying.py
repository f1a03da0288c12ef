"""Prepared changes put into their session, in order; those that belong together all or none."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from hangard.errors import HangardError, InvalidRequest
from hangard.limits import MIB
from hangard.model.keys import PackedKeys
from hangard.repository.changes import Change

STREAM_SHIFT = 48
HELD_BYTES_MAX = 128 * MIB  # keys and digests of changes that wait for others of their call
_DIGEST_BYTES = 32

Future = asyncio.Future[Change] | concurrent.futures.Future[Change]


class ChangeTarget(Protocol):
    """The part of a repository's session that a pipeline uses."""

    def apply_together(self, sequence: int, changes: Sequence[Change]) -> bool: ...

    def skip(self, sequence: int) -> None: ...

    def check_contains(self, last_sequence: int) -> None: ...


class Abandoned(Exception):
    """What a change is prepared to that gives up those it belongs to: its client knows why."""


@dataclass(frozen=True, slots=True)
class Lost:
    """A change that failed: its keys, and no more, so that its rows do not stay in memory."""

    column: str
    keys: PackedKeys
    error: HangardError


@dataclass(slots=True)
class Entry:
    """A change on its way; ``more``: it is staged together with the next of its stream."""

    sequence: int
    column: str
    keys: PackedKeys
    prepared: Future
    more: bool = False

    @property
    def held_bytes(self) -> int:
        """What it takes while it waits for others."""
        blob, ends = self.keys
        return len(blob) + len(ends) * (ends.itemsize + _DIGEST_BYTES)

    def lost(self, error: BaseException) -> Lost:
        kept = as_hangard_error(error).with_traceback(None)
        kept.__cause__ = kept.__context__ = None  # their frames hold the rows, too
        return Lost(self.column, self.keys, kept)


@dataclass(slots=True)
class _Together:
    """Changes of one stream that wait for the last of them; none is kept once it is too much."""

    entries: list[Entry] = field(default_factory=list)
    held_bytes: int = 0
    is_refused: bool = False


class Applier:
    """Runs in a thread, one call at a time for each stream."""

    def __init__(self, target: ChangeTarget) -> None:
        self._target = target
        self._waiting: dict[int, _Together] = {}

    def apply(self, entries: Sequence[Entry]) -> list[Lost]:
        """Apply prepared changes in order; those that failed are skipped, and told."""
        failed: list[Lost] = []
        for entry in entries:
            stream = entry.sequence >> STREAM_SHIFT
            together = self._waiting.get(stream)
            if together is None:
                if not entry.more:
                    failed += self._apply([entry])
                    continue
                together = self._waiting[stream] = _Together()
            together.entries.append(entry)
            together.held_bytes += entry.held_bytes
            if together.held_bytes > HELD_BYTES_MAX:
                failed += self._refuse(together.entries)
                together.entries, together.is_refused = [], True
            if not entry.more:
                del self._waiting[stream]
                if not together.is_refused:
                    failed += self._apply(together.entries)
        return failed

    def forget(self, stream: int) -> None:
        """A stream has ended: what waits in it will not be complete any more."""
        self._waiting.pop(stream, None)

    def _apply(self, entries: Sequence[Entry]) -> list[Lost]:
        try:
            changes = []
            for entry in entries:
                if error := entry.prepared.exception():
                    raise error
                changes.append(entry.prepared.result())
            self._target.apply_together(entries[0].sequence, changes)
        except Abandoned:
            return self._skip(entries)
        except Exception as error:
            return [entry.lost(error) for entry in entries] + self._skip(entries)
        return []

    def _refuse(self, entries: Sequence[Entry]) -> list[Lost]:
        error = InvalidRequest(
            f"what is staged together may have {HELD_BYTES_MAX} bytes of keys at most; stage less"
            " at a time, a commit is all or nothing anyway",
            code="batch-too-large",
        )
        return [entry.lost(error) for entry in entries] + self._skip(entries)

    def _skip(self, entries: Sequence[Entry]) -> list[Lost]:
        failed = []
        for entry in entries:
            try:
                self._target.skip(entry.sequence)
            except Exception as error:
                failed.append(entry.lost(error))
        return failed


def as_hangard_error(error: BaseException) -> HangardError:
    """An error as a caller may see it; what is none of ours is an internal error."""
    if isinstance(error, HangardError):
        return error
    return HangardError(f"internal error of the daemon: {error!r}", code="internal-error")
