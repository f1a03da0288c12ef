"""Results as a table for people and as JSON for programs."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.harness import Mark, Result


def quantity(value: float, unit: str) -> str:
    """A number with a decimal prefix: 3.27 GB, 81.2 k samples, 512 KB."""
    for factor, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor:
            text = f"{value / factor:.3g} {prefix}"
            return f"{text}B" if unit == "B" else f"{text} {unit}".rstrip()
    return f"{value:.3g} {unit}".rstrip()


def duration(seconds: float) -> str:
    for factor, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
        if seconds >= factor:
            return f"{seconds / factor:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def bound(mark: Mark, result: Result) -> str:
    """A mark as people say it: >= 0.25 x, >= 200 commits/s."""
    sign, value = (">=", mark.at_least) if mark.at_least is not None else ("<=", mark.at_most)
    assert value is not None
    if mark.quantity == "ratio":
        return f"{sign} {value:g} x"
    if mark.quantity == "seconds":
        return f"{sign} {duration(value)}"
    per = "/s" if mark.quantity == "rate" else ""
    return f"{sign} {quantity(value, result.unit)}{per}"


def table(results: Sequence[Result]) -> Table:
    view = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    view.add_column("bench", no_wrap=True)
    view.add_column("case", no_wrap=True)
    for heading in ("median", "spread", "rate", "ratio"):
        view.add_column(heading, justify="right", no_wrap=True)
    view.add_column("mark", no_wrap=True)
    view.add_column("reached", no_wrap=True)
    before = None
    for result in results:
        if before not in (None, result.bench):
            view.add_section()
        verdicts = result.verdicts
        view.add_row(
            result.bench if before != result.bench else "",
            escape(result.name),
            "" if result.seconds is None else duration(result.seconds),
            "" if result.spread is None else f"{100 * result.spread:.0f} %",
            f"{quantity(result.rate, result.unit)}/s"
            if result.rate is not None
            else quantity(result.value or 0.0, result.unit),
            "" if result.ratio is None else escape(f"{result.ratio:.2f} x {result.reference}"),
            "\n".join(bound(verdict.mark, result) for verdict in verdicts),
            "\n".join("yes" if verdict.reached else "[bold red]no[/]" for verdict in verdicts),
        )
        before = result.bench
    return view


def machine(directory: Path) -> dict[str, object]:
    """What the figures depend on."""
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpus": len(os.sched_getaffinity(0)),
        "system": f"{platform.system()} {platform.release()}",
        "directory": str(directory),
    }


def print_table(console: Console, results: Sequence[Result], directory: Path, quick: bool) -> None:
    console.print(table(results))
    facts = machine(directory)
    reached = [verdict.reached for result in results for verdict in result.verdicts]
    console.print(
        f"{sum(reached)} of {len(reached)} marks reached; {facts['cpus']} CPUs, "
        f"{facts['system']}, Python {facts['python']}" + (", quick sizes" if quick else ""),
        highlight=False,
    )


def as_json(results: Sequence[Result], directory: Path, quick: bool) -> str:
    return json.dumps(
        {
            "machine": machine(directory),
            "quick": quick,
            "results": [dataclasses.asdict(result) for result in results],
        },
        indent=2,
    )
