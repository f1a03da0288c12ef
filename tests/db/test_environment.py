"""The directory of a repository, its lock, and its LMDB environment in one and many processes."""

import os
import subprocess
import sys
import threading

import pytest

from hangard.db.environment import WritableEnvironment, create_directory
from hangard.db.filesystem import filesystem_type, refuse_network
from hangard.db.lock import RepositoryLock
from hangard.errors import (
    AlreadyExists,
    Busy,
    Closed,
    Corrupt,
    InvalidRequest,
    NoRepository,
    Unavailable,
)
from hangard.reading import environment
from hangard.reading.environment import acquire
from hangard.reading.format import checked_directory, format_bytes

MOUNTS = """\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:40 / /net rw shared:1 - nfs4 server:/export rw
31 30 0:41 / /net/ada/local\\040disk rw - xfs /dev/sdb rw
32 22 0:42 / /net2/share rw - cifs //server/share rw
33 22 0:43 / /net2/over rw - tmpfs none rw
34 22 0:44 / /net2/over rw master:2 - fuse.sshfs ada@server: rw
damaged line
"""


@pytest.fixture
def repository(tmp_path):
    create_directory(tmp_path)
    return tmp_path


def test_layout_and_format_of_a_new_repository(repository):
    directory = repository / ".hangard"
    assert (directory / "format").read_bytes() == b"HANGARD\0" + bytes.fromhex("0100000000000000")
    for folder in ("db", "log", "segments/00", "segments/10", "runs", "sessions", "readers"):
        assert (directory / folder).is_dir()


def test_creating_twice_is_refused(repository):
    with pytest.raises(AlreadyExists) as caught:
        create_directory(repository)
    assert caught.value.code == "repository-exists"


def test_a_directory_half_made_is_completed(repository):
    (repository / ".hangard" / "format").unlink()
    with pytest.raises(NoRepository):
        WritableEnvironment(repository)
    create_directory(repository)
    WritableEnvironment(repository).close()


def test_what_is_no_repository_a_newer_or_a_damaged_one_is_refused(tmp_path):
    with pytest.raises(NoRepository, match="hangard init"):
        checked_directory(tmp_path / "nowhere")
    create_directory(tmp_path)
    file = tmp_path / ".hangard" / "format"
    file.write_bytes(format_bytes(2))
    with pytest.raises(Unavailable) as caught:
        checked_directory(tmp_path)
    assert caught.value.code == "newer-format"
    file.write_bytes(b"HANGARD\0")
    with pytest.raises(Corrupt):
        checked_directory(tmp_path)


def test_a_repository_whose_database_is_gone_is_corrupt(repository):
    (repository / ".hangard" / "db" / "data.mdb").unlink()
    env = acquire(repository / ".hangard")
    with pytest.raises(Corrupt), env.read():
        pass
    env.release()


def test_network_file_systems_are_refused(tmp_path):
    assert filesystem_type("/net/ada/data", MOUNTS) == "nfs4"
    assert filesystem_type("/net/ada/local disk/data", MOUNTS) == "xfs"
    assert filesystem_type("/network", MOUNTS) == "ext4"
    assert filesystem_type("/net2/over/x", MOUNTS) == "fuse.sshfs"
    for path in ("/net/x", "/net2/share", "/net2/over"):
        with pytest.raises(InvalidRequest) as caught:
            refuse_network(path, MOUNTS)
        assert caught.value.code == "network-filesystem"
    refuse_network(tmp_path)
    assert filesystem_type(tmp_path) not in ("", "nfs4")


def test_a_second_process_is_refused_and_told_the_holder(repository):
    with WritableEnvironment(repository):
        code = (
            "import sys; from hangard.db.environment import WritableEnvironment\n"
            "from hangard.errors import Busy\n"
            "try: WritableEnvironment(sys.argv[1])\n"
            "except Busy as error: print(error.code, error.details['pid'])"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, str(repository)], capture_output=True, text=True
        )
        assert done.stdout.split() == ["repository-locked", str(os.getpid())], done.stderr
        with pytest.raises(Busy):
            RepositoryLock(repository / ".hangard")
    WritableEnvironment(repository).close()


