"""Checkouts: what they open, how long they last, and who may write."""

import pickle
import subprocess
import sys
import time

import numpy as np
import pytest
from client.hangar.conftest import ROW, fill
from hangard_client.hangar import Repository
from hangard_client.hangar.checkout import ReaderCheckout, WriterCheckout

from hangard.errors import Closed


def test_a_reader_opens_a_branch_or_a_commit_which_wins(fresh):
    first = fill(fresh)
    co = fresh.checkout(write=True)
    co["x"]["c"] = ROW
    second = co.commit("second")
    co.close()
    assert isinstance(fresh.checkout(), ReaderCheckout)
    assert fresh.checkout().commit_hash == second
    assert fresh.checkout(branch="master").commit_hash == second
    assert fresh.checkout(commit=first).commit_hash == first
    assert fresh.checkout(branch="master", commit=first).commit_hash == first
    assert "c" not in fresh.checkout(commit=first)["x"]


def test_what_a_reader_cannot_open_is_a_value_error(fresh):
    with pytest.raises(ValueError, match="no commit yet"):
        fresh.checkout()
    with pytest.raises(ValueError, match="no "):
        fresh.checkout(commit="0" * 64)
    digest = fill(fresh)
    with pytest.raises(ValueError, match="no branch"):
        fresh.checkout(branch="nothing")
    with pytest.raises(ValueError, match="full digest"):
        fresh.checkout(commit=digest[:12])


def test_a_reader_does_not_see_what_comes_later(shared):
    with shared.checkout() as before:
        co = shared.checkout(write=True)
        co["x"]["later"] = ROW
        co.commit("later")
        co.close()
        assert "later" not in before["x"]
        assert "later" in shared.checkout()["x"]
        assert not hasattr(before, "branch_name")


def test_what_a_writer_cannot_open_is_a_value_error_and_the_lock_stays_free(shared):
    digest = shared.checkout().commit_hash
    for arguments in ({"commit": digest}, {"branch": "nothing"}):
        with pytest.raises(ValueError, match="no"):
            shared.checkout(write=True, **arguments)
    for write in (1, "yes", None):
        with pytest.raises(ValueError, match="write="):
            shared.checkout(write=write)
    assert not shared.writer_lock_held


def test_staged_work_survives_its_process(fresh):
    code = """
import os, sys, numpy
from hangard_client.hangar import Repository
co = Repository(sys.argv[1]).checkout(write=True)
column = co.add_ndarray_column("x", prototype=numpy.arange(6))
column["a"] = numpy.arange(6)
os.kill(os.getpid(), 9)
"""
    child = subprocess.run([sys.executable, "-c", code, fresh.path], check=False, timeout=60)
    assert child.returncode == -9
    deadline = time.monotonic() + 20
    while fresh.writer_lock_held and time.monotonic() < deadline:
        time.sleep(0.01)
    co = fresh.checkout(write=True)
    assert (co["x"]["a"] == ROW).all()
    assert co.diff.status() == "DIRTY"
    co.close()
    co = fresh.checkout(write=True)
    co.commit("from another process")
    co.close()


def test_a_dirty_staging_area_keeps_other_branches_away(fresh):
    fill(fresh)
    fresh.create_branch("dev")
    co = fresh.checkout(write=True)
    co["x"]["c"] = ROW
    co.close()
    with pytest.raises(ValueError, match="master"):
        fresh.checkout(write=True, branch="dev")
    assert not fresh.writer_lock_held
    with pytest.raises(RuntimeError, match="staged"):
        fresh.merge("m", "master", "dev")
    assert not fresh.writer_lock_held
    co = fresh.checkout(write=True)
    assert "c" in co["x"]
    co.reset_staging_area()
    co.close()
    co = fresh.checkout(write=True, branch="dev")
    assert co.branch_name == "dev"
    co.close()
    assert fresh.checkout(write=True).branch_name == "dev"


def test_a_writer_begins_at_the_head_that_others_moved(fresh):
    fill(fresh)
    native = fresh._repo()
    fresh.checkout(write=True).close()
    with native.checkout("master", write=True) as other:
        other["x"]["native"] = ROW
        head = other.commit("by the native client")
    co = fresh.checkout(write=True)
    assert co.commit_hash == head.hex()
    assert "native" in co["x"]
    co.close()


def test_a_writer_knows_its_branch_and_commit(fresh):
    co = fresh.checkout(write=True)
    assert isinstance(co, WriterCheckout)
    assert co.branch_name == "master"
    assert co.commit_hash == ""
    assert co.log(return_contents=True)["order"] == []
    co.add_ndarray_column("x", prototype=ROW)
    digest = co.commit("first")
    assert co.commit_hash == digest
    assert co.log(return_contents=True)["head"] == digest
    co.close()
    reader = fresh.checkout()
    assert reader.log(return_contents=True)["order"] == [digest]


