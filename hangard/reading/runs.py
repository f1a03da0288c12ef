"""Opening the index's run files for reading."""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from hangard_ext.runs import Run, Runs

from hangard.errors import Corrupt


@dataclass(frozen=True, slots=True)
class MappedRun:
    """A run over its mapped file, which stays readable after it was unlinked."""

    run: Run
    path: Path
    mapped: mmap.mmap

    def check(self) -> None:
        """Errors: Corrupt (``damaged-run``) if the file was cut: to read on would be a signal."""
        if self.mapped.size() < len(self.mapped):
            raise damaged_run(self.path, "it was cut off while it was in use")


class MappedRuns:
    """Several runs, asked in the order given: put the newest first. Cheap to make, never changes.

    Shapes  digests, specs (n, 32) uint8; found (n,) uint8.
    Errors  Corrupt (``damaged-run``) for a file that was cut off; every file is compared with what
            fstat says before a look-up.
    """

    def __init__(self, runs: Sequence[MappedRun] = ()) -> None:
        self.runs = tuple(runs)
        self._found = Runs([opened.run for opened in self.runs])

    def find(self, digest: bytes) -> bytes | None:
        """The spec of one digest, or None."""
        for opened in self.runs:
            opened.check()
        return self._found.find(digest)

    def find_many(
        self,
        digests: npt.NDArray[np.uint8],
        out_specs: npt.NDArray[np.uint8],
        out_found: npt.NDArray[np.uint8],
    ) -> int:
        """Fill specs and found flags of the digests that are in a run; how many."""
        for opened in self.runs:
            opened.check()
        return self._found.find_many(digests, out_specs, out_found)


def open_run(path: Path) -> MappedRun:
    """The run in a file.

    Errors: FileNotFoundError (merged away in the meantime: read LMDB's list of files again);
    Corrupt (``damaged-run``) for a file that is cut off or not a run.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        mapped = mmap.mmap(fd, 0, access=mmap.ACCESS_READ)
        return MappedRun(Run(mapped), path, mapped)
    except ValueError as error:
        raise damaged_run(path, str(error)) from error
    finally:
        os.close(fd)


def damaged_run(path: Path, reason: str) -> Corrupt:
    """The error for a run that cannot be used; the next daemon makes the index again."""
    return Corrupt(
        f"run {path} of the index is damaged: {reason}. The daemon makes the index again when it"
        " is started next",
        code="damaged-run",
        file=str(path),
    )
