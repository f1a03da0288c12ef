"""Lines beside a log that show which commit follows which.

A column of the picture is a line of history that waits for one commit; ``*`` marks the commit of
a row. Lines that join end with ``/``, those that a merge opens begin with ``\\``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator


def draw(commits: Iterable[tuple[bytes, tuple[bytes, ...]]]) -> Iterator[tuple[str, list[str]]]:
    """For (digest, parents), children before parents: the commit's row, and rows below it."""
    waiting: list[bytes] = []
    for digest, parents in commits:
        if digest not in waiting:
            waiting.append(digest)
        place = waiting.index(digest)
        row = " ".join("*" if number == place else "|" for number in range(len(waiting)))
        below: list[str] = []
        # Several children led here: their lines join the leftmost one.
        while waiting.count(digest) > 1:
            last = len(waiting) - 1 - waiting[::-1].index(digest)
            below.append(" ".join("|" if n < last else "/" for n in range(len(waiting))))
            del waiting[last]
        if not parents:
            del waiting[place]
        else:
            waiting[place] = parents[0]
            for parent in parents[1:]:
                waiting.append(parent)
                below.append(" ".join(["|"] * (len(waiting) - 1) + ["\\"]))
        yield row, below
