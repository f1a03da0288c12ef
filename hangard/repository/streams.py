"""How far each client of a session has come.

A sequence number's upper 16 bits name a stream, one for each client that attached; the lower 48
count that client's changes. Streams of clients that left are forgotten, and of those that were
never heard of again the ones used longest ago: STREAMS_KEPT_MAX are kept. When all numbers were
given once, those of clients that left are given again.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count

STREAM_BITS = 48
STREAMS_MAX = 1 << 16
STREAMS_KEPT_MAX = 256


class Streams:
    """The last applied sequence number of each stream. Not thread-safe."""

    def __init__(self, last: Mapping[int, int]) -> None:
        self._last = dict(last)
        self._given: set[int] = set()  # in this life, to clients that may be there still
        self._left: int | None = None  # the newest stream, if its client has left

    def begin(self) -> int:
        """A number that no other client uses."""
        newest = max(self._last, default=0)
        if newest + 1 < STREAMS_MAX:
            stream = newest + 1
        else:
            stream = next(n for n in count(1) if n not in self._last and n not in self._given)
        self._given.add(stream)
        self.advance(stream << STREAM_BITS)
        return stream

    def last(self, stream: int) -> int:
        """The last applied number; the one before the first for a stream that is not known."""
        return self._last.get(stream, stream << STREAM_BITS)

    def advance(self, sequence: int) -> None:
        """A change was applied."""
        stream = sequence >> STREAM_BITS
        if self._left is not None and stream > self._left:
            self._last.pop(self._left, None)
            self._left = None
        self._last.pop(stream, None)  # to the end: the one that was used last
        self._last[stream] = sequence
        while len(self._last) > STREAMS_KEPT_MAX:
            newest = max(self._last)
            del self._last[next(stream for stream in self._last if stream != newest)]

    def forget(self, sequence: int) -> None:
        """The client of the stream that a number belongs to has left. The newest stays until there
        is a newer one: after a restart it tells which numbers were given."""
        stream = sequence >> STREAM_BITS
        self._given.discard(stream)
        if stream == max(self._last, default=0):
            self._left = stream
        else:
            self._last.pop(stream, None)

    def all(self) -> dict[int, int]:
        return dict(self._last)
