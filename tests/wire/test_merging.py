"""The messages of merges survive the way, and bad ones are told from good ones."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from hangard.wire import merging
from hangard.wire.merging import MergeRequest, MergeResult
from hangard.wire.messages import Choice

COMMIT, COMMAND = bytes([1]) * 32, bytes([2]) * 16


def test_a_request_survives_with_all_its_fields() -> None:
    message = MergeRequest(
        verb="cherry-pick",
        branch="main",
        commit=COMMIT,
        command_id=COMMAND,
        author_name="Ada",
        author_email="ada@example.org",
        user="Eve <eve@example.org>",
        message="why",
        metadata=(("a", "b"),),
        strategy=(Choice("faces", b"\x10", "ours"), Choice("faces", b"", "theirs", False)),
        strategy_head=COMMIT,
        ff="never",
        mainline=2,
        dry_run=True,
        allow_empty_message=True,
        session="s1",
        last_sequence=7,
    )
    request = merging.merge(message)
    assert (request.method, request.path, request.idempotent) == ("POST", "/merge", True)
    body = b"".join(bytes(part) for part in request.body)
    assert msgspec.msgpack.decode(body, type=MergeRequest) == message


def test_an_answer_survives_with_all_its_fields() -> None:
    result = MergeResult(
        outcome="merge",
        branch="main",
        before=COMMIT,
        bases=(COMMIT, COMMIT),
        conflicts=(("faces", b"\x10", "t21"),),
        conflict_count=9,
        changes={"faces": (1, 2, 3)},
    )
    parse = merging.merge(
        MergeRequest(verb="merge", branch="main", commit=COMMIT, command_id=COMMAND)
    ).parse
    assert parse(msgspec.msgpack.encode(result)) == result


@pytest.mark.parametrize(
    "wrong",
    [
        {"verb": "rebase"},
        {"commit": b"short"},
        {"ff": "maybe"},
        {"strategy": "both"},
        {"strategy": [["faces", b"", "both"]]},
        {"mainline": -1},
        {"branch": "x" * 256},
    ],
)
def test_what_no_client_would_send_is_not_decoded(wrong: dict[str, Any]) -> None:
    good = {"verb": "merge", "branch": "main", "commit": COMMIT, "command_id": COMMAND}
    msgspec.msgpack.decode(msgspec.msgpack.encode(good), type=MergeRequest)
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode({**good, **wrong}), type=MergeRequest)
