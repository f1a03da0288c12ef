"""``python -m hangard.daemon PATH --repair``: repair in a process of its own, told as JSON lines.

Standard output gets ``{"stage": [name, done, total]}`` a few times a second, and at the end
``{"report": ...}`` (hangard.model.findings.Repaired) or ``{"error": ...}``.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from hangard.errors import HangardError
from hangard.repository.repairing import repair
from hangard.wire.messages import ErrorMessage

STAGE_S = 0.1


class Stages:
    """Tells stages, not too often."""

    def __init__(self) -> None:
        self._told_s = 0.0
        self._stage = ""

    def __call__(self, stage: str, done: int, total: int) -> None:
        now_s = time.monotonic()
        if stage != self._stage or done == total or now_s - self._told_s > STAGE_S:
            self._told_s, self._stage = now_s, stage
            tell({"stage": [stage, done, total]})


def main(path: Path) -> int:
    """Repair, and tell; 0 unless it failed."""
    try:
        tell({"report": repair(path, progress=Stages())})
    except HangardError as error:
        tell({"error": ErrorMessage.of(error)})
        return 1
    return 0


def tell(line: dict[str, Any]) -> None:
    """One line of standard output."""
    sys.stdout.buffer.write(msgspec.json.encode(line, enc_hook=repr) + b"\n")
    sys.stdout.buffer.flush()