def uses(co, column, columns):
    yield lambda: co["x"]
    yield lambda: co.get(("x", "a"))
    yield lambda: len(co)
    yield lambda: list(co)
    yield lambda: "x" in co
    yield lambda: co.columns
    yield lambda: co.diff
    yield lambda: co.commit_hash
    yield lambda: co.log()
    yield co.close
    yield co.__enter__
    yield lambda: column["a"]
    yield lambda: column.get("a")
    yield lambda: "a" in column
    yield lambda: len(column)
    yield lambda: list(column.keys())
    yield lambda: list(column.items())
    yield lambda: column.shape
    yield lambda: column.backend
    yield lambda: column.iswriteable
    yield lambda: columns["x"]
    yield lambda: columns.keys()
    yield lambda: columns.iswriteable


def test_after_closing_everything_of_a_reader_is_a_permission_error(shared):
    co = shared.checkout()
    column, columns = co["x"], co.columns
    co.close()
    for use in uses(co, column, columns):
        with pytest.raises(PermissionError) as caught:
            use()
        assert isinstance(caught.value, Closed)


def test_after_closing_everything_of_a_writer_is_a_permission_error(shared):
    co = shared.checkout(write=True)
    column, columns = co["x"], co.columns
    co.close()
    for use in (
        *uses(co, column, columns),
        lambda: co.commit("late"),
        lambda: co.add_ndarray_column("late", prototype=ROW),
        lambda: co.add_str_column("late"),
        lambda: co.add_bytes_column("late"),
        lambda: co.merge("late", "dev"),
        lambda: co.reset_staging_area(),
        lambda: co.branch_name,
        lambda: column.update({"late": ROW}),
        lambda: column.pop("a"),
        lambda: column.change_backend("00"),
        lambda: columns.delete("x"),
    ):
        with pytest.raises(PermissionError) as caught:
            use()
        assert isinstance(caught.value, Closed)


def test_a_with_block_neither_closes_nor_gives_the_lock_back(shared, co):
    with co, co:
        co["x"]["block"] = ROW
        with co["x"] as column:
            column["inner"] = ROW
    assert "block" in co["x"]
    assert shared.writer_lock_held
    with shared.checkout() as reader:
        pass
    assert "a" in reader["x"]


def test_columns_do_not_come_or_go_within_a_with_block(co):
    for block in (co, co["x"]):
        with block:
            for change in (
                lambda: co.add_ndarray_column("y", prototype=ROW),
                lambda: co.columns.delete("x"),
                lambda: co.reset_staging_area(force=True),
            ):
                with pytest.raises(PermissionError):
                    change()
            with pytest.raises(RuntimeError):
                co["x"].change_backend("00")
            with pytest.raises(RuntimeError):
                co.merge("m", "dev")
    assert co.add_ndarray_column("y", prototype=ROW).column == "y"


def test_a_commit_within_a_with_block_holds_what_was_written_in_it(fresh):
    fill(fresh)
    co = fresh.checkout(write=True)
    with co["x"] as column:
        column["c"] = ROW
        digest = co.commit("inside")
        column["d"] = ROW
    assert "c" in fresh.checkout(commit=digest)["x"]
    assert "d" in co["x"]
    assert co.diff.status() == "DIRTY"
    co.close()


def test_a_failing_block_keeps_what_was_written(co):
    class Oops(Exception):
        pass

    def fail():
        with co:
            co["x"]["kept"] = ROW
            raise Oops

    with pytest.raises(Oops):
        fail()
    assert "kept" in co["x"]


def test_a_checkout_is_a_dictionary_of_columns(shared, co):
    for checkout in (shared.checkout(), co):
        assert len(checkout) == 1
        assert "x" in checkout
        assert "y" not in checkout
        assert list(checkout) == list(checkout.keys()) == ["x"]
        assert [column.column for column in checkout.values()] == ["x"]
        assert [name for name, _ in checkout.items()] == ["x"]
        assert checkout._ipython_key_completions_() == ["x"]
        assert "x" in repr(checkout)


def test_the_forms_of_access(shared, co):
    for checkout in (shared.checkout(), co):
        assert checkout["x"].column == "x"
        assert (checkout["x", "a"] == ROW).all()
        assert (checkout[("x", 1)] == ROW + 2).all()
        several = checkout[("x", 1), ("x", "a")]
        assert [row[0] for row in several] == [2, 0]
        assert [row[0] for row in checkout[[("x", "b"), ("x", 1)]]] == [1, 2]
        for missing in ("y", ("y", "a"), ("x", "zz"), [("x", "a"), ("x", "zz")], ("x", True)):
            with pytest.raises(KeyError):
                checkout[missing]


