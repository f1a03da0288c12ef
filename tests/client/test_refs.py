"""Branches, tags, resets and the reflog, through a daemon."""

import itertools

import hangard_client
import numpy as np
import pytest

from hangard.errors import (
    AlreadyExists,
    Busy,
    Conflict,
    InvalidRequest,
    InvalidType,
    UnknownColumn,
    UnknownRevision,
)

_numbers = itertools.count()


@pytest.fixture
def grown(repo, filled, images):
    """A branch with three commits: `faces` gains "b", then "c"."""
    for name in "bc":
        with repo.checkout(filled, write=True) as co:
            co["faces"][name] = images[0]
            co.commit(f"adds {name}")
    return filled


@pytest.fixture
def tag():
    return f"v{next(_numbers)}"


def test_a_branch_begins_at_any_commit(repo, grown):
    log = repo.log(grown)
    for number, revision in enumerate([grown, f"{grown}~2", log[1], log[1].digest.hex()[:12]]):
        name = f"{grown}-from-{number}"
        assert repo.create_branch(name, revision) == repo.branches()[name]
    assert repo.branches()[f"{grown}-from-1"] == log[2].digest


@pytest.mark.parametrize("name", ["", "a b", "ä", ".", "HEAD", "a//b", "x" * 300, "a~1", "@{1}"])
def test_names_that_are_none_are_refused(repo, grown, name):
    for create in (
        lambda: repo.create_branch(name),
        lambda: repo.create_tag(name, grown),
        lambda: repo.rename_branch(grown, name),
    ):
        with pytest.raises(InvalidRequest) as caught:
            create()
        assert caught.value.code in ("invalid-name", "invalid-message")


def test_a_branch_that_exists_is_not_created_again(repo, grown):
    with pytest.raises(AlreadyExists):
        repo.create_branch(grown)
    with pytest.raises(AlreadyExists):
        repo.create_branch(f"{grown}/below")
    with pytest.raises(UnknownRevision):
        repo.create_branch(f"{grown}-2", "nowhere")
    with pytest.raises(UnknownRevision):
        repo.create_branch(f"{grown}-2", bytes(32))


def test_a_branch_with_commits_of_its_own_is_deleted_by_force_only(repo, grown, images, tag):
    name = f"{grown}-own"
    repo.create_branch(name, grown)
    assert repo.delete_branch(name) == repo.log(grown)[0].digest
    repo.create_branch(name, grown)
    with repo.checkout(name, write=True) as co:
        co["faces"]["own"] = images[1]
        own = co.commit("own")
    with pytest.raises(InvalidRequest) as caught:
        repo.delete_branch(name)
    assert caught.value.code == "branch-not-merged"
    repo.create_tag(tag, name)
    repo.delete_branch(name)  # its commits have a name still
    repo.create_branch(name, tag)
    repo.delete_tag(tag)
    assert repo.delete_branch(name, force=True) == own
    with pytest.raises(UnknownRevision):
        repo.delete_branch(name)


def test_heads_branch_and_one_that_is_written_exclusively_stay(repo, grown):
    with pytest.raises(InvalidRequest) as caught:
        repo.delete_branch("main", force=True)
    assert caught.value.code == "branch-is-head"
    with repo.checkout(grown, write=True, exclusive=True):
        for refused in (
            lambda: repo.delete_branch(grown, force=True),
            lambda: repo.rename_branch(grown, f"{grown}-new"),
            lambda: repo.reset(grown, f"{grown}~1"),
        ):
            with pytest.raises(Busy) as caught:
                refused()
            assert caught.value.code == "exclusive-session"


def test_the_last_branch_stays(tmp_path):
    with hangard_client.open(tmp_path, create=True, branch="only") as repo:
        with pytest.raises(InvalidRequest) as caught:
            repo.delete_branch("only", force=True)
        assert caught.value.code == "last-branch"
        repo.stop()