def test_the_lock_dies_with_its_process_even_if_a_child_lives_on(repository):
    code = (
        "import os, sys, time\n"
        "from hangard.db.environment import WritableEnvironment\n"
        "env = WritableEnvironment(sys.argv[1])\n"
        "child = os.fork() == 0\n"
        "if child: print('ready', flush=True)\n"
        "time.sleep(30)\n"
        "if child: os._exit(0)"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(repository)], stdout=subprocess.PIPE, process_group=0
    )
    assert holder.stdout.readline() == b"ready\n"
    with pytest.raises(Busy):
        WritableEnvironment(repository)
    holder.kill()
    holder.wait()
    holder.stdout.close()
    try:
        WritableEnvironment(repository).close()
    finally:
        os.killpg(holder.pid, 9)


def test_readers_of_the_writing_process_share_its_environment(repository):
    reader = acquire(repository / ".hangard")
    with reader.read() as tables:
        assert tables.ref("heads/main") is None
    with WritableEnvironment(repository) as env:
        with env.write() as tables:
            tables.put_ref("heads/main", b"\1" * 32)
        with reader.read() as tables:
            assert tables.ref("heads/main") == b"\1" * 32
    with reader.read() as tables:
        assert tables.ref("heads/main") == b"\1" * 32
    assert not reader.writable
    reader.release()
    with pytest.raises(Closed), reader.read():
        pass


def in_child(function):
    """Runs it in a forked child; True if it returned."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            function()
            status = 0
        finally:
            os._exit(status)
    return os.waitpid(pid, 0)[1] == 0


@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_forked_child_reads_and_the_parent_goes_on(repository):
    with WritableEnvironment(repository) as env:
        with env.write() as tables:
            tables.put_ref("heads/main", b"\1" * 32)
        reader = acquire(repository / ".hangard")
        stop = threading.Event()
        problems = []

        def read():
            try:
                with reader.read() as tables:
                    assert tables.ref("heads/main") == b"\1" * 32
            except BaseException as error:
                problems.append(error)
                raise

        def read_on():
            while not stop.wait(0.0005):
                read()

        threads = [threading.Thread(target=read_on) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(5):
                assert in_child(lambda: (read(), read(), in_child(read) or 1 / 0))
                read()
                with env.write() as tables:
                    tables.put_counter("n", tables.counter("n") + 1)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert not problems
        assert tables is not None
        reader.release()


def test_a_reader_killed_leaves_a_slot_that_is_cleared(repository):
    code = (
        "import os, sys; from pathlib import Path\n"
        "from hangard.reading.environment import acquire\n"
        "env = acquire(Path(sys.argv[1]) / '.hangard')\n"
        "with env.read(): os.kill(os.getpid(), 9)"
    )
    with WritableEnvironment(repository) as env:
        done = subprocess.run([sys.executable, "-c", code, str(repository)], check=False)
        assert done.returncode == -9
        assert env.check_readers() == 1
        assert env.check_readers() == 0


def test_no_slot_left_for_a_reader_is_busy(tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "LMDB_READERS_MAX", 2)
    create_directory(tmp_path)
    env = acquire(tmp_path / ".hangard")
    raw, _ = env._opened()
    held = [raw.begin() for _ in range(raw.info()["max_readers"])]
    with pytest.raises(Busy) as caught, env.read():
        pass
    assert caught.value.code == "readers-full"
    held.clear()
    with env.read() as tables:
        assert tables.config() == {}
    env.release()


def test_a_read_leaves_no_slot_behind(repository):
    env = acquire(repository / ".hangard")
    for _ in range(3):
        with env.read() as tables:
            assert next(tables.files(), None) is None
            assert len(env._opened()[0].readers().splitlines()) == 2
        assert "no active readers" in env._opened()[0].readers()
    assert tables.txn is None
    env.release()
