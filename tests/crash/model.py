"""What writers of the load say they did, and what a repository must hold if they told the truth.

A writer owns its keys, so what they hold follows from its own notes alone. A note is one JSON list:

    ["session", id]                 from here on it works in this session
    ["put", column, first, n, seed]     about to stage samples(column, seed, n) under first, ...
                                    first + n - 1
    ["one", column, key, seed]      about to stage one sample
    ["delete", column, keys]        about to stage deletions
    ["sent"]                        the daemon has accepted everything before
    ["flushed"]                     and said that it survives a kill of the daemon
    ["committing"]                  about to commit
    ["committed", digest]           the answer to that
    ["closing"]                     about to leave the session, in which nothing is staged
    ["found", [[column, key, digest or null], ...]]     after a kill: what keys that nothing was
                                    promised about hold in the session
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from hangard_ext.digest import digest_keyed, digest_many

from hangard.encoding.samples import ragged_key, sample_key

# Each column, and what adds it to a checkout.
COLUMNS: dict[str, Callable[[Any], Any]] = {
    "packed": lambda co: co.add_ndarray_column("packed", SHAPE, "u1", backend="hdf5"),
    "flat": lambda co: co.add_ndarray_column("flat", SHAPE, "u1", backend="numpy"),
    "varied": lambda co: co.add_ndarray_column(
        "varied", SHAPE, "u1", variable_shape=True, backend="hdf5"
    ),
    "lines": lambda co: co.add_ndarray_column(
        "lines", SAMPLE_BYTES, "u1", variable_shape=True, backend="numpy"
    ),
    "texts": lambda co: co.add_str_column("texts"),
    "blobs": lambda co: co.add_bytes_column("blobs"),
}
SHAPE = (8, 32)
SAMPLE_BYTES = 256
KEYS_PER_WRITER = 2_400
BATCH_ROWS = 1_200  # above LOG_ROWS_BYTES_MAX, so that a batch goes into a segment

Note = list[Any]
Contents = dict[tuple[str, int], bytes]


def samples(column: str, seed: int, n: int) -> Any:
    """n samples for a column, that compress a little."""
    rows = np.random.default_rng(seed).integers(0, 23, (n, *SHAPE), np.uint8)
    if column in ("packed", "flat"):
        return rows
    # Long enough that a batch goes into a segment.
    cut = [row[: 6 + row[0, 0] % 3] for row in rows]
    if column == "varied":
        return cut
    if column == "lines":
        return [row.reshape(-1) for row in cut]
    blobs = [(row + 97).tobytes() for row in cut]
    return [blob.decode() for blob in blobs] if column == "texts" else blobs


def digests(column: str, values: Any) -> list[bytes]:
    """The content addresses of a column's samples."""
    if column in ("packed", "flat"):
        rows = np.ascontiguousarray(values).reshape(len(values), -1)
        out = np.empty((len(rows), 32), np.uint8)
        digest_many(sample_key("ndarray", "|u1", SHAPE), rows, SAMPLE_BYTES, out)
        return [row.tobytes() for row in out]
    if column in ("varied", "lines"):
        return [digest_keyed(ragged_key("ndarray", "|u1", row.shape), row) for row in values]
    if column == "texts":
        return [digest_keyed(ragged_key("str", "", ()), text.encode()) for text in values]
    return [digest_keyed(ragged_key("bytes", "", ()), blob) for blob in values]


@lru_cache(maxsize=256)
def expected(column: str, seed: int, n: int) -> tuple[bytes, ...]:
    """The digests of samples(column, seed, n)."""
    return tuple(digests(column, samples(column, seed, n)))


def owned(writer: int) -> range:
    """The keys of a writer, in each column."""
    return range(writer * KEYS_PER_WRITER, (writer + 1) * KEYS_PER_WRITER)


def changes(note: Note) -> Iterator[tuple[tuple[str, int], bytes | None]]:
    """The keys that a note is about to change, and to what."""
    if note[0] == "put":
        _, column, first, n, seed = note
        for key, digest in enumerate(expected(column, seed, n), first):
            yield (column, key), digest
    elif note[0] == "one":
        _, column, key, seed = note
        yield (column, key), expected(column, seed, 1)[0]
    elif note[0] == "delete":
        for key in note[2]:
            yield (note[1], key), None
    elif note[0] == "found":
        for column, key, digest in note[1]:
            yield (column, key), None if digest is None else bytes.fromhex(digest)


@dataclass
class Told:
    """One writer's keys as its notes tell. ``open``: what keys may hold besides, each value they
    were given since the last note of kind ``promise``."""

    contents: Contents = field(default_factory=dict)
    session: str | None = None
    is_closing: bool = False
    commits: list[str] = field(default_factory=list)
    sent: dict[tuple[str, int], set[bytes | None]] = field(default_factory=dict)
    flushed: dict[tuple[str, int], set[bytes | None]] = field(default_factory=dict)

    def hear(self, note: Note) -> None:
        """Take one more note in."""
        kind = note[0]
        if kind == "found":
            self.sent.clear()
            self.flushed.clear()
        for name, digest in changes(note):
            before = self.contents.get(name)
            if kind != "found":
                for may_be in (self.sent, self.flushed):
                    may_be.setdefault(name, {before}).add(digest)
            if digest is None:
                self.contents.pop(name, None)
            else:
                self.contents[name] = digest
        if kind in ("sent", "flushed", "committed"):
            self.sent.clear()
        if kind in ("flushed", "committed"):
            self.flushed.clear()
        if kind == "committed":
            self.commits.append(note[1])
        if kind == "session":
            self.session, self.is_closing = note[1], False
        if kind == "closing":
            self.is_closing = True

    def differences(self, found: Contents, may_be: dict[tuple[str, int], set[bytes | None]]) -> str:
        """Where ``found`` is not what was promised; empty if it is."""
        wrong = [
            name
            for name in {*self.contents, *found, *may_be}
            if found.get(name) not in may_be.get(name, {self.contents.get(name)})
        ]
        return f"{len(wrong)} keys, the first {min(wrong)}" if wrong else ""


def read_notes(path: Path, start: int = 0) -> tuple[list[Note], int]:
    """The whole lines from byte ``start`` on, and where they end."""
    if not path.exists():
        return [], start
    with path.open("rb") as file:
        file.seek(start)
        content = file.read()
    whole = content[: content.rfind(b"\n") + 1]
    return [json.loads(line) for line in whole.splitlines()], start + len(whole)


def contents_of(column: str, items: Iterable[tuple[Any, np.ndarray]], writer: int) -> Contents:
    """A writer's own keys among a column's samples, by what their bytes really are."""
    mine = owned(writer)
    pairs = [(key, value) for key, value in items if key in mine]
    assert all(before < after for (before, _), (after, _) in pairwise(pairs))
    if not pairs:
        return {}
    named = digests(column, [value for _, value in pairs])
    return {(column, key): one for (key, _), one in zip(pairs, named, strict=True)}