def test_a_renamed_branch_keeps_its_sessions_and_its_reflog(repo, grown, images):
    new = f"{grown}-new"
    head = repo.branches()[grown]
    co = repo.checkout(grown, write=True)
    co["faces"]["kept"] = images[3]
    co.flush()
    assert repo.rename_branch(grown, new) == head
    assert grown not in repo.branches()
    assert repo.branches()[new] == head
    assert [info.branch for info in repo.sessions() if info.id == co.session] == [new]
    commit = co.commit("after the rename")
    assert co.branch == new
    co.close()
    assert repo.branches()[new] == commit
    actions = [movement.action for movement in repo.reflog(new)]
    assert actions[:2] == ["commit: after the rename", f"branch: renamed from {grown}"]
    assert actions[2:] == [
        "commit: adds c",
        "commit: adds b",
        "commit: first faces",
        "branch: created",
    ]
    assert repo.log(f"{new}@{{3}}")[0].message == "adds b"
    with pytest.raises(UnknownRevision):
        repo.rename_branch(grown, "x")
    with pytest.raises(AlreadyExists):
        repo.rename_branch(new, "main")
    with pytest.raises(AlreadyExists):
        repo.rename_branch(new, new)
    assert repo.rename_branch(new, f"{new}/below") == commit


def test_head_follows_a_rename(tmp_path, images):
    with hangard_client.open(tmp_path, create=True, user_name="A", user_email="a@b") as repo:
        assert repo.rename_branch("main", "trunk") is None
        assert repo.head() == "trunk"
        with repo.checkout("trunk", write=True) as co:
            co.add_ndarray_column("a", shape=(2,), dtype="u1")
            co.commit("a")
        repo.stop()
        assert [entry.message for entry in repo.log("HEAD")] == ["a"]


def test_a_tag_is_annotated_and_never_moves(repo, grown, tag):
    made = repo.create_tag(tag, f"{grown}~1", message="good\nfor long")
    assert made == repo.tag(tag)
    assert (made.name, made.message, made.tagger.name) == (tag, "good\nfor long", "Ada")
    assert made.commit == repo.log(grown)[1].digest
    assert made.time.year >= 2024
    assert repo.tags()[tag] == made.commit
    with pytest.raises(AlreadyExists) as caught:
        repo.create_tag(tag, grown)
    assert caught.value.code == "tag-exists"
    with pytest.raises(AlreadyExists):
        repo.create_tag(f"{tag}/below", grown)
    assert repo.tags()[tag] == made.commit
    for revision in (tag, f"tags/{tag}"):
        with repo.checkout(revision) as co:
            assert "c" not in co["faces"]
    assert repo.log(f"{tag}~1")[0].message == "first faces"
    assert repo.delete_tag(tag) == made.commit
    for gone in (lambda: repo.tag(tag), lambda: repo.delete_tag(tag), lambda: repo.log(tag)):
        with pytest.raises(UnknownRevision):
            gone()
    assert [movement.action for movement in repo.reflog(f"tags/{tag}")] == [
        "tag: deleted",
        "tag: created",
    ]


def test_a_tag_needs_a_commit_and_a_text(repo, grown, tag):
    for revision in ("main", "nowhere", bytes(32)):
        with pytest.raises(UnknownRevision):
            repo.create_tag(tag, revision)
    with pytest.raises(InvalidType):
        repo.create_tag(tag, grown, message=7)
    assert tag not in repo.tags()
    assert repo.create_tag(tag, grown).message == ""


def test_a_branch_is_reset_and_the_reflog_finds_the_way_back(repo, grown):
    before = repo.branches()[grown]
    target = repo.log(grown)[2].digest
    assert repo.reset(grown, f"{grown}~2") == target == repo.branches()[grown]
    assert len(repo.log(grown)) == 1
    movement = repo.reflog(grown)[0]
    assert (movement.before, movement.after) == (before, target)
    assert movement.action == f"reset: moving to {grown}~2"
    assert movement.user.startswith("Ada")
    assert movement.ref == f"heads/{grown}"
    assert repo.reset(grown, f"{grown}@{{1}}") == before
    assert len(repo.log(grown)) == 3
    for revision in ("nowhere", bytes(32), f"{grown}~9", f"{grown}@{{99}}"):
        with pytest.raises(UnknownRevision):
            repo.reset(grown, revision)
    with pytest.raises(UnknownRevision):
        repo.reset("nowhere", grown)
    assert repo.branches()[grown] == before


