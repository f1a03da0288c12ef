"""Which runs are merged, played through over many checkpoints."""

from __future__ import annotations

import pytest

from hangard.index.merging import FAN_IN, MERGED_ENTRIES_MAX, MERGED_RUNS_MAX, plan_merge


def play(sizes: list[int]) -> tuple[list[int], int, int]:
    """Runs at the end, how many entries were written by merges, the most runs at any time."""
    runs: list[int] = []
    written, most = 0, 0
    for size in sizes:
        runs.append(size)
        while (group := plan_merge(runs)) is not None:
            merged = runs[group]
            assert 2 <= len(merged) <= MERGED_RUNS_MAX
            assert sum(merged) <= MERGED_ENTRIES_MAX
            written += sum(merged)
            runs[group] = [sum(merged)]
        most = max(most, len(runs))
    return runs, written, most


def test_seven_small_runs_are_left_alone_and_eight_are_merged():
    assert plan_merge([100] * (FAN_IN - 1)) is None
    assert plan_merge([100] * FAN_IN) == slice(0, FAN_IN)
    assert plan_merge([]) is None


def test_a_large_old_run_is_not_copied_for_a_few_new_entries():
    assert plan_merge([1_000_000] + [100] * (FAN_IN - 1)) is None
    assert plan_merge([1_000_000] + [100] * FAN_IN) == slice(1, 1 + FAN_IN)


def test_the_cheapest_group_comes_first():
    assert plan_merge([1000] * FAN_IN + [3_000_000] + [10] * FAN_IN) == slice(FAN_IN + 1, 17)


def test_runs_that_fill_a_large_one_together_need_not_be_eight():
    assert plan_merge([600_000] * 7) == slice(0, 6)
    assert plan_merge([MERGED_ENTRIES_MAX] * 20) is None


@pytest.mark.parametrize("size", [5_000, 60_000, 262_144, 600_000, 1_048_576, 3_000_000])
def test_ten_million_entries_end_in_few_runs_and_are_written_a_few_times(size):
    runs, written, most = play([size] * (10_000_000 // size))
    assert most <= 24
    assert written <= 6 * 10_000_000
    assert sum(runs) == 10_000_000 // size * size


def test_runs_of_mixed_sizes_stay_few():
    sizes = [5_000 * (1 + 7 * i % 40) for i in range(400)]
    runs, written, most = play(sizes)
    assert most <= 40
    assert written <= 6 * sum(sizes)
    assert sum(runs) == sum(sizes)