def test_get_puts_a_default_in_the_place_of_what_is_missing(shared, co):
    for checkout in (shared.checkout(), co):
        assert (checkout.get(("x", "a")) == ROW).all()
        assert checkout.get(("x", "zz")) is None
        assert checkout.get(("x", "zz"), default=7) == 7
        found = checkout.get([("x", "zz"), ("x", "a")], default=0)
        assert found[0] == 0
        assert (found[1] == ROW).all()
        with pytest.raises(KeyError):
            checkout.get("y")
        with pytest.raises(KeyError):
            checkout.get(("x", "zz"), except_missing=True)


def test_nothing_is_written_through_a_checkout_itself(co):
    with pytest.raises(TypeError):
        co["x", "a"] = ROW


def test_a_reader_has_no_methods_that_write(shared):
    co = shared.checkout()
    with pytest.raises(AttributeError):
        co["x"]["k"] = ROW
    with pytest.raises(AttributeError):
        del co["x"]["a"]
    for name in ("commit", "add_str_column", "merge", "reset_staging_area", "branch_name"):
        with pytest.raises(AttributeError):
            getattr(co, name)
    for name in ("append", "update", "pop", "change_backend"):
        with pytest.raises(AttributeError):
            getattr(co["x"], name)
    for name in ("staged", "status"):
        with pytest.raises(AttributeError):
            getattr(co.diff, name)
    with pytest.raises(PermissionError):
        co.columns.delete("x")
    with pytest.raises(PermissionError):
        del co.columns["x"]
    with pytest.raises(PermissionError):
        co.arraysets.init_arrayset("y", prototype=ROW)


def test_a_reset_drops_what_is_staged_and_all_earlier_columns(shared):
    co = shared.checkout(write=True)
    head = co.commit_hash
    with pytest.raises(RuntimeError, match="nothing is staged"):
        co.reset_staging_area()
    column = co["x"]
    column["staged"] = ROW
    co.add_ndarray_column("y", prototype=ROW)
    assert co.reset_staging_area() == head
    assert list(co) == ["x"]
    assert "staged" not in co["x"]
    assert co.diff.status() == "CLEAN"
    with pytest.raises(PermissionError):
        column["a"]
    assert co.reset_staging_area(force=True) == head
    assert shared.writer_lock_held
    co.close()


def test_the_staged_branch_is_the_default_wherever_head_went(fresh):
    fill(fresh)
    fresh.create_branch("dev")
    co = fresh.checkout(write=True, branch="dev")
    co["x"]["c"] = ROW
    co.close()
    native = fresh._repo()
    native.set_head("master")
    co = fresh.checkout(write=True)
    assert (co.branch_name, co.diff.status()) == ("dev", "DIRTY")
    assert native.head() == "dev"
    co.close()
    native.set_head("master")
    native.delete_branch("dev")
    with pytest.raises(ValueError, match="dev"):
        fresh.checkout(write=True)
    assert not fresh.writer_lock_held
    fresh.create_branch("dev")
    co = fresh.checkout(write=True)
    co.commit("on the new branch")
    co.close()


def test_checkouts_are_not_pickled(shared):
    with pytest.raises(TypeError):
        pickle.dumps(shared.checkout())


def test_writers_are_not_pickled(co):
    for value in (co, co["x"]):
        with pytest.raises(PermissionError):
            pickle.dumps(value)


def test_a_process_that_forgets_to_close_gives_the_lock_back_without_a_word(fresh):
    code = """
import sys, numpy
from hangard_client.hangar import Repository
co = Repository(sys.argv[1]).checkout(write=True)
co.add_ndarray_column("x", prototype=numpy.arange(6)).update({"a": numpy.arange(6)})
"""
    child = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, fresh.path],
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert (child.returncode, child.stderr) == (0, b"")
    assert not fresh.writer_lock_held
    co = Repository(fresh.path).checkout(write=True)
    assert (co["x"]["a"] == np.arange(6)).all()
    co.close()


def test_of_four_processes_that_want_to_write_at_once_one_may(shared):
    code = """
import sys
from hangard_client.hangar import Repository
repo = Repository(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
try:
    co = repo.checkout(write=True)
except PermissionError:
    print("refused", flush=True)
else:
    print("writes", flush=True)
    sys.stdin.readline()
    co.close()
"""
    command = [sys.executable, "-W", "error", "-c", code, shared.path]
    children = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for child in children:
        assert child.stdout.readline() == "ready\n"
    for child in children:
        child.stdin.write("go\n")
        child.stdin.flush()
    told = [child.stdout.readline().strip() for child in children]
    for child in children:
        child.communicate("end\n", timeout=60)
    assert sorted(told) == ["refused", "refused", "refused", "writes"]
    assert not shared.writer_lock_held
