"""Progress of the demo: bars on a terminal, a line for each commit elsewhere."""

from __future__ import annotations

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from hangard.cli.demo import messages
from hangard.cli.output import counted


class Bars:
    """One bar for all processes and, if there are several, one for each of them."""

    def __init__(self, console: Console, title: str, names: list[str], totals: list[int]) -> None:
        self._console = console
        self._names = names
        self._totals = totals
        self._samples = [0] * len(names)
        self._commits = [0] * len(names)
        self._progress = Progress(
            TextColumn("{task.description:<10}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[commits]}"),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._overall = self._progress.add_task(title, total=sum(totals), commits="", start=False)
        self._tasks: list[TaskID] = []
        if len(names) > 1:
            self._tasks = [
                self._progress.add_task(name, total=total, commits="", start=False)
                for name, total in zip(names, totals, strict=True)
            ]
        self._started = False
        self.rebased = 0

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    @property
    def commits(self) -> int:
        return sum(self._commits)

    def heard(self, number: int, message: messages.Message) -> None:
        """Show what a process said."""
        if not isinstance(message, messages.Progress):
            return
        if not self._started:
            self._started = True
            for task in [self._overall, *self._tasks]:
                self._progress.start_task(task)
        self._samples[number] += message.samples
        self._commits[number] += message.commits
        self.rebased += message.rebased
        self._progress.update(
            self._overall, advance=message.samples, commits=commits_text(self.commits)
        )
        if self._tasks:
            commits = commits_text(self._commits[number])
            self._progress.update(self._tasks[number], advance=message.samples, commits=commits)
        done = self._samples[number] == self._totals[number] and message.samples
        if not self._console.is_terminal and (message.commits or (done and not self._tasks)):
            self._console.print(self._line(number))

    def _line(self, number: int) -> str:
        samples = f"{self._samples[number]:,} of {self._totals[number]:,} samples"
        commits = commits_text(self._commits[number])
        return ", ".join(filter(None, [f"{self._names[number]}: {samples}", commits]))


def commits_text(commits: int) -> str:
    """'3 commits', and nothing for none: the reader makes none."""
    return counted(commits, "commit") if commits else ""
