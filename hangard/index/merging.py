"""Which runs are merged next.

Runs lie in a row from the oldest to the newest, and only neighbours are merged: so of two runs that
hold the same digest the later one stays the later one. With a fan-in of 8 an entry is written once
in each of the sizes 64 thousand, 512 thousand and 4 million.
"""

from __future__ import annotations

from collections.abc import Sequence

FAN_IN = 8
MERGED_RUNS_MAX = 32  # at once
# A merge of so many takes about a second, and is the longest the disk is kept busy at a stretch.
MERGED_ENTRIES_MAX = 1 << 22


def plan_merge(entries: Sequence[int]) -> slice | None:
    """The cheapest group of neighbouring runs that is worth a merge, or None.

    ``entries`` gives the size of each run, the oldest first. A group is worth it when it has FAN_IN
    members, or cannot grow since it fills a run of MERGED_ENTRIES_MAX; and when no member makes up
    more than half of it, which would be copied for little.
    """
    best: tuple[float, slice] | None = None
    for begin in range(len(entries)):
        total, end = 0, begin
        while (
            end < len(entries)
            and end - begin < MERGED_RUNS_MAX
            and total + entries[end] <= MERGED_ENTRIES_MAX
        ):
            total += entries[end]
            end += 1
        runs = end - begin
        filled = end < len(entries) and runs >= 2
        if runs < FAN_IN and not filled:
            continue
        if 2 * max(entries[begin:end]) > total:
            continue
        cost = total / (runs - 1)  # entries to copy for each run less
        if best is None or cost < best[0]:
            best = (cost, slice(begin, end))
    return None if best is None else best[1]
