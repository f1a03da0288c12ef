"""What writers of the load say they did, and what a repository must hold if they told the truth.

A writer owns its keys, so what they hold follows from its own notes alone. A note is one JSON list:

    ["session", id]                 from here on it works in this session
    ["put", column, first, n, seed]     about to stage samples(seed, n) under first, first + 1, ...
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
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from hangard_ext.digest import digest_many

from hangard.encoding.samples import sample_key

COLUMNS = {"packed": "hdf5", "flat": "numpy"}
SHAPE = (8, 32)
SAMPLE_BYTES = 256
KEYS_PER_WRITER = 2_400
BATCH_ROWS = 1_200  # above LOG_ROWS_BYTES_MAX, so that a batch goes into a segment

Note = list[Any]
Contents = dict[tuple[str, int], bytes]


def samples(seed: int, n: int) -> np.ndarray:
    """n samples that compress a little."""
    return np.random.default_rng(seed).integers(0, 23, (n, *SHAPE), np.uint8)


def digests(rows: np.ndarray) -> list[bytes]:
    """The content addresses of samples."""
    out = np.empty((len(rows), 32), np.uint8)
    digest_many(sample_key("ndarray", "|u1", SHAPE), rows.reshape(len(rows), -1), SAMPLE_BYTES, out)
    return [row.tobytes() for row in out]


@lru_cache(maxsize=256)
def expected(seed: int, n: int) -> tuple[bytes, ...]:
    """The digests of samples(seed, n)."""
    return tuple(digests(samples(seed, n)))


def owned(writer: int) -> range:
    """The keys of a writer, in each column."""
    return range(writer * KEYS_PER_WRITER, (writer + 1) * KEYS_PER_WRITER)


def changes(note: Note) -> Iterator[tuple[tuple[str, int], bytes | None]]:
    """The keys that a note is about to change, and to what."""
    if note[0] == "put":
        _, column, first, n, seed = note
        for key, digest in enumerate(expected(seed, n), first):
            yield (column, key), digest
    elif note[0] == "one":
        _, column, key, seed = note
        yield (column, key), expected(seed, 1)[0]
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
    rows = np.stack([value for _, value in pairs])
    return {(column, key): one for (key, _), one in zip(pairs, digests(rows), strict=True)}
