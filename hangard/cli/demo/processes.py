"""Worker processes of the demo, and the one thread each that listens to them."""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
from collections.abc import Callable

from hangard.cli.demo.messages import Finished, Message, Ready, parse
from hangard.errors import HangardError

QUIET_S_MAX = 120.0  # a worker that says nothing for so long is taken for hung
STOP_S_MAX = 5.0


class Workers:
    """Processes that start their work at the same moment. Use as a context manager.

    A process that fails ends all of them: HangardError (``demo-process-failed``) with its output.
    """

    def __init__(self, commands: list[list[str]]) -> None:
        self._inbox: queue.Queue[tuple[int, Message | None]] = queue.Queue()
        self._processes = [
            subprocess.Popen(
                [sys.executable, "-m", *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            for command in commands
        ]
        self._complaints = [b""] * len(commands)
        self._threads = [
            threading.Thread(target=target, args=(number,), daemon=True)
            for number in range(len(commands))
            for target in (self._listen, self._collect_complaints)
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.terminate()
        for process in self._processes:
            try:
                process.wait(STOP_S_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for thread in self._threads:
            thread.join(STOP_S_MAX)
        for process in self._processes:
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()

    def run(self, heard: Callable[[int, Message], None]) -> list[Finished]:
        """Start them all when all are ready; the last message of each, in their order."""
        finished: dict[int, Finished] = {}
        waiting = set(range(len(self._processes)))
        while len(finished) < len(self._processes):
            number, message = self._next()
            if isinstance(message, Ready):
                waiting.discard(number)
                if not waiting:
                    self._start()
            elif isinstance(message, Finished):
                finished[number] = message
            elif message is None and number not in finished:
                self._fail(number)
            if message is not None:
                heard(number, message)
        return [finished[number] for number in sorted(finished)]

    def _next(self) -> tuple[int, Message | None]:
        try:
            return self._inbox.get(timeout=QUIET_S_MAX)
        except queue.Empty as error:
            raise HangardError(
                f"the demo's processes said nothing for {QUIET_S_MAX:.0f} seconds",
                code="demo-process-hung",
            ) from error

    def _start(self) -> None:
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write(b"start\n")
            process.stdin.flush()

    def _listen(self, number: int) -> None:
        stdout = self._processes[number].stdout
        assert stdout is not None
        for line in stdout:
            self._inbox.put((number, parse(line)))
        self._inbox.put((number, None))

    def _collect_complaints(self, number: int) -> None:
        stderr = self._processes[number].stderr
        assert stderr is not None
        self._complaints[number] = stderr.read()

    def _fail(self, number: int) -> None:
        self._processes[number].wait(STOP_S_MAX)
        self._threads[2 * number + 1].join(STOP_S_MAX)
        lines = self._complaints[number].decode(errors="replace").strip().splitlines()
        raise HangardError(
            f"process {number + 1} of the demo ended with status"
            f" {self._processes[number].returncode}: {lines[-1] if lines else 'no output'}",
            code="demo-process-failed",
            output="\n".join(lines),
        )
