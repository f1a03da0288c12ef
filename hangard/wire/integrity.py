"""Messages of gc and purge, and their requests."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from hangard.wire.maintenance import WORK_TIMEOUT_S
from hangard.wire.messages import Count, Digest32
from hangard.wire.requests import Request, message_request

GC: Final = "/gc"
PURGE: Final = "/purge"
PURGE_UNDO: Final = "/purge/undo"

PURGE_DIGESTS_MAX: Final = 50_000  # of one request, which is one message

Seconds = Annotated[float, msgspec.Meta(ge=0)]


class GcRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Remove what nothing leads to; None: the daemon's default. See Collector.collect."""

    grace_s: Seconds | None = None
    reflog_age_s: Seconds | None = None
    full: bool = False
    dry_run: bool = False


class GcResult(msgspec.Struct, frozen=True, kw_only=True):
    """What gc removed, or with ``dry_run`` would remove. Sizes in bytes.

    ``commits``, ``objects``  commits, and all of commits, trees and schemas
    ``records``      samples and tree nodes that go
    ``files``        data files that go; ``moved`` of their rows are written elsewhere
    ``freed_bytes``  of these files, less what is moved
    """

    dry_run: bool
    commits: Count = 0
    objects: Count = 0
    reflog_entries: Count = 0
    records: Count = 0
    files: Count = 0
    moved: Count = 0
    freed_bytes: Count = 0
    reachable_samples: Count = 0
    reachable_nodes: Count = 0


class PurgeRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Erase the samples with these digests."""

    digests: Annotated[tuple[Digest32, ...], msgspec.Meta(max_length=PURGE_DIGESTS_MAX)]
    dry_run: bool = False


class PurgeResult(msgspec.Struct, frozen=True, kw_only=True):
    """What purge did, or with ``dry_run`` would do.

    ``samples``  digests that were given; ``stored`` of them were in a file
    ``files``    data files, of ``file_bytes`` together, that were written again without them
    """

    dry_run: bool
    samples: Count = 0
    stored: Count = 0
    files: Count = 0
    file_bytes: Count = 0


class PurgeUndone(msgspec.Struct, frozen=True, kw_only=True):
    """How many of the digests were erased ones."""

    samples: Count


def gc(message: GcRequest) -> Request[GcResult]:
    return message_request(GC, message, GcResult, timeout_s=WORK_TIMEOUT_S)


def purge(message: PurgeRequest) -> Request[PurgeResult]:
    return message_request(PURGE, message, PurgeResult, timeout_s=WORK_TIMEOUT_S)


def undo_purge(message: PurgeRequest) -> Request[PurgeUndone]:
    return message_request(PURGE_UNDO, message, PurgeUndone)
