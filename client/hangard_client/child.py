"""Programs of our own that this process starts and talks to over a socket.

A child is a new interpreter that runs one module with the number of its socket as argument: not a
fork of a process that has threads, nor another run of the user's script.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from multiprocessing.connection import Connection
from typing import Any

END_S_MAX = 10.0  # how long a child that is done may take to leave


class Child:
    """``connection`` carries bytes both ways; closed by the parent, it tells the child to end."""

    def __init__(self, module: str) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            number = theirs.fileno()
            try:
                self.process = subprocess.Popen(
                    [sys.executable, "-m", module, str(number)],
                    pass_fds=(number,),
                    stdin=subprocess.DEVNULL,
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                )
            except BaseException:
                ours.close()
                raise
        self.connection: Any = Connection(ours.detach())

    def end(self, *, at_once: bool = False) -> str:
        """Let it end, ``at_once`` whatever it is doing; how it ended. May be called twice."""
        self.connection.close()
        if at_once:
            self.process.kill()
        try:
            code = self.process.wait(END_S_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        return f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
