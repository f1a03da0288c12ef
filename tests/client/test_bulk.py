"""Bulk imports: generators in worker processes, all of it or nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from typing import Any

import hangard_client
import numpy as np
import pytest
from hangard_client.bulk import BulkProgress, BulkSample, worker_count

from hangard.errors import HangardError, InvalidRequest, InvalidType, UnknownColumn


@pytest.fixture
def prepared(repo, branch):
    """A branch with columns `a` (fixed), `text` and `parts` (nested), without samples."""
    with repo.checkout(branch, write=True) as checkout:
        checkout.add_ndarray_column("a", shape=(3,), dtype="u1")
        checkout.add_str_column("text")
        checkout.add_ndarray_column("parts", shape=(2,), dtype="f4", contains_subsamples=True)
        checkout.commit("columns")
    return branch


def make_source() -> Any:
    """A generator that workers get by value: this module cannot be imported there."""

    def source(start: int, count: int = 3) -> Any:
        import numpy as np

        for i in range(start, start + count):
            yield "a", i, np.full(3, i % 251, "u1")
            yield "text", f"t{i}", f"number {i}"
            yield "parts", (i, "half"), np.full(2, i / 2, "f4")

    return source


def arguments(*starts: int) -> list[dict[str, int]]:
    return [{"start": start} for start in starts]


def state(repo: Any, branch: str) -> tuple[Any, ...]:
    return repo.branches()[branch], repo.sessions()


def test_what_the_generator_yields_in_all_workers_is_one_commit(repo, prepared):
    told: list[BulkProgress] = []
    commit = hangard_client.bulk_import(
        repo,
        prepared,
        make_source(),
        arguments(0, 10, 20, 30),
        workers=2,
        message="all",
        metadata={"from": "elsewhere"},
        report=told.append,
    )
    entry = repo.log(prepared)[0]
    assert (entry.digest, entry.message, entry.metadata) == (commit, "all", {"from": "elsewhere"})
    assert len(repo.log(prepared)) == 2
    with repo.checkout(prepared) as checkout:
        keys = [start + i for start in (0, 10, 20, 30) for i in range(3)]
        assert list(checkout["a"]) == keys
        assert checkout["a", 21].tolist() == [21] * 3
        assert checkout["text", "t32"] == "number 32"
        assert checkout["parts"][31, "half"].tolist() == [15.5, 15.5]
    assert [(each.done, each.total) for each in told] == [(n, 4) for n in (1, 2, 3, 4)]
    assert told[-1].samples == 36


def test_an_error_of_the_generator_is_raised_and_nothing_stays(repo, prepared):
    def source(start: int) -> Any:
        import numpy as np

        for i in range(100):
            yield "a", start + i, np.zeros(3, "u1")
        if start == 200:
            raise FloatingPointError("this one is bad")

    before = state(repo, prepared)
    with pytest.raises(FloatingPointError, match="this one is bad") as caught:
        hangard_client.bulk_import(repo, prepared, source, arguments(0, 100, 200, 300), workers=2)
    assert "in a worker of the bulk import" in caught.value.__notes__[0]
    assert state(repo, prepared) == before


def test_a_worker_that_dies_is_told_and_nothing_stays(repo, prepared):
    def source(start: int) -> Any:
        import os
        import signal

        import numpy as np

        yield "a", start, np.zeros(3, "u1")
        if start == 1:
            os.kill(os.getpid(), signal.SIGKILL)

    before = state(repo, prepared)
    with pytest.raises(InvalidRequest, match="SIGKILL") as caught:
        hangard_client.bulk_import(repo, prepared, source, arguments(0, 1, 2), workers=2)
    assert caught.value.code == "worker-ended"
    assert state(repo, prepared) == before


def yields(*items: Any) -> Any:
    def source() -> Any:
        yield from items

    return source


@pytest.mark.parametrize(
    ("items", "kind", "code"),
    [
        (["a"], InvalidType, "not-a-sample"),
        ([("a", 1)], InvalidType, "not-a-sample"),
        ([(5, 1, "x")], InvalidType, "not-a-sample"),
        ([("other", 1, "x")], InvalidRequest, "undeclared-column"),
        ([("a", 1, np.zeros(4, "u1"))], InvalidRequest, "wrong-shape"),
        ([("a", 1, np.zeros(3, "f8"))], InvalidRequest, "wrong-dtype"),
        ([("a", True, np.zeros(3, "u1"))], InvalidType, "invalid-key-type"),
    ],
)
def test_samples_that_fit_no_column_are_refused(repo, prepared, items, kind, code):
    before = state(repo, prepared)
    with pytest.raises(kind) as caught:
        hangard_client.bulk_import(repo, prepared, yields(*items), [{}], workers=1)
    assert caught.value.code == code
    assert state(repo, prepared) == before


def test_columns_that_were_not_declared_are_refused(repo, prepared):
    with pytest.raises(InvalidRequest) as caught:
        hangard_client.bulk_import(
            repo, prepared, make_source(), arguments(0), columns=["a", "text"]
        )
    assert caught.value.code == "undeclared-column"
    with pytest.raises(UnknownColumn):
        hangard_client.bulk_import(repo, prepared, make_source(), arguments(0), columns=["b"])


def test_calls_that_cannot_work_are_refused_before_anything_is_opened(repo, prepared):
    before = state(repo, prepared)

    def refused(source: Any, given: Any) -> str:
        with pytest.raises(HangardError) as caught:
            hangard_client.bulk_import(repo, prepared, source, given)
        assert isinstance(caught.value, (InvalidRequest, InvalidType))
        return caught.value.code

    assert refused(lambda start: [start], arguments(0)) == "not-a-generator"
    assert refused("rows", arguments(0)) == "not-a-generator"
    assert refused(make_source(), [{"begin": 1}]) == "wrong-arguments"
    assert refused(make_source(), [{}]) == "wrong-arguments"
    assert refused(make_source(), [{"start": threading.Lock()}]) == "not-picklable"
    assert state(repo, prepared) == before


def test_a_generator_that_gives_something_else_each_time_is_refused(repo, prepared):
    calls: list[int] = []

    def source() -> Any:
        calls.append(1)
        yield BulkSample("a", len(calls), np.zeros(3, "u1"))

    with pytest.raises(InvalidRequest) as caught:
        hangard_client.bulk_import(repo, prepared, source, [{}])
    assert caught.value.code == "not-deterministic"


def test_workers_are_half_the_cpus_and_no_more_than_there_is_to_do():
    half = max(1, (os.cpu_count() or 1) // 2)
    assert worker_count(0, 1000) == min(half, 64)
    assert worker_count(-3, 1) == 1
    assert worker_count(500, 1000) == 64
    assert worker_count(5, 2) == 2


SCRIPT = """
import sys
import numpy as np
import hangard_client

