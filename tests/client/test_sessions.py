import warnings

import hangard_client
import pytest

from hangard.errors import (
    Busy,
    Closed,
    Conflict,
    InvalidRequest,
    NothingStaged,
    UnknownRevision,
    UnknownSession,
)


def test_a_commit_with_nothing_staged_is_refused(repo, filled):
    with repo.checkout(filled, write=True) as co:
        with pytest.raises(NothingStaged):
            co.commit("nothing")
        assert co.commit("on purpose", allow_empty=True) == co.commit_digest
        with pytest.raises(InvalidRequest):
            co.commit("   ")


def test_uncommitted_changes_stay_in_their_session_and_can_be_resumed(repo, filled, images):
    with (
        pytest.warns(hangard_client.UncommittedWarning) as caught,
        repo.checkout(filled, write=True) as co,
    ):
        co["faces"]["late"] = images[180]
    assert co.session in str(caught[0].message)
    assert caught[0].filename == __file__
    assert co.session in [info.id for info in repo.sessions()]
    with repo.checkout(session=co.session) as again:
        assert (again["faces"]["late"] == images[180]).all()
        again.commit("resumed")
    assert co.session not in [info.id for info in repo.sessions()]
    with repo.checkout(filled) as reading:
        assert "late" in reading["faces"]
    with pytest.raises(UnknownSession):
        repo.checkout(session=co.session)


def test_an_exception_in_the_block_commits_nothing_and_keeps_the_session(repo, filled, images):
    class Oops(Exception):
        pass

    co = repo.checkout(filled, write=True, autocommit="never")

    def fail():
        with co:
            co["faces"]["late"] = images[180]
            raise Oops

    with pytest.warns(hangard_client.UncommittedWarning), pytest.raises(Oops):
        fail()
    with repo.checkout(filled) as reading:
        assert "late" not in reading["faces"]
    repo.abort_session(co.session)


def test_autocommit_commits_on_a_clean_exit_and_does_not_mind_nothing(repo, filled, images):
    with repo.checkout(filled, write=True, autocommit="by itself") as co:
        co["faces"]["late"] = images[180]
    assert repo.log(filled)[0].message == "by itself"
    with repo.checkout(filled, write=True, autocommit="again"):
        pass
    assert repo.log(filled)[0].message == "by itself"


def test_abort_drops_what_was_staged_without_a_warning(repo, filled, images):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        co = repo.checkout(filled, write=True)
        co["faces"].update({"late": images[180]})
        co.abort()
    assert co.session not in [info.id for info in repo.sessions()]


def test_disjoint_changes_of_two_sessions_are_rebased(repo, filled, images):
    with repo.checkout(filled, write=True) as one, repo.checkout(filled, write=True) as two:
        one["faces"]["one"] = images[1]
        two["faces"]["two"] = images[2]
        first = one.commit("one")
        second = two.commit("two")
        assert "one" in two["faces"]
        assert "two" not in one["faces"]
    entries = repo.log(filled)
    assert [entry.digest for entry in entries[:2]] == [second, first]
    assert entries[0].parents == (first,)


def conflicting(repo, branch, images):
    one = repo.checkout(branch, write=True)
    two = repo.checkout(branch, write=True)
    one["faces"].update({1: images[101], 2: images[102], 3: images[103]})
    two["faces"].update({1: images[111], 2: images[112], 3: images[103], "more": images[113]})
    one.commit("one")
    with pytest.raises(Conflict) as caught:
        two.commit("two")
    assert caught.value.details["total"] == 2
    assert [column for column, _ in caught.value.details["keys"]] == ["faces", "faces"]
    one.close()
    return two


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("ours", [111, 112]),
        ("theirs", [101, 102]),
        ({"faces": {1: "ours", 2: "theirs"}}, [111, 102]),
    ],
)
def test_a_conflict_is_settled_by_a_strategy(repo, filled, images, strategy, expected):
    with conflicting(repo, filled, images) as two:
        two.commit("two", strategy=strategy)
        assert (two["faces"].get_many([1, 2]) == images[expected]).all()
        assert (two["faces"]["more"] == images[113]).all()
    with repo.checkout(filled) as co:
        assert (co["faces"].get_many([1, 2]) == images[expected]).all()


def test_a_conflict_leaves_the_session_as_it_was(repo, filled, images):
    with conflicting(repo, filled, images) as two:
        with pytest.raises(Conflict):
            two.commit("two", strategy={"faces": {1: "ours"}})
        assert (two["faces"][1] == images[111]).all()
        two["faces"][1] = images[101]
        two["faces"][2] = images[102]
        two.commit("agreed")


@pytest.mark.parametrize("strategy", ["mine", {"faces": "mine"}, 7])
def test_an_unknown_strategy_is_refused(repo, filled, images, strategy):
    with repo.checkout(filled, write=True) as co:
        co["faces"]["x"] = images[0]
        with pytest.raises(InvalidRequest):
            co.commit("x", strategy=strategy)
        co.abort()


def test_an_exclusive_session_keeps_others_from_committing(repo, filled, images):
    other = repo.checkout(filled, write=True)
    other["faces"]["other"] = images[0]
    with repo.checkout(filled, write=True, exclusive=True) as co:
        with pytest.raises(Busy) as caught:
            repo.checkout(filled, write=True, exclusive=True)
        assert caught.value.code == "exclusive-session"
        with pytest.raises(Busy):
            other.commit("not now")
        co["faces"]["mine"] = images[1]
        co.commit("exclusive")
    other.commit("now")
    other.close()


def test_two_checkouts_can_share_a_session(repo, filled, images):
    with repo.checkout(filled, write=True) as one:
        one["faces"].update({"one": images[1]})
        with repo.checkout(session=one.session) as two:
            assert (two["faces"]["one"] == images[1]).all()
            two["faces"].update({"two": images[2]})
        one.commit("both")
    with repo.checkout(filled) as co:
        assert "one" in co["faces"]
        assert "two" in co["faces"]


