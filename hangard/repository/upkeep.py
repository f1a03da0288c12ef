"""The maintenance of one open repository: gc and purge, one at a time, beside all else."""

from __future__ import annotations

from dataclasses import dataclass

from hangard.backends.disk import Disk
from hangard.db.environment import WritableEnvironment
from hangard.db.writer import Writer
from hangard.index import Index
from hangard.repository.clock import Clock
from hangard.repository.collecting import Collector
from hangard.repository.committing import MakeCheckpoint
from hangard.repository.detached import DetachedTips
from hangard.repository.dropping import Dropper
from hangard.repository.maintaining import Maintenance
from hangard.repository.objects import Objects
from hangard.repository.purging import Purger
from hangard.repository.session_registry import SessionRegistry
from hangard.repository.storage import Storage


@dataclass(frozen=True, slots=True)
class Parts:
    """What repair works on, too."""

    env: WritableEnvironment
    index: Index


class Upkeep:
    """``maintenance`` is the lock that all share, and tells how far the work is."""

    def __init__(
        self,
        env: WritableEnvironment,
        disk: Disk,
        storage: Storage,
        index: Index,
        writer: Writer,
        *,
        sessions: SessionRegistry,
        tips: DetachedTips,
        objects: Objects,
        clock: Clock,
    ) -> None:
        self.maintenance = Maintenance()
        self.parts = Parts(env, index)
        self._writer = writer
        self.dropper = Dropper(env, disk, storage, index, writer)
        collector = Collector(
            env,
            storage,
            index,
            writer,
            self.dropper,
            sessions=sessions,
            tips=tips,
            objects=objects,
            clock=clock,
            maintenance=self.maintenance,
        )
        self.gc = collector.collect
        self._purger = Purger(
            env,
            storage,
            index,
            writer,
            self.dropper,
            clock=clock,
            maintenance=self.maintenance,
        )
        self.purge = self._purger.purge
        self.undo_purge = self._purger.undo

    def checkpoint(self) -> None:
        """Make what the index holds durable. Errors: NoSpace, Corrupt."""
        self._writer.run(MakeCheckpoint(), bulk=True)
