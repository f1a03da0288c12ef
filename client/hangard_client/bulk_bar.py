"""How far a bulk import is, for people: a bar on standard error where that is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hangard_client.bulk import BulkProgress


@contextmanager
def bar_unless(
    report: Callable[[BulkProgress], None] | None, total: int
) -> Iterator[Callable[[BulkProgress], None]]:
    """``report`` itself; without one a bar of ``total`` sets of arguments, if there is a terminal
    to see it."""
    if report is not None:
        yield report
        return
    if sys.stderr is None or not sys.stderr.isatty():
        yield lambda progress: None
        return
    from rich.console import Console  # 40 ms that other uses of the client do not need
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (
        TextColumn("bulk import"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[samples]:,} samples"),
    )
    with Progress(*columns, console=Console(stderr=True)) as shown:
        task = shown.add_task("", total=total, samples=0)
        yield lambda progress: shown.update(task, completed=progress.done, samples=progress.samples)
