"""The benches that go through a client and a daemon run, check what they read, and clean up."""

from __future__ import annotations

from importlib import import_module
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from bench import report
from bench.harness import Bench


@pytest.mark.parametrize(
    ("name", "marks"),
    [("ingest", 4), ("random_read", 2), ("epoch_read", 0), ("commit", 4), ("history", 6)],
)
def test_bench_gives_its_marks_and_leaves_nothing(tmp_path: Path, name: str, marks: int) -> None:
    bench = Bench(name=name, directory=tmp_path, quick=True)
    import_module(f"bench.bench_{name}").run(bench)
    assert sum(len(result.verdicts) for result in bench.results) == marks
    assert list(tmp_path.iterdir()) == []


def test_names_with_brackets_are_printed_as_they_are() -> None:
    bench = Bench(name="reads", directory=Path())
    bench.count("loop of col[key] = a", 1, "samples")
    console = Console(file=StringIO(), width=200)
    console.print(report.table(bench.results))
    assert "loop of col[key] = a" in console.file.getvalue()
