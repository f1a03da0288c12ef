import msgspec
import numpy as np
import pytest

from hangard.errors import Unavailable
from hangard.wire import endpoint, frames, messages, requests


def test_a_commit_request_carries_changes_and_parses_its_answer():
    commit = messages.CommitRequest(
        session="s",
        command_id=bytes(16),
        message="first",
        author_name="Ada",
        author_email="ada@example.org",
        strategy=(messages.Choice("faces", b"\x10", "ours"),),
    )
    change = messages.Change(kind="put", column="faces", count=1, keys_bytes=1, rows_bytes=2)
    header = messages.CommitBody(commit=commit, sequence=4, changes=(change,))
    request = requests.commit(header, [b"\x10", np.array([1], "<u4"), b"ab"])
    body = b"".join(request.body)
    found, view, offset = frames.split_header(body, messages.CommitBody)
    assert found == header
    assert bytes(frames.join_changes(view, offset, found.changes)[0].rows) == b"ab"

    answer = messages.CommitResult(digest=bytes(32), branch="main")
    assert request.parse(msgspec.msgpack.encode(answer)) == answer


def test_an_unexpected_answer_is_unavailable():
    with pytest.raises(Unavailable, match="not what was expected"):
        requests.hello().parse(b"\x80")


def test_staged_answers_are_split_without_copying():
    header = messages.StagedRequest(session="s", column="a", count=2, keys_bytes=2)
    request = requests.find_staged(header, b"\x10\x11", np.array([1, 2], "<u4"))
    body = b"".join(
        frames.encode(messages.StagedAnswer(count=2), [b"\0\1", bytes(64), bytes(range(64))])
    )
    _, (states, digests, specs) = request.parse(body)
    assert bytes(states) == b"\0\1"
    assert digests.nbytes == specs.nbytes == 64


def test_a_missing_or_damaged_endpoint_file_is_no_endpoint(tmp_path):
    assert endpoint.read_endpoint(tmp_path) is None
    (tmp_path / ".hangard").mkdir()
    file = tmp_path / ".hangard" / endpoint.FILE_NAME
    for damaged in (b"", b"{", b"\xff\xfe", b"{}"):
        file.write_bytes(damaged)
        assert endpoint.read_endpoint(tmp_path) is None
