"""Hangar's bulk importer under its own names."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from hangard_client.hangar import Repository
from hangard_client.hangar.bulk_importer import UDF_Return, run_bulk_import


@pytest.fixture
def hangar(tmp_path):
    repository = Repository(tmp_path, exists=False)
    repository.init("Ada", "ada@example.org")
    checkout = repository.checkout(write=True)
    checkout.add_ndarray_column("a", shape=(3,), dtype=np.uint8)
    checkout.add_str_column("text", contains_subsamples=True)
    checkout.commit("columns")
    checkout.close()
    yield repository
    repository._repo().stop()
    repository._repo().close()


def make_udf() -> Any:
    def udf(start: int) -> Any:
        import numpy as np
        from hangard_client.hangar.bulk_importer import UDF_Return

        for i in range(start, start + 4):
            yield UDF_Return(column="a", key=i, data=np.full(3, i, np.uint8))
            yield UDF_Return("text", (i, "caption"), f"number {i}")

    return udf


def yields(*items: Any) -> Any:
    def udf() -> Any:
        yield from items

    return udf


def test_a_bulk_import_is_one_commit(hangar):
    kwargs = [{"start": 0}, {"start": 100}, {"start": 200}]
    assert run_bulk_import(hangar, "master", ["a", "text"], make_udf(), kwargs, ncpus=2) is None
    checkout = hangar.checkout()
    assert len(checkout["a"]) == 12
    assert checkout["a", 203].tolist() == [203] * 3
    assert checkout["text", 101, "caption"] == "number 101"
    checkout.close()
    assert len(hangar.log(return_contents=True)["order"]) == 2
    assert not hangar.writer_lock_held


def test_without_autocommit_the_samples_stay_staged(hangar):
    run_bulk_import(hangar, "master", ["a", "text"], make_udf(), [{"start": 7}], autocommit=False)
    checkout = hangar.checkout(write=True)
    assert checkout.diff.status() == "DIRTY"
    assert len(checkout["a"]) == 4
    checkout.commit("by hand")
    checkout.close()


@pytest.mark.parametrize(
    ("udf", "kwargs", "error"),
    [
        (lambda start: [start], [{"start": 1}], TypeError),
        (make_udf(), [{"begin": 1}], TypeError),
        (yields(("a", 1, np.zeros(3, np.uint8))), [{}], TypeError),
        (yields("a"), [{}], TypeError),
        (yields(UDF_Return("other", 1, np.zeros(3, np.uint8))), [{}], ValueError),
        (yields(UDF_Return("a", 1, np.zeros(4, np.uint8))), [{}], ValueError),
        (yields(UDF_Return("a", -1, np.zeros(3, np.uint8))), [{}], ValueError),
        (yields(UDF_Return("a", True, np.zeros(3, np.uint8))), [{}], ValueError),
    ],
)
def test_what_hangar_refuses_is_refused_and_nothing_stays(hangar, udf, kwargs, error):
    with pytest.raises(error):
        run_bulk_import(hangar, "master", ["a", "text"], udf, kwargs)
    checkout = hangar.checkout(write=True)
    assert checkout.diff.status() == "CLEAN"
    checkout.close()


def test_what_cloudpickle_does_not_take_is_a_runtime_error(hangar):
    lock = threading.Lock()

    def udf() -> Any:
        yield UDF_Return("a", 1, lock)

    with pytest.raises(RuntimeError):
        run_bulk_import(hangar, "master", ["a"], udf, [{}])


def test_a_function_that_is_not_deterministic_is_a_value_error(hangar):
    calls: list[int] = []

    def udf() -> Any:
        calls.append(1)
        yield UDF_Return("a", len(calls), np.zeros(3, np.uint8))

    with pytest.raises(ValueError, match="different samples"):
        run_bulk_import(hangar, "master", ["a"], udf, [{}])


def test_columns_and_branches_must_be_there(hangar):
    with pytest.raises(KeyError):
        run_bulk_import(hangar, "master", ["b"], make_udf(), [{"start": 1}])
    with pytest.raises(ValueError, match="no branch"):
        run_bulk_import(hangar, "dev", ["a"], make_udf(), [{"start": 1}])


def test_the_lock_of_another_writer_keeps_it_out(hangar):
    checkout = hangar.checkout(write=True)
    with pytest.raises(PermissionError):
        run_bulk_import(hangar, "master", ["a", "text"], make_udf(), [{"start": 1}])
    checkout["a"][1] = np.zeros(3, np.uint8)
    checkout.close()
    with pytest.raises(RuntimeError, match="staged"):
        run_bulk_import(hangar, "master", ["a", "text"], make_udf(), [{"start": 1}])


def test_an_error_of_the_function_is_raised_and_nothing_stays(hangar):
    def udf(start: int) -> Any:
        import numpy as np
        from hangard_client.hangar.bulk_importer import UDF_Return

        yield UDF_Return("a", start, np.zeros(3, np.uint8))
        if start:
            raise ZeroDivisionError("bad")

    with pytest.raises(ZeroDivisionError, match="bad"):
        run_bulk_import(hangar, "master", ["a"], udf, [{"start": 0}, {"start": 1}])
    checkout = hangar.checkout(write=True)
    assert checkout.diff.status() == "CLEAN"
    checkout.close()