def test_a_session_on_a_reset_branch_commits_on_top_of_where_it_is(repo, grown, images):
    with repo.checkout(grown, write=True) as co:
        co["faces"]["mine"] = images[5]
        repo.reset(grown, f"{grown}~1")
        co.commit("mine")
    with repo.checkout(grown) as co:
        assert "mine" in co["faces"]
        assert "c" not in co["faces"]
    with repo.checkout(grown, write=True) as co:
        del co["faces"]["b"]
        co["faces"]["b"] = images[9]
        repo.reset(grown, f"{grown}~2")
        with pytest.raises(Conflict):
            co.commit("b is gone there")
        co.abort()


def test_reset_drops_what_is_staged_and_the_session_goes_on(repo, grown, images):
    with repo.checkout(grown, write=True) as co:
        faces = co["faces"]
        faces["x"] = images[1]
        faces.update({"y": images[2]})
        del faces["b"]
        more = co.add_ndarray_column("more", shape=(2,), dtype="u1")
        more[1] = np.zeros(2, "u1")
        base = co.commit_digest
        assert co.reset() == base
        assert sorted(co) == ["faces"]
        assert "b" in faces
        assert "x" not in faces
        assert "y" not in faces
        with pytest.raises(UnknownColumn):
            co["more"]
        with pytest.raises(InvalidRequest):
            co.commit("nothing")
        faces["z"] = images[3]
        co.commit("z only")
    (changes,) = repo.diff(f"{grown}~1", grown)
    assert [(change.key, change.kind) for change in changes.samples()] == [("z", "added")]


def test_reset_brings_a_removed_column_back(repo, grown, images):
    with repo.checkout(grown, write=True) as co:
        co.remove_column("faces")
        co.add_ndarray_column("faces", shape=(3,), dtype="f4")
        co["faces"]["a"] = np.zeros(3, "f4")
        co.reset()
        assert co["faces"].shape == (6, 5)
        assert (co["faces"][3] == images[3]).all()
        co.abort()


def test_reset_can_move_the_branch(repo, grown, images):
    with repo.checkout(grown, write=True) as co:
        co["faces"]["x"] = images[1]
        target = repo.log(grown)[2].digest
        assert co.reset(f"{grown}~2") == target == co.commit_digest
        assert repo.branches()[grown] == target
        assert "b" not in co["faces"]
        co["faces"]["y"] = images[2]
        co.commit("after the reset")
    assert [entry.message for entry in repo.log(grown)] == ["after the reset", "first faces"]
    with repo.checkout(grown, write=True) as co:
        with pytest.raises(UnknownRevision):
            co.reset("nowhere")
        other = repo.checkout(grown, write=True, exclusive=True)
        co["faces"]["kept"] = images[2]
        with pytest.raises(Busy):
            co.reset(f"{grown}~1")
        other.close()
        assert "kept" not in co["faces"]  # what was only buffered is gone
        co.abort()
    with pytest.raises(PermissionError):
        co.reset()


def test_what_a_reset_dropped_stays_dropped_after_a_restart(tmp_path, images):
    with hangard_client.open(tmp_path, create=True, user_name="A", user_email="a@b") as repo:
        co = repo.checkout("main", write=True)
        co.add_ndarray_column("a", shape=(6, 5), dtype="u1")
        co.commit("a")
        co["a"].update({"gone": images[0]})
        co.flush()
        co.reset()
        co["a"].update({"there": images[1]})
        co.flush()
        repo.stop()
        assert (co["a"]["there"] == images[1]).all()
        assert "gone" not in co["a"]
        co.commit("there")
        co.close()
        with repo.checkout("main") as reading:
            assert list(reading["a"]) == ["there"]
        repo.stop()


def test_revisions_look_into_the_reflog(repo, grown):
    newest, middle, oldest = repo.log(grown)
    assert repo.log(f"{grown}@{{0}}")[0] == newest
    assert repo.log(f"{grown}@{{1}}")[0] == middle
    assert repo.log(f"heads/{grown}@{{1}}~1")[0] == oldest
    with pytest.raises(UnknownRevision) as caught:
        repo.log(f"{grown}@{{3}}")  # it was created without a commit
    assert caught.value.code == "branch-without-commit"
    with pytest.raises(UnknownRevision) as caught:
        repo.log(f"{grown}@{{4}}")
    assert caught.value.code == "reflog-too-short"
    with pytest.raises(UnknownRevision):
        repo.log("nowhere@{1}")
    with pytest.raises(UnknownRevision):
        repo.reflog("nowhere")


