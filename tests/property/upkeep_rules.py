"""What happens to a repository besides its contents: its daemon ends."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import rule
from property.machine import Machine


class UpkeepRules(Machine):
    """Nothing of this may change what the repository holds."""

    @rule()
    def verify(self) -> None:
        assert not self.repo.verify().findings

    @rule()
    def repack(self) -> None:
        self.repo.repack()

    @rule(full=st.booleans())
    def gc(self, full: bool) -> None:
        # The reflog keeps every commit that the model knows; aborted changes go.
        self.repo.gc(grace_s=0, full=full)

    # The daemon

    @rule()
    def stop_the_daemon(self) -> None:
        for co, _ in self.writers:
            co.flush()
        self.repo.stop()

    @rule()
    def kill_the_daemon(self) -> None:
        for co, _ in self.writers:
            co.flush()
        pid = self.repo.status()["pid"]
        os.kill(pid, signal.SIGKILL)
        while Path(f"/proc/{pid}").exists() and not is_zombie(pid):
            time.sleep(0.005)
        # A request that is not idempotent and meets the dead connection is not sent again.
        assert self.repo.status()["pid"] != pid


def is_zombie(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True
