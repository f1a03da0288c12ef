"""Verbs about a repository's integrity, synchronous."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hangard.model.findings import Verification
from hangard.reading import verification
from hangard.reading.verification import Progress
from hangard_client.portal import Portal

if TYPE_CHECKING:
    from hangard_client.async_repository import AsyncRepository


class Integrity:
    """What Repository can do about integrity."""

    path: Path
    _inner: AsyncRepository
    _portal: Portal

    def verify(self, *, quick: bool = False, progress: Progress | None = None) -> Verification:
        """Verify everything: refs, history, trees, every sample's bytes, files, the index.

        Runs in this process, beside any number of writers, and starts no daemon. All that is wrong
        is in the ``findings`` of what it returns. ``quick`` spares samples' bytes. ``progress``
        gets the name of a stage, how much of it is done, and of how much (0: not known).
        """
        return verification.verify(self.path, quick=quick, progress=progress)
