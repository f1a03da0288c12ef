"""Starting a repair: a process of its own, since no daemon may have the repository open."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec

from hangard.errors import Unavailable
from hangard.model.findings import Repaired
from hangard.reading.verification import Progress
from hangard.wire.messages import ErrorMessage
from hangard_client.starting import child_environment


class _Line(msgspec.Struct):
    """What the process tells: hangard.daemon.repair."""

    stage: tuple[str, int, int] | None = None
    report: Repaired | None = None
    error: ErrorMessage | None = None


def run_repair(path: Path, progress: Progress | None) -> Repaired:
    """Repair, and wait for it. Blocks.

    Errors: those of hangard.repository.repairing.repair; Unavailable (``repair-failed``).
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "hangard.daemon", str(path), "--repair"],
        cwd="/",
        env=child_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    with process:
        assert process.stdout is not None
        for content in process.stdout:
            line = msgspec.json.decode(content, type=_Line)
            if line.error is not None:
                raise line.error.rebuild()
            if line.report is not None:
                return line.report
            if line.stage is not None and progress is not None:
                progress(*line.stage)
    raise Unavailable(
        f"the repair ended with code {process.returncode} and told nothing; it may be run again",
        code="repair-failed",
    )
