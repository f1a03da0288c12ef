"""Opening the index's run files for reading."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

from hangard_ext.runs import Run

from hangard.errors import Corrupt


def open_run(path: Path) -> Run:
    """The run in a file, mapped; it stays readable after the file was unlinked.

    Errors: FileNotFoundError (merged away in the meantime: read LMDB's list of files again);
    Corrupt (``damaged-run``) for a file that is cut off or not a run.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return Run(mmap.mmap(fd, 0, access=mmap.ACCESS_READ))
    except ValueError as error:
        raise Corrupt(
            f"run {path} of the index is damaged: {error}", code="damaged-run", file=str(path)
        ) from error
    finally:
        os.close(fd)
