"""Many processes and threads, forks, and clients that are killed."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import hangard_client
import numpy as np
import pytest

from hangard.errors import Closed


def start(repo, branch, body):
    """A client process that runs ``body`` with `repo`, `branch` and `images` in scope."""
    program = f"""
        import sys, os, time
        import numpy as np
        import hangard_client
        repo = hangard_client.open({str(repo.path)!r}, user_name="P", user_email="p@example.org")
        branch = {branch!r}
        images = np.random.default_rng(7).integers(0, 256, (200, 6, 5), dtype=np.uint8)
    """
    code = textwrap.dedent(program) + textwrap.dedent(body)
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(process):
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    return output


def test_four_writer_processes_commit_to_one_branch(repo, filled, images):
    processes = [
        start(
            repo,
            filled,
            f"""
            with repo.checkout(branch, write=True) as co:
                faces = co["faces"]
                for part in range(5):
                    for i in range(20):
                        faces[f"writer-{number}-{{part}}-{{i}}"] = images[{number} * 20 + i]
                    faces.put_many([{number}000 + 2 * part, {number}001 + 2 * part], images[:2])
                    co.commit(f"part {{part}} of {number}")
            """,
        )
        for number in range(1, 5)
    ]
    for process in processes:
        finish(process)
    assert len(repo.log(filled)) == 21
    with repo.checkout(filled) as co:
        faces = co["faces"]
        assert len(faces) == 101 + 4 * 5 * 22
        for number in range(1, 5):
            for part in range(5):
                keys = [f"writer-{number}-{part}-{i}" for i in range(20)]
                assert (faces.get_many(keys) == images[number * 20 : number * 20 + 20]).all()


def test_what_a_killed_client_sent_is_staged_and_what_it_buffered_is_not(repo, filled, images):
    process = start(
        repo,
        filled,
        """
        co = repo.checkout(branch, write=True)
        co["faces"].update({"sent": images[0]})
        co["faces"]["buffered"] = images[1]
        print(co.session, flush=True)
        time.sleep(60)
        """,
    )
    session = process.stdout.readline().strip()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    with repo.checkout(session=session) as co:
        assert (co["faces"]["sent"] == images[0]).all()
        assert "buffered" not in co["faces"]
        co.commit("what was left")


def test_a_client_killed_in_the_middle_of_a_batch_harms_nobody(repo, filled, images):
    for delay_s in (0.05, 0.15, 0.3):
        process = start(
            repo,
            filled,
            """
            co = repo.checkout(branch, write=True)
            rows = np.zeros((100000, 6, 5), np.uint8)
            print(co.session, flush=True)
            while True:
                co["faces"].put_many(range(100000), rows)
            """,
        )
        session = process.stdout.readline().strip()
        time.sleep(delay_s)
        process.kill()
        process.communicate()
        with repo.checkout(filled, write=True) as co:
            co["faces"]["after"] = images[int(delay_s * 100)]
            co.commit("goes on")
        repo.abort_session(session)
    deadline = time.monotonic() + 20
    while repo.status()["memory_bytes"] and time.monotonic() < deadline:
        time.sleep(0.05)
    assert repo.status()["memory_bytes"] == 0


def test_many_threads_write_through_one_checkout(repo, branch):
    failures = []

    def write(column, number):
        try:
            for i in range(300):
                column[number * 1000 + i] = np.full(3, i, "i4")
                if i % 50 == 0:
                    assert (column[number * 1000 + i] == i).all()
        except Exception as error:
            failures.append(error)

    with repo.checkout(branch, write=True) as co:
        column = co.add_ndarray_column("x", shape=3, dtype="i4")
        threads = [threading.Thread(target=write, args=(column, i)) for i in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures
        assert len(column) == 1800
        co.commit("threads")
    with repo.checkout(branch) as co:
        assert len(co["x"]) == 1800


def test_many_threads_read_through_one_checkout(repo, filled, images):
    failures = []

    def read(faces, seed):
        rng = np.random.default_rng(seed)
        for i in rng.integers(0, 100, 500).tolist():
            if not (faces[i] == images[i]).all():
                failures.append(i)

    with repo.checkout(filled) as co:
        threads = [threading.Thread(target=read, args=(co["faces"], i)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not failures


def in_child(work):
    """Run ``work`` in a forked child; its exit status: 0 if it returned True."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            status = 0 if work() else 2
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_reads_on_and_cannot_write(repo, filled, images):
    with repo.checkout(filled) as reading, repo.checkout(filled, write=True) as writing:
        writing["faces"]["parent"] = images[3]

        def child():
            assert (reading["faces"].get_many(range(100)) == images[:100]).all()
            for use in (
                lambda: writing["faces"].put("child", images[0]),
                lambda: writing["faces"]["parent"],
                lambda: writing.commit("child"),
                lambda: repo.checkout(filled, write=True),
                repo.status,
            ):
                with pytest.raises(Closed):
                    use()
            mine = hangard_client.open(repo.path, user_name="C", user_email="c@c.org")
            with mine, mine.checkout(filled, write=True) as co:
                co["faces"]["child"] = images[1]
                co.commit("child's own")
            return True

        assert in_child(child) == 0
        assert (reading["faces"][5] == images[5]).all()
        assert (writing["faces"]["parent"] == images[3]).all()
        writing.commit("parent")
    with repo.checkout(filled) as co:
        assert "child" in co["faces"]
        assert "parent" in co["faces"]


def test_a_client_that_forgets_to_close_sends_its_buffer_at_exit(repo, filled, images):
    process = start(
        repo,
        filled,
        """
        co = repo.checkout(branch, write=True)
        co["faces"]["forgotten"] = images[9]
        print(co.session, flush=True)
        """,
    )
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "UncommittedWarning" in errors
    with repo.checkout(session=output.strip()) as co:
        assert (co["faces"]["forgotten"] == images[9]).all()
        co.abort()
