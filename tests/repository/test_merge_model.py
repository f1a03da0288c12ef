"""Random histories, criss-cross ones among them, merged as the model of plain dicts merges them."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hangard_ext.treekey import decode_key
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reference.merging import base_samples, best_common, kind, three_way
from repository.merges import head, merge
from repository.writing import Writer, open_new, read_commit

from hangard.errors import Conflict
from hangard.repository.repository import Repository
from hangard.wire.messages import Choice

BRANCHES = ("main", "dev", "side")


class History:
    """The repository and the model side by side."""

    def __init__(self, repository: Repository, seed: int) -> None:
        self.repository = repository
        self.rng = random.Random(seed)
        self.commits: dict[int, tuple[list[int], dict[Any, int]]] = {}
        self.digests: dict[int, bytes] = {}
        self.heads: dict[str, int] = {}
        self.value = 0
        writer = Writer(repository)
        writer.column("a")
        writer.put("a", {key: self.row(0) for key in range(6)})
        writer.commit()
        writer.session.close()
        self.record("main", [], dict.fromkeys(range(6), 0))
        for name in BRANCHES[1:]:
            repository.create_branch(name, head(repository, "main"))
            self.heads[name] = self.heads["main"]

    @staticmethod
    def row(value: int) -> np.ndarray:
        return np.frombuffer(value.to_bytes(4, "little"), np.uint8)

    def record(self, branch: str, parents: list[int], samples: dict[Any, int]) -> None:
        number = len(self.commits) + 1
        self.commits[number] = (parents, samples)
        self.digests[number] = head(self.repository, branch)
        self.heads[branch] = number

    def samples(self, branch: str) -> dict[Any, int]:
        return self.commits[self.heads[branch]][1]

    def change(self, branch: str) -> None:
        samples = dict(self.samples(branch))
        writer = Writer(self.repository, branch=branch)
        for key in self.rng.sample(range(10), self.rng.randint(1, 3)):
            if key in samples and self.rng.random() < 0.3:
                writer.delete("a", key)
                del samples[key]
                continue
            # Few values, so that both sides often do the same.
            value = self.rng.randint(1, 3)
            writer.put("a", {key: self.row(value)})
            samples[key] = value
        if samples == self.samples(branch):
            self.repository.close_session(writer.session.id, abort=True)
            return
        writer.commit()
        self.repository.close_session(writer.session.id, abort=True)
        self.record(branch, [self.heads[branch]], samples)

    def merge(self, into: str, other: str) -> None:
        mine, yours = self.heads[into], self.heads[other]
        bases = best_common(self.commits, [mine], [yours])
        command = merge_of(self, into, yours)
        if yours in bases:
            assert command().outcome == "up-to-date"
            return
        if mine in bases and self.rng.random() < 0.7:
            assert command().outcome == "fast-forward"
            self.heads[into] = yours
            assert head(self.repository, into) == self.digests[yours]
            return
        base = base_samples(self.commits, [mine], [yours])
        merged, conflicts = three_way(base, self.samples(into), self.samples(other))
        if conflicts:
            with pytest.raises(Conflict) as caught:
                command(ff="never")
            told = caught.value.details
            assert [key for _, key in told["keys"]] == sorted(conflicts)
            assert told["kinds"] == [kind(*conflicts[key]) for key in sorted(conflicts)]
            assert head(self.repository, into) == self.digests[mine]
        choices = []
        for key, (_, ours, theirs) in conflicts.items():
            side = self.rng.choice(["ours", "theirs"])
            value = ours if side == "ours" else theirs
            merged.pop(key, None)
            if value is not None:
                merged[key] = value
            choices.append(Choice("a", encoded(key), side))
        result = command(ff="never", strategy=tuple(choices))
        assert result.outcome == "merge"
        assert result.before == self.digests[mine]
        self.record(into, [mine, yours], merged)

    def check(self, branch: str) -> None:
        stored = read_commit(self.repository, head(self.repository, branch)).get("a", {})
        found = {key: int.from_bytes(row.tobytes(), "little") for key, row in stored.items()}
        assert found == self.samples(branch)


def merge_of(history: History, into: str, yours: int) -> Any:
    def command(**more: Any) -> Any:
        return merge(history.repository, into, history.digests[yours], **more)

    return command


def encoded(key: Any) -> bytes:
    from hangard_ext.treekey import encode_key

    found = encode_key(key)
    assert decode_key(found) == key
    return found


steps = st.lists(
    st.tuples(st.sampled_from(["change", "merge"]), st.permutations(BRANCHES)),
    min_size=4,
    max_size=25,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps, st.integers(0, 2**20))
def test_merges_of_random_histories_equal_the_model(steps: Any, seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        repository = open_new(Path(folder))
        try:
            history = History(repository, seed)
            for verb, (branch, other, _) in steps:
                if verb == "change":
                    history.change(branch)
                else:
                    history.merge(branch, other)
                history.check(branch)
        finally:
            repository.close()


def test_branches_that_merge_each_other_crosswise_many_times_equal_the_model(
    tmp_path: Path,
) -> None:
    repository = open_new(tmp_path)
    try:
        history = History(repository, 4)
        for _ in range(30):
            history.change("main")
            history.change("dev")
            before = dict(history.heads)
            history.merge("main", "dev")
            # dev takes what main was before the merge: from now on they have two bases
            history.heads["side"] = before["main"]
            history.merge("dev", "side")
            history.check("main")
            history.check("dev")
    finally:
        repository.close()
