"""The movements of one ref, back through its renames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from hangard.encoding.records import HEADS, ReflogEntry

RENAMED_FROM = "branch: renamed from "


def movements(entries: Iterable[ReflogEntry], ref: str) -> Iterator[ReflogEntry]:
    """Those of ``entries`` (newest first) that moved ``ref``, a full name as ``heads/main``.

    Where a branch was renamed, what follows is of its older name.
    """
    for entry in entries:
        if entry.ref != ref:
            continue
        yield entry
        if entry.action.startswith(RENAMED_FROM):
            ref = HEADS.decode() + entry.action.removeprefix(RENAMED_FROM)
