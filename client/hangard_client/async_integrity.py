"""Verbs about a repository's integrity, for asyncio."""

from __future__ import annotations

from pathlib import Path

from hangard.model.findings import Verification
from hangard.reading import verification
from hangard.reading.verification import Progress
from hangard_client.connection import Connection, in_thread


class AsyncIntegrity:
    """What AsyncRepository can do about integrity."""

    path: Path
    _connection: Connection

    async def verify(
        self, *, quick: bool = False, progress: Progress | None = None
    ) -> Verification:
        """Verify everything: refs, history, trees, every sample's bytes, files, the index.

        Runs in this process, beside any number of writers, and starts no daemon. All that is wrong
        is in the ``findings`` of what it returns. ``quick`` spares samples' bytes. ``progress``
        gets the name of a stage, how much of it is done, and of how much (0: not known); it is
        called in another thread.
        """
        return await in_thread(verification.verify, self.path, quick=quick, progress=progress)
