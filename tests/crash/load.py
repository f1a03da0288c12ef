"""One writer of the load: ``python -m crash.load REPOSITORY NOTES WRITER SEED PROMISE``.

It stages, flushes and commits until SIGTERM, and notes what it was answered. Told to go on from
notes that are there, it resumes its session and checks that what was promised is in it: ``PROMISE``
is ``sent`` if only the writer itself was killed, ``flushed`` if the daemon may have been.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import hangard_client
from crash.model import (
    BATCH_ROWS,
    COLUMNS,
    Contents,
    Note,
    Told,
    contents_of,
    owned,
    read_notes,
    samples,
)

from hangard.errors import Closed, HangardError, Unavailable, UnknownSession

DURABLE = ("committed", "flushed")
LOST_CODES = ("staged-changes-lost", "epoch-changed", "unknown-stream")
PAUSE_S = 0.005
SEEDS_SHARED = 4  # some batches are equal in all writers


class Load:
    """A writer at work."""

    def __init__(self, repository: str, notes: str, writer: int, seed: int) -> None:
        self.repo = hangard_client.Repository(
            repository, user_name="Ada", user_email="ada@example.org", idle_s=60
        )
        self.writer = writer
        self.random = random.Random(seed)
        self.stopping = False
        self.told = Told()
        self._notes = os.open(notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        heard, whole_bytes = read_notes(Path(notes))
        os.ftruncate(self._notes, whole_bytes)  # a kill may have torn the last line
        for note in heard:
            self.told.hear(note)
        self._co: Any = None

    def stop(self, *_: object) -> None:
        self.stopping = True

    def run(self, promise: str) -> None:
        """Work until told to stop; then everything is committed and the session closed."""
        unsettled = False
        while True:
            try:
                if self._co is None:
                    self.enter(promise)
                elif unsettled:
                    self.settle()
                unsettled = False
                if self.stopping:
                    self.one()
                    self.commit()
                    self.leave()
                    return
                step = self.random.choices(
                    [self.put, self.one, self.delete, self.flush, self.commit, self.renew],
                    [6, 12, 3, 4, 5, 1],
                )[0]
                step()
                time.sleep(PAUSE_S)
            except Unavailable:
                unsettled = True
            except Closed as error:
                if error.code not in LOST_CODES:
                    raise
                lost, self._co = self._co, None
                with suppress(HangardError):
                    lost.close()
            promise = "flushed"

    def enter(self, promise: str) -> None:
        """Resume the session, or begin one."""
        told = self.told
        if told.session is not None:
            try:
                self._co = self.repo.checkout(session=told.session, write=True)
            except UnknownSession:
                if not told.is_closing:
                    raise
        if self._co is None:
            self._co = self.repo.checkout("main", write=True)
            self.note("session", self._co.session)
        self.compare(promise)

    def settle(self) -> None:
        """A request failed half-way, and nothing says whether it was carried out: look."""
        self._co.flush()
        self.compare("flushed")

    def compare(self, promise: str) -> None:
        """What was promised must be in the session; of the rest, note what is."""
        told, found = self.told, Contents()
        for column in COLUMNS:
            found |= contents_of(column, self._co[column].items(), self.writer)
        may_be = told.sent if promise == "sent" else told.flushed
        if wrong := told.differences(found, may_be):
            raise AssertionError(f"session {told.session} after a kill ({promise}): {wrong}")
        self.note("found", [[*name, _hex(found.get(name))] for name in sorted(told.flushed)])

    def put(self) -> None:
        column, keys = self.column(), owned(self.writer)
        n = self.random.choice([3, 40, BATCH_ROWS])
        first = self.random.choice(keys[: len(keys) - n])
        shared = self.random.random() < 0.3
        seed = self.random.randrange(SEEDS_SHARED) if shared else self.random.getrandbits(40)
        self.note("put", column, first, n, seed)
        self._co[column].put_many(range(first, first + n), samples(column, seed, n))
        if self.random.random() < 0.5:
            # Also what other columns have buffered, so that all notes before are covered.
            for other in COLUMNS:
                self._co[other].update({})
            self.note("sent")

    def one(self) -> None:
        column, key = self.column(), self.random.choice(owned(self.writer))
        seed = self.random.getrandbits(40)
        self.note("one", column, key, seed)
        self._co[column][key] = samples(column, seed, 1)[0]

    def delete(self) -> None:
        column = self.column()
        held = [key for name, key in self.told.contents if name == column]
        keys = self.random.sample(sorted(held), min(3, len(held)))
        self.note("delete", column, keys)
        for key in keys:
            del self._co[column][key]

    def flush(self) -> None:
        self._co.flush()
        self.note("flushed")

    def commit(self) -> None:
        self.one()  # there is always something to commit
        self.note("committing")
        digest = self._co.commit(f"by writer {self.writer}")
        self.note("committed", digest.hex())

    def renew(self) -> None:
        """Go on in another session."""
        self.commit()
        self.leave()
        self.enter("flushed")

    def leave(self) -> None:
        self.note("closing")
        co, self._co = self._co, None
        co.close()

    def column(self) -> str:
        return self.random.choice(list(COLUMNS))

    def note(self, *note: Any) -> None:
        line: Note = list(note)
        self.told.hear(line)
        os.write(self._notes, json.dumps(line).encode() + b"\n")
        if note[0] in DURABLE:
            os.fsync(self._notes)


def _hex(digest: bytes | None) -> str | None:
    return None if digest is None else digest.hex()


def main(repository: str, notes: str, writer: str, seed: str, promise: str) -> None:
    load = Load(repository, notes, int(writer), int(seed))
    signal.signal(signal.SIGTERM, load.stop)
    load.run(promise)
    load.repo.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