def rows(start):
    for i in range(start, start + 2):
        yield "a", i, np.full(3, i, "u1")

repo = hangard_client.open(sys.argv[1], user_name="Ada", user_email="ada@example.org")
hangard_client.bulk_import(repo, sys.argv[2], rows, [{"start": 0}, {"start": 5}], workers=2)
print("done")
"""


def test_a_script_needs_no_guard_around_its_main_part(repo, prepared, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT))
    result = subprocess.run(
        [sys.executable, "-W", "error", str(script), str(repo.path), prepared],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (result.returncode, result.stdout) == (0, "done\n"), result.stderr
    with repo.checkout(prepared) as checkout:
        assert list(checkout["a"]) == [0, 1, 5, 6]


def test_an_exclusive_session_is_joined_and_stays_with_its_holder(repo, prepared):
    with repo.checkout(prepared, write=True, exclusive=True) as holder:
        joined = repo.join(holder.session)
        joined["a"].put_many([1, 2], np.ones((2, 3), "u1"))
        joined.close()
        commit = holder.commit("both")
    assert repo.branches()[prepared] == commit
    with repo.checkout(prepared) as checkout:
        assert list(checkout["a"]) == [1, 2]


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_bar_is_shown_on_a_terminal_only(repo, prepared, is_terminal, monkeypatch, tmp_path):
    ours, theirs = os.openpty() if is_terminal else (None, None)
    with open(tmp_path / "stderr" if theirs is None else theirs, "w") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        hangard_client.bulk_import(repo, prepared, make_source(), arguments(50, 60), workers=1)
    if ours is None:
        assert (tmp_path / "stderr").read_text() == ""
        return
    shown = os.read(ours, 65_536).decode()
    os.close(ours)
    assert "bulk import" in shown
    assert "2/2" in shown
    assert "18 samples" in shown
