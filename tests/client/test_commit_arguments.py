"""What commit is given is checked in the client, and a failed commit leaves its warning."""

import warnings

import hangard_client
import numpy as np
import pytest

from hangard.errors import Conflict, InvalidRequest, InvalidType, NothingStaged
from hangard.limits import MESSAGE_BYTES_MAX, METADATA_BYTES_MAX


@pytest.mark.parametrize(
    ("arguments", "argument"),
    [
        ({"message": 7}, "message="),
        ({"message": None}, "message="),
        ({"message": b"bytes"}, "message="),
        ({"metadata": [("a", "b")]}, "metadata="),
        ({"metadata": {"a": 1}}, "metadata="),
        ({"metadata": {1: "a"}}, "metadata="),
        ({"strategy": 7}, "strategy="),
        ({"strategy": {7: "ours"}}, "strategy="),
        ({"strategy": {"faces": 7}}, "strategy='faces'"),
        ({"strategy": {"faces": {1: None}}}, "strategy='faces'[1]"),
        ({"strategy": {"faces": {1.5: "ours"}}}, "float"),
        ({"allow_empty": "yes"}, "allow_empty="),
        ({"allow_empty": 1}, "allow_empty="),
    ],
)
def test_an_argument_of_a_wrong_type_is_named(repo, filled, images, arguments, argument):
    with repo.checkout(filled, write=True) as co:
        co["faces"]["x"] = images[0]
        with pytest.raises(InvalidType) as caught:
            co.commit(**{"message": "x", **arguments})
        assert argument in str(caught.value)
        co.abort()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"message": ""}, "empty-message"),
        ({"message": " \n"}, "empty-message"),
        ({"message": "x" * (MESSAGE_BYTES_MAX + 1)}, "message-too-large"),
        ({"message": "\ud800"}, "invalid-text"),
        ({"metadata": {"a": "x" * METADATA_BYTES_MAX}}, "metadata-too-large"),
        ({"metadata": {"a": "\udfff"}}, "invalid-text"),
        ({"strategy": "mine"}, "invalid-strategy"),
        ({"strategy": {"faces": "mine"}}, "invalid-strategy"),
        ({"strategy": {"faces": {1: "mine"}}}, "invalid-strategy"),
    ],
)
def test_an_argument_with_a_wrong_value_is_refused(repo, filled, images, arguments, code):
    with repo.checkout(filled, write=True) as co:
        co["faces"]["x"] = images[0]
        with pytest.raises(InvalidRequest) as caught:
            co.commit(**{"message": "x", **arguments})
        assert caught.value.code == code
        co.abort()


@pytest.mark.parametrize("message", [7, "", "  "])
def test_the_message_of_autocommit_is_checked_when_the_checkout_opens(repo, filled, message):
    with pytest.raises(InvalidRequest, match=r"message|autocommit"):
        repo.checkout(filled, write=True, autocommit=message)


@pytest.mark.parametrize("arguments", [{"message": ""}, {"message": "x", "metadata": 7}])
def test_a_commit_that_failed_and_was_caught_is_warned_of(repo, filled, images, arguments):
    def failing():
        with repo.checkout(filled, write=True) as co:
            co["faces"]["x"] = images[0]
            with pytest.raises(InvalidRequest):
                co.commit(**arguments)
        return co

    with pytest.warns(hangard_client.UncommittedWarning, match="1 staged change ") as caught:
        co = failing()
    assert caught[0].filename == __file__
    repo.abort_session(co.session)


def test_a_commit_that_fails_out_of_the_block_is_warned_of(repo, filled, images):
    def conflicting():
        with repo.checkout(filled, write=True) as co:
            sessions.append(co.session)
            co["faces"][1] = images[101]
            with repo.checkout(filled, write=True) as other:
                other["faces"][1] = images[102]
                other.commit("other")
            co.commit("refused")

    sessions = []
    with pytest.warns(hangard_client.UncommittedWarning), pytest.raises(Conflict):
        conflicting()
    repo.abort_session(sessions[0])


def test_autocommit_that_fails_raises_and_is_warned_of(repo, filled, images):
    def conflicting():
        with repo.checkout(filled, write=True, autocommit="refused") as co:
            sessions.append(co.session)
            co["faces"][1] = images[101]
            with repo.checkout(filled, write=True) as other:
                other["faces"][1] = images[102]
                other.commit("other")

    sessions = []
    with pytest.warns(hangard_client.UncommittedWarning), pytest.raises(Conflict):
        conflicting()
    repo.abort_session(sessions[0])


def test_a_commit_without_an_author_is_warned_of(repo, filled, images, monkeypatch, tmp_path):
    for name in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "EMAIL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    nobody = hangard_client.open(repo.path)

    def nameless():
        with nobody.checkout(filled, write=True) as co:
            sessions.append(co.session)
            co["faces"]["x"] = images[0]
            co.commit("x")

    sessions = []
    with pytest.warns(hangard_client.UncommittedWarning), pytest.raises(InvalidRequest):
        nameless()
    nobody.close()
    repo.abort_session(sessions[0])


def test_nothing_staged_is_not_warned_of(repo, filled):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with repo.checkout(filled, write=True) as co, pytest.raises(NothingStaged):
            co.commit("nothing")
        with repo.checkout(filled, write=True, autocommit="nothing"):
            pass


def test_a_side_for_a_whole_column_is_taken(repo, filled, images):
    with repo.checkout(filled, write=True) as co:
        co["faces"]["x"] = np.array(images[0])
        co.commit("no conflict, so no side is asked for", strategy={"faces": "ours"})
