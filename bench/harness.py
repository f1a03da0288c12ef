"""Measures cases in turns, compares them with a reference of the same run and with their marks.

Rounds    All cases of one group run once in every round, so that a slow moment of the machine meets
          all of them. One round of warm-up is not counted.
Figures   Median over the rounds; spread is half the distance of the middle two quartiles, over the
          median; a ratio is the median of the rounds' own ratios, reference time over case time for
          the same work, so 1 is as fast as the reference.
Marks     A bound on the rate, the seconds, the ratio or a counted value, printed beside it.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

Quantity = Literal["rate", "seconds", "ratio", "value"]

ROUNDS = 7
ROUNDS_QUICK = 3


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A bound to reach: exactly one of at_least and at_most, in the quantity's unit."""

    quantity: Quantity
    at_least: float | None = None
    at_most: float | None = None

    def reached(self, value: float) -> bool:
        if self.at_least is not None:
            return value >= self.at_least
        assert self.at_most is not None
        return value <= self.at_most


@dataclass(frozen=True, kw_only=True)
class Case:
    """One thing to time.

    call       is timed; it gets what `prepare` returned.
    prepare    runs before every call, outside the time.
    finish     runs after every call, outside the time, with what `call` returned.
    work       units of `unit` done by one call: bytes ("B"), samples, commits, ...
    reference  name of the case in the same group that this one is compared with.
    """

    name: str
    call: Callable[[Any], Any]
    work: float
    unit: str
    prepare: Callable[[], Any] = lambda: None
    finish: Callable[[Any], None] = lambda result: None
    reference: str | None = None
    marks: Sequence[Mark] = ()


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A mark, and what was measured against it."""

    mark: Mark
    reached: bool


@dataclass(frozen=True, kw_only=True)
class Result:
    """What one case gave; for a counted value only `value` and `unit` are set."""

    bench: str
    name: str
    unit: str
    seconds: float | None = None
    spread: float | None = None
    rate: float | None = None
    reference: str | None = None
    ratio: float | None = None
    value: float | None = None
    verdicts: tuple[Verdict, ...] = ()


@dataclass
class Bench:
    """Handed to every bench module: settings of the run, and where results go."""

    name: str
    directory: Path
    quick: bool = False
    results: list[Result] = field(default_factory=list)
    on_progress: Callable[[str], None] = lambda text: None

    @property
    def rounds(self) -> int:
        return ROUNDS_QUICK if self.quick else ROUNDS

    def scaled(self, full: int, quick: int) -> int:
        """A size of the input: the full one, or the smaller one of a quick run."""
        return quick if self.quick else full

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """An empty directory on the disk to be measured, removed afterwards."""
        with TemporaryDirectory(prefix="hangard-bench-", dir=self.directory) as path:
            yield Path(path)

    def measure(self, *cases: Case, rounds: int | None = None) -> list[Result]:
        """Time all cases in turns and keep their results."""
        seconds: dict[str, list[float]] = {case.name: [] for case in cases}
        assert len(seconds) == len(cases), "names must differ within a group"
        count = self.rounds if rounds is None else rounds
        for turn in range(1 + count):
            for case in cases:
                self.on_progress(f"{self.name}: {case.name} ({turn}/{count})")
                elapsed = time_once(case)
                if turn > 0:
                    seconds[case.name].append(elapsed)
        per_unit = {case.name: [s / case.work for s in seconds[case.name]] for case in cases}
        results = [
            summarise(
                self.name,
                case,
                seconds[case.name],
                per_unit[case.name],
                per_unit[case.reference] if case.reference else None,
            )
            for case in cases
        ]
        self.results += results
        return results

    def count(self, name: str, value: float, unit: str, *marks: Mark) -> Result:
        """Keep a counted value, such as bytes written."""
        verdicts = tuple(Verdict(mark=mark, reached=mark.reached(value)) for mark in marks)
        result = Result(bench=self.name, name=name, unit=unit, value=value, verdicts=verdicts)
        self.results.append(result)
        return result


def time_once(case: Case) -> float:
    """Seconds of one call, with the garbage collector held off as timeit does."""
    state = case.prepare()
    gc.collect()
    gc.disable()
    try:
        start = time.perf_counter()
        returned = case.call(state)
        elapsed = time.perf_counter() - start
    finally:
        gc.enable()
    case.finish(returned)
    return elapsed


def summarise(
    bench: str,
    case: Case,
    seconds: Sequence[float],
    per_unit: Sequence[float],
    reference: Sequence[float] | None,
) -> Result:
    median = statistics.median(seconds)
    quartiles = statistics.quantiles(seconds, n=4)
    ratio = None
    if reference is not None:
        ratio = statistics.median(r / s for r, s in zip(reference, per_unit, strict=True))
    rate = case.work / median
    measured = {"rate": rate, "seconds": median, "ratio": ratio}
    verdicts = []
    for mark in case.marks:
        value = measured[mark.quantity]
        assert value is not None, f"{case.name}: a mark on {mark.quantity} needs it measured"
        verdicts.append(Verdict(mark=mark, reached=mark.reached(value)))
    return Result(
        bench=bench,
        name=case.name,
        unit=case.unit,
        seconds=median,
        spread=(quartiles[2] - quartiles[0]) / 2 / median,
        rate=rate,
        reference=case.reference,
        ratio=ratio,
        verdicts=tuple(verdicts),
    )
