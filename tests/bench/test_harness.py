"""The harness: what is timed, what ratios and marks mean, what the two outputs hold."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench import report
from bench.harness import Bench, Case, Mark, summarise
from bench.reference import TouchedFile

ROOT = Path(__file__).resolve().parents[2]


def nothing(state: object) -> None:
    pass


def test_cases_run_in_turns_after_one_round_of_warm_up(tmp_path: Path) -> None:
    calls: list[str] = []
    bench = Bench(name="turns", directory=tmp_path)
    results = bench.measure(
        Case(name="a", call=lambda _: calls.append("a"), work=1, unit="B"),
        Case(name="b", call=lambda _: calls.append("b"), work=1, unit="B", reference="a"),
        rounds=2,
    )
    assert calls == ["a", "b"] * 3
    assert bench.results == results
    assert [result.name for result in results] == ["a", "b"]
    assert results[0].ratio is None
    assert results[1].ratio is not None


def test_prepare_feeds_the_call_and_finish_gets_its_result(tmp_path: Path) -> None:
    seen: list[int] = []
    numbers = iter(range(10))
    Bench(name="state", directory=tmp_path).measure(
        Case(
            name="double",
            prepare=lambda: next(numbers),
            call=lambda state: 2 * state,
            finish=seen.append,
            work=1,
            unit="B",
        ),
        rounds=3,
    )
    assert seen == [0, 2, 4, 6]


def test_ratio_is_the_median_of_the_rounds_own_ratios() -> None:
    case = Case(name="x", call=nothing, work=100, unit="B", reference="ref")
    result = summarise("b", case, [1.0, 2.0, 10.0], [0.01, 0.02, 0.1], [0.02, 0.02, 0.05])
    assert result.seconds == 2.0
    assert result.rate == 50.0
    assert result.ratio == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("mark", "reached"),
    [
        (Mark(quantity="rate", at_least=50), True),
        (Mark(quantity="rate", at_least=51), False),
        (Mark(quantity="seconds", at_most=2), True),
        (Mark(quantity="seconds", at_most=1.9), False),
        (Mark(quantity="ratio", at_least=0.9), True),
        (Mark(quantity="ratio", at_most=0.9), False),
    ],
)
def test_marks_compare_the_quantity_they_name(mark: Mark, reached: bool) -> None:
    case = Case(name="x", call=nothing, work=100, unit="B", reference="ref", marks=[mark])
    result = summarise("b", case, [2.0, 2.0], [0.02, 0.02], [0.02, 0.02])
    assert [verdict.reached for verdict in result.verdicts] == [reached]


def test_counted_values_have_marks_too(tmp_path: Path) -> None:
    bench = Bench(name="count", directory=tmp_path)
    result = bench.count("written", 150e3, "B", Mark(quantity="value", at_most=200e3))
    assert result.verdicts[0].reached
    assert report.quantity(150e3, "B") == "150 kB"


def test_table_and_json_hold_every_result(tmp_path: Path) -> None:
    bench = Bench(name="both", directory=tmp_path, quick=True)
    bench.measure(Case(name="one", call=nothing, work=1, unit="samples"))
    bench.count("two", 3, "nodes", Mark(quantity="value", at_most=2))
    assert report.table(bench.results).row_count == 2
    loaded = json.loads(report.as_json(bench.results, tmp_path, quick=True))
    assert [result["name"] for result in loaded["results"]] == ["one", "two"]
    assert loaded["results"][1]["verdicts"][0]["reached"] is False


def test_scratch_directory_is_gone_afterwards(tmp_path: Path) -> None:
    with Bench(name="scratch", directory=tmp_path).scratch() as path:
        (path / "file").write_bytes(b"x")
    assert list(tmp_path.iterdir()) == []


def test_raw_write_holds_the_bytes(tmp_path: Path) -> None:
    data = bytes(range(256)) * 50_000
    raw = TouchedFile(tmp_path / "raw", len(data))
    raw.write(memoryview(data))
    raw.close()
    assert (tmp_path / "raw").read_bytes() == data


def test_named_benches_run_and_unknown_ones_are_refused(tmp_path: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "bench", "--directory", str(tmp_path), *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    done = run("digest", "--quick", "--json")
    assert done.returncode == 0, done.stderr
    assert {result["bench"] for result in json.loads(done.stdout)["results"]} == {"digest"}
    assert run("nonsense").returncode == 2
