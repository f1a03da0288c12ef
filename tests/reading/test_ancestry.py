from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.merging import best_common

from hangard.model.commit import ZERO_DIGEST, Author, Commit, Digest
from hangard.reading.ancestry import is_ancestor, merge_bases

ADA = Author("Ada", "ada@example.org")


def digest(number: int) -> Digest:
    return number.to_bytes(32, "big")


def commits_of(history: dict[int, list[int]], times: dict[int, int]) -> dict[Digest, Commit]:
    return {
        digest(number): Commit(
            tuple(map(digest, parents)), ZERO_DIGEST, ADA, str(number), times[number]
        )
        for number, parents in history.items()
    }


histories = st.integers(1, 14).flatmap(
    lambda size: st.tuples(
        *(
            st.lists(st.integers(1, number - 1), max_size=2, unique=True)
            if number > 1
            else st.just([])
            for number in range(1, size + 1)
        )
    )
)


@settings(max_examples=300, deadline=None)
@given(histories, st.integers(0, 2**16), st.booleans())
def test_merge_bases_equal_the_model_whatever_the_clocks_say(
    parents: tuple[list[int], ...], seed: int, clocks_run_right: bool
) -> None:
    history = {number: list(named) for number, named in enumerate(parents, 1)}
    rng = random.Random(seed)
    times = {n: n if clocks_run_right else rng.randrange(20) for n in history}
    commits = commits_of(history, times)
    model = {number: (named, {}) for number, named in history.items()}
    some = rng.sample(sorted(history), min(3, len(history)))
    ours, theirs = some[:1], some[-1:]
    found = merge_bases(commits.__getitem__, map(digest, ours), map(digest, theirs))
    assert sorted(found) == [digest(n) for n in best_common(model, ours, theirs)]
    several = merge_bases(commits.__getitem__, map(digest, some[:2]), map(digest, theirs))
    assert sorted(several) == [digest(n) for n in best_common(model, some[:2], theirs)]
    reached = best_common(model, ours, theirs) == ours
    assert is_ancestor(commits.__getitem__, digest(ours[0]), map(digest, theirs)) == reached


def test_the_walk_ends_at_the_base_and_not_at_the_first_commit() -> None:
    history = {n: [n - 1] if n > 1 else [] for n in range(1, 1001)}
    history[1001], history[1002] = [1000], [1000]
    commits = commits_of(history, {n: n for n in history})
    read: list[Digest] = []

    def load(number: Digest) -> Commit:
        read.append(number)
        return commits[number]

    assert merge_bases(load, [digest(1001)], [digest(1002)]) == [digest(1000)]
    assert len(set(read)) < 10


@pytest.mark.parametrize("levels", [1, 3000])
def test_histories_that_cross_again_and_again_have_two_bases(levels: int) -> None:
    history: dict[int, list[int]] = {1: [], 2: [1], 3: [1]}
    for level in range(levels):
        left = 2 + 2 * level
        history[left + 2], history[left + 3] = [left, left + 1], [left + 1, left]
    commits = commits_of(history, {n: n for n in history})
    last = max(history)
    found = merge_bases(commits.__getitem__, [digest(last - 1)], [digest(last)])
    assert found == [digest(last - 3), digest(last - 2)]
