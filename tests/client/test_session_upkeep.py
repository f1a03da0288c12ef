"""Sessions listed, closed, aborted; what they leave behind."""

import os
import subprocess
import sys
import textwrap

import hangard_client
import pytest

from hangard.errors import Busy, InvalidRequest, UnknownSession
from hangard.reading.environment import acquire
from hangard.reading.format import checked_directory


def info_of(repo, session):
    (found,) = [info for info in repo.sessions() if info.id == session]
    return found


def record_of(repo, session):
    env = acquire(checked_directory(repo.path))
    try:
        with env.read() as tables:
            return tables.find_session(session)
    finally:
        env.release()


def test_a_session_tells_who_uses_it_and_what_it_holds(repo, filled, images):
    with repo.checkout(filled, write=True) as co:
        info = info_of(repo, co.session)
        assert (info.pid, info.alive, info.clients, info.staged) == (os.getpid(), True, 1, 0)
        assert info.branch == filled
        assert info.user
        co["faces"].update({"a": images[0], "b": images[1]})
        co.flush()
        with repo.checkout(session=co.session):
            info = info_of(repo, co.session)
            assert (info.clients, info.staged) == (2, 2)
        assert info_of(repo, co.session).clients == 1
        assert info.staged_bytes > 64
        assert info.journal_bytes > 64
        assert 0 < info.opened_s <= info.used_s
        co.abort()


def test_a_column_alone_counts_as_staged(repo, branch):
    with repo.checkout(branch, write=True) as co:
        co.add_ndarray_column("a", shape=(1,), dtype="u1")
        assert info_of(repo, co.session).staged == 1
        co.abort()


def test_a_session_in_use_or_with_changes_is_not_closed(repo, filled, images):
    co = repo.checkout(filled, write=True)
    with pytest.raises(Busy) as caught:
        repo.close_session(co.session)
    assert caught.value.code == "session-in-use"
    co["faces"]["a"] = images[0]
    with pytest.warns(hangard_client.UncommittedWarning):
        co.close()
    with pytest.raises(InvalidRequest) as caught:
        repo.close_session(co.session)
    assert caught.value.code == "session-changed"
    repo.abort_session(co.session)
    for verb in (repo.close_session, repo.abort_session):
        with pytest.raises(UnknownSession):
            verb(co.session)


def test_the_session_of_a_process_that_ended_can_be_closed(repo, filled):
    script = """
        import os, sys
        import hangard_client
        repo = hangard_client.open(sys.argv[1])
        co = repo.checkout(sys.argv[2], write=True)
        print(co.session, flush=True)
        os._exit(0)
        """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(repo.path), filled],
        capture_output=True,
        text=True,
        check=True,
    )
    session = done.stdout.strip()
    assert not info_of(repo, session).alive
    repo.close_session(session)
    assert session not in [info.id for info in repo.sessions()]


def test_clients_that_come_and_go_leave_no_streams_behind(repo, filled, images):
    co = repo.checkout(filled, write=True)
    for number in range(20):
        with repo.checkout(session=co.session) as other:
            other["faces"][f"key-{number}"] = images[number]
    co.commit("by twenty")
    assert len(record_of(repo, co.session).streams) <= 4
    co.close()
    with repo.checkout(filled) as reading:
        assert "key-19" in reading["faces"]


def test_journals_end_with_their_sessions(repo, filled, images):
    folder = repo.path / ".hangard" / "sessions"
    co = repo.checkout(filled, write=True)
    co["faces"]["a"] = images[0]
    co.flush()
    assert list(folder.glob(f"{co.session}.*"))
    co.abort()
    assert not list(folder.glob(f"{co.session}.*"))
    with repo.checkout(filled, write=True) as co:
        co["faces"]["b"] = images[0]
        co.flush()
        co.commit("b")
    assert not list(folder.glob(f"{co.session}.*"))


def test_stray_journals_are_removed_when_a_daemon_starts(tmp_path):
    with hangard_client.open(tmp_path, create=True, user_name="A", user_email="a@b") as repo:
        repo.stop()
        stray = tmp_path / ".hangard" / "sessions" / "nobody.0.journal"
        stray.write_bytes(b"what is this")
        repo.sessions()
        assert not stray.exists()
        repo.stop()


async def test_closing_is_awaited_too(repo, filled):
    async with hangard_client.AsyncRepository(repo.path) as arepo:
        async with arepo.checkout(filled, write=True) as co:
            with pytest.raises(Busy):
                await arepo.close_session(co.session)
        with pytest.raises(UnknownSession):
            await arepo.close_session(co.session)
