"""Work in the background: merging index runs after checkpoints that wrote one."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from hangard.db.tables import WriteTables
from hangard.db.writer import Writer
from hangard.errors import HangardError
from hangard.index import Index
from hangard.model.files import FileRecord

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PublishRun:
    """Name a merged run and forget those it replaces, if all of them are still named."""

    path: str
    record: FileRecord
    replaced: tuple[str, ...]

    def check(self, tables: WriteTables) -> None:
        """Always possible; what it finds is its result."""

    def apply(self, tables: WriteTables) -> bool:
        if any(tables.find_file(path) is None for path in self.replaced):
            return False
        tables.put_file(self.path, self.record)
        for path in self.replaced:
            tables.delete_file(path)
        return True


class RunMerger:
    """One thread that merges runs when ``wake`` says that there may be work."""

    def __init__(
        self,
        index: Index,
        writer: Writer,
        take_number: Callable[[], int],
        on_damage: Callable[[], None],
    ) -> None:
        """``on_damage`` is called when a run that is to be merged is damaged."""
        self._index = index
        self._on_damage = on_damage
        self._writer = writer
        self._take_number = take_number
        self._wanted = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="hangard-merger", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """A run was written."""
        self._wanted.set()

    def close(self) -> None:
        """End after the merge that is under way."""
        self._closing = True
        self._wanted.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            self._wanted.clear()
            try:
                while not self._closing and self._index.merge(self._take_number, self._publish):
                    pass
            except (HangardError, OSError, MemoryError) as error:
                # The runs stay as they are; a later checkpoint tries again.
                _log.error("index runs could not be merged: %s", error)
                if isinstance(error, HangardError) and error.code == "damaged-run":
                    self._on_damage()
            if self._closing:
                return

    def _publish(self, path: str, record: FileRecord, replaced: tuple[str, ...]) -> bool:
        done: bool = self._writer.run(PublishRun(path, record, replaced), bulk=True)
        return done