def test_a_session_can_begin_at_an_older_commit(repo, filled, images):
    first = repo.log(filled)[0].digest
    with repo.checkout(filled, write=True) as co:
        co["faces"]["new"] = images[1]
        co.commit("newer")
    with repo.checkout(filled, write=True, commit=first) as co:
        assert "new" not in co["faces"]
        co["faces"]["old"] = images[2]
        co.commit("from the past")
        assert "new" in co["faces"]


@pytest.mark.parametrize("revision", ["nothing", "main~5", "0" * 64, "a~b"])
def test_unknown_revisions_are_refused(repo, filled, revision):
    with pytest.raises(UnknownRevision):
        repo.checkout(revision)
    with pytest.raises(UnknownRevision):
        repo.checkout(revision, write=True)


def test_revisions_name_commits_in_many_ways(repo, filled, images):
    with repo.checkout(filled, write=True) as co:
        co["faces"]["new"] = images[1]
        digest = co.commit("second")
    for revision in (digest, digest.hex(), digest.hex()[:16], filled):
        with repo.checkout(revision) as co:
            assert co.commit_digest == digest
    for given in ({"branch": filled}, {"commit": digest}, {"commit": f"{filled}~0"}):
        with repo.checkout(**given) as co:
            assert co.commit_digest == digest
    with repo.checkout(f"{filled}~1") as co:
        assert "new" not in co["faces"]
    with pytest.raises(InvalidRequest):
        repo.checkout(filled, commit=digest)
    with pytest.raises(InvalidRequest):
        repo.checkout(filled, autocommit="reading")


def test_a_branch_without_a_commit_reads_as_empty(repo, branch):
    with repo.checkout(branch) as co:
        assert (list(co), co.commit_digest) == ([], None)
    assert repo.log(branch) == []


def test_history_tells_who_when_and_what(repo, filled, images):
    with repo.checkout(filled, write=True) as co:
        co["faces"]["new"] = images[1]
        del co["faces"][0]
        co["faces"][1] = images[5]
        digest = co.commit("second", metadata={"camera": "A"})
    entry = repo.log(filled, limit=1)[0]
    assert (entry.digest, entry.message) == (digest, "second")
    assert str(entry.author) == "Ada <ada@example.org>"
    assert entry.metadata == {"camera": "A"}
    assert entry.time.tzinfo is not None
    (column,) = repo.diff(f"{filled}~1", filled)
    changes = {change.key: change.kind for change in column.samples()}
    assert (column.name, changes) == ("faces", {0: "deleted", 1: "changed", "new": "added"})
    assert repo.diff(filled, filled) == []


def test_branches_are_created_listed_and_deleted(repo, filled):
    head = repo.log(filled)[0].digest
    assert repo.create_branch(f"{filled}-b", filled) == head
    assert repo.branches()[f"{filled}-b"] == head
    assert repo.delete_branch(f"{filled}-b") == head
    assert f"{filled}-b" not in repo.branches()
    with pytest.raises(UnknownRevision):
        repo.delete_branch("nothing")
    with pytest.raises(InvalidRequest):
        repo.create_branch("a b")
    assert repo.head() == "main"
    repo.set_head(filled)
    assert repo.head() == filled
    repo.set_head("main")


def test_an_author_is_needed_at_the_commit(repo, filled, images, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL"):
        monkeypatch.delenv(name, raising=False)
    with hangard_client.open(repo.path) as nobody, nobody.checkout(filled, write=True) as co:
        co["faces"]["x"] = images[0]
        with pytest.raises(InvalidRequest) as caught:
            co.commit("whose?")
        assert caught.value.code == "no-author"
        monkeypatch.setenv("GIT_AUTHOR_NAME", "Git")
        monkeypatch.setenv("GIT_AUTHOR_EMAIL", "git@example.org")
        co.commit("git's")
    assert repo.log(filled)[0].author.name == "Git"


def test_closing_the_repository_sends_what_its_checkouts_hold(repo, filled, images):
    other = hangard_client.open(repo.path)
    co = other.checkout(filled, write=True)
    co["faces"]["late"] = images[0]
    with pytest.warns(hangard_client.UncommittedWarning):
        other.close()
    other.close()
    with pytest.raises(Closed):
        other.checkout(filled)
    with repo.checkout(session=co.session) as again:
        assert "late" in again["faces"]
        again.abort()


def test_status_shows_the_daemon(repo):
    status = repo.status()
    assert status["path"] == str(repo.path)
    assert status["memory_bytes"] == 0
    assert {"pid", "hdf5_pid", "uptime_s", "queues"} <= set(status)


def test_a_commit_prints_as_its_hexadecimal_digest_and_names_a_revision(repo, branch):
    with repo.checkout(branch, write=True) as co:
        co.add_ndarray_column("a", shape=(2,), dtype="u1")
        digest = co.commit("first")
    assert str(digest) == f"{digest}" == digest.hex()
    assert digest.hex() in repr(digest)
    assert str(repo.branches()[branch]) == digest.hex()
    assert [entry.digest for entry in repo.log(digest)] == [digest]
    assert repo.create_branch(f"{branch}-copy", digest) == digest
    with repo.checkout(str(digest)) as reading:
        assert reading.commit_digest == digest


def test_the_error_of_a_closed_checkout_does_not_grow(repo, filled):
    co = repo.checkout(filled, write=True)
    co.close()
    frames = []
    for _ in range(3):
        with pytest.raises(Closed) as caught:
            co["faces"]
        frames.append(len(caught.traceback))
    assert len(set(frames)) == 1