def test_the_reflog_lists_every_ref(repo, grown):
    assert {movement.ref for movement in repo.reflog(limit=4)} == {f"heads/{grown}"}
    assert len(repo.reflog(limit=2)) == 2
    assert repo.reflog("HEAD") == repo.reflog("main")
    assert repo.reflog(grown)[0].time.year >= 2024


def test_an_empty_message_is_taken_when_it_is_meant(repo, grown, images):
    with repo.checkout(grown, write=True) as co:
        co["faces"]["x"] = images[1]
        co.commit("", allow_empty_message=True)
    assert repo.log(grown)[0].message == ""


async def test_the_same_verbs_are_awaited(repo, grown, tag):
    async with hangard_client.AsyncRepository(
        repo.path, user_name="Ada", user_email="a@b"
    ) as arepo:
        made = await arepo.create_tag(tag, grown, message="m")
        assert made == await arepo.tag(tag)
        assert (await arepo.tags())[tag] == made.commit
        assert await arepo.rename_branch(grown, f"{grown}-new") == made.commit
        assert await arepo.reset(f"{grown}-new", f"{tag}~1") != made.commit
        assert (await arepo.reflog(f"{grown}-new"))[0].action.startswith("reset")
        async with arepo.checkout(f"{grown}-new", write=True) as co:
            await co.add_ndarray_column("dropped", shape=(1,), dtype="u1")
            assert await co.reset() == co.commit_digest
            assert "dropped" not in co
        history = await arepo.history(all_refs=True)
        assert tag in history.tags[made.commit]
        assert (await arepo.summary(tag)).commit.digest == made.commit
        assert await arepo.delete_tag(tag) == made.commit


def test_what_a_tag_names_is_not_collected(tmp_path, images):
    with hangard_client.open(tmp_path, create=True, user_name="A", user_email="a@b") as repo:
        with repo.checkout("main", write=True) as co:
            co.add_ndarray_column("a", shape=(6, 5), dtype="u1")
            co.commit("a")
        repo.create_branch("dev")
        with repo.checkout("dev", write=True) as co:
            co["a"].update({"kept": images[0]})
            co.commit("kept")
        repo.create_tag("v1", "dev", message="keeps it")
        repo.delete_branch("dev")
        repo.gc(grace_s=0, reflog_age_s=0)
        assert repo.tag("v1").message == "keeps it"
        with repo.checkout("v1") as co:
            assert (co["a"]["kept"] == images[0]).all()
        assert repo.verify().is_sound
        repo.stop()


def test_a_session_takes_every_name_of_a_branch(repo, grown):
    for name in (grown, f"heads/{grown}"):
        with repo.checkout(name, write=True) as co:
            assert co.branch == grown
    with repo.checkout("HEAD", write=True) as co:
        assert co.branch == "main"
    for name in (f"{grown}~1", f"{grown}@{{1}}", "tags/x", bytes(32)):
        with pytest.raises(UnknownRevision) as caught:
            repo.checkout(name, write=True)
        assert caught.value.code == "unknown-branch"


def test_a_digest_can_be_short_and_in_capitals(repo, grown):
    log = repo.log(grown)
    for entry in log:
        assert repo.log(entry.digest.hex()[:20])[0] == entry
        assert repo.log(entry.digest.hex()[:20].upper())[0] == entry
    with pytest.raises(UnknownRevision):
        repo.log(log[0].digest.hex()[:3])
    with pytest.raises(UnknownRevision):
        repo.log("0000000000")


def test_limits_are_numbers(repo, grown):
    assert repo.log(grown, limit=0) == []
    assert len(repo.log(grown, limit=2)) == 2
    for limit in (-1, "2", 1.5):
        with pytest.raises(InvalidRequest):
            repo.log(grown, limit=limit)
        with pytest.raises(InvalidRequest):
            repo.reflog(grown, limit=limit)
