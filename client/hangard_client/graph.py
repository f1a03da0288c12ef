"""Lines beside a log that show which commit follows which.

A column of the picture is a line of history that waits for one commit; ``*`` marks the commit of
a row. Lines that join end with ``/``, those that a merge opens begin with ``\\``::

    *   a merge           row "*", below "|\\"
    |\\
    | * of its second parent
    * | of its first      below "|/": both wait for the same commit
    |/
    *
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

Paint = Callable[[str, int], str]
"""Colours one character of the line that has this number; lines are numbered as they begin."""


class Row(NamedTuple):
    """One commit of the picture.

    ``mark``    stands before the first line of its text
    ``below``   rows between it and the next commit
    ``margin``  stands before the other lines of its text, which come before ``below``
    """

    mark: str
    below: list[str]
    margin: str


def plain(text: str, _: int) -> str:
    """No colours."""
    return text


def draw(commits: Iterable[tuple[bytes, Sequence[bytes]]], paint: Paint = plain) -> Iterator[Row]:
    """For (digest, parents), children before parents: the rows of each commit."""
    lines = _Lines(paint)
    for digest, parents in commits:
        place = lines.find(digest)
        mark = lines.row(place, "*")
        margin = lines.row(place, "|" if parents else " ")
        yield Row(mark, lines.go_on(place, parents), margin.rstrip())


class _Line(NamedTuple):
    waits_for: bytes
    number: int


class _Lines:
    """The lines as they stand, from left to right."""

    def __init__(self, paint: Paint) -> None:
        self._paint = paint
        self._lines: list[_Line] = []
        self._begun = 0

    def find(self, digest: bytes) -> int:
        """Where the line that waits for a commit is; a new one begins at the right."""
        for place, line in enumerate(self._lines):
            if line.waits_for == digest:
                return place
        self._lines.append(self._begin(digest))
        return len(self._lines) - 1

    def row(self, place: int, mark: str) -> str:
        cells = {2 * i: ("|", line.number) for i, line in enumerate(self._lines)}
        cells[2 * place] = mark, self._lines[place].number
        return self._text(cells)

    def go_on(self, place: int, parents: Sequence[bytes]) -> list[str]:
        """The commit at ``place`` was shown: rows that lead its line to its parents."""
        if not parents:
            return self._end(place)
        rows = []
        self._lines[place] = _Line(parents[0], self._lines[place].number)
        for count, parent in enumerate(parents[1:], 1):
            rows.append(self._open(place + count, parent))
        while (joining := self._joining()) is not None:
            rows += self._join(*joining)
        return rows

    def _end(self, place: int) -> list[str]:
        """A line ends; those at its right move one to the left."""
        del self._lines[place]
        if place == len(self._lines):
            return []
        return [self._text(self._upright(place) | self._slanted(place, place, "/"))]

    def _open(self, place: int, parent: bytes) -> str:
        """A line begins at ``place``; those at its right move one to the right."""
        self._lines.insert(place, self._begin(parent))
        return self._text(self._upright(place) | self._slanted(place, place - 1, "\\"))

    def _joining(self) -> tuple[int, int] | None:
        """Two lines that wait for the same commit: the leftmost, and the next of them."""
        seen: dict[bytes, int] = {}
        for place, line in enumerate(self._lines):
            if line.waits_for in seen:
                return seen[line.waits_for], place
            seen[line.waits_for] = place
        return None

    def _join(self, left: int, right: int) -> list[str]:
        """The line at ``right`` crosses those between, and ends in the one at ``left``."""
        number = self._lines.pop(right).number
        rows = []
        for place in range(right, left, -1):
            cells = self._upright(place)
            if place == right:
                cells |= self._slanted(right, right, "/")
            else:
                cells = self._upright(len(self._lines))
            cells[2 * place - 1] = "/", number
            rows.append(self._text(cells))
        return rows

    def _upright(self, stop: int) -> dict[int, tuple[str, int]]:
        """The lines before ``stop``, as they are."""
        return {2 * i: ("|", line.number) for i, line in enumerate(self._lines[:stop])}

    def _slanted(self, start: int, first: int, mark: str) -> dict[int, tuple[str, int]]:
        """The lines from ``start`` on between two places, the first of them behind ``first``."""
        return {
            2 * (first + i) + 1: (mark, line.number) for i, line in enumerate(self._lines[start:])
        }

    def _begin(self, digest: bytes) -> _Line:
        self._begun += 1
        return _Line(digest, self._begun - 1)

    def _text(self, cells: dict[int, tuple[str, int]]) -> str:
        return "".join(
            self._paint(*cells[column]) if column in cells else " "
            for column in range(max(cells, default=-1) + 1)
        )
