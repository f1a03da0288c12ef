"""Messages of maintenance: repack, and how far what runs is."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from hangard.limits import COLUMNS_PER_TREE_MAX
from hangard.wire.messages import Count, Digest32, Name
from hangard.wire.requests import Request, message_request, query_request

REPACK: Final = "/repack"
MAINTENANCE: Final = "/maintenance"

WORK_TIMEOUT_S = 7 * 24 * 3600.0  # of a request that answers when all is done


class RepackRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Write samples again into their columns' backends; no columns: all. ``commit``: of this one,
    not of the branches' heads."""

    columns: Annotated[tuple[Name, ...], msgspec.Meta(max_length=COLUMNS_PER_TREE_MAX)] = ()
    commit: Digest32 | None = None


class Repacked(msgspec.Struct, frozen=True, kw_only=True):
    """Columns and samples that were looked at, samples written again and their bytes, and those
    that could not be read, which stay where they are."""

    columns: Count
    samples: Count
    rewritten: Count
    rewritten_bytes: Count
    unreadable: Count


class MaintenanceStage(msgspec.Struct, frozen=True, kw_only=True):
    """What runs; ``verb`` is empty if nothing does. ``total`` 0: not known."""

    verb: str = ""
    stage: str = ""
    done: Count = 0
    total: Count = 0


def repack(message: RepackRequest) -> Request[Repacked]:
    return message_request(REPACK, message, Repacked, timeout_s=WORK_TIMEOUT_S)


def maintenance_stage() -> Request[MaintenanceStage]:
    return query_request(MAINTENANCE, MaintenanceStage)
