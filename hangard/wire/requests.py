"""A request is a value: method, path, body and how to parse the answer. Built without I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from hangard.errors import Unavailable
from hangard.wire import frames, messages, protocol

T = TypeVar("T")
Buffer = frames.Buffer

TIMEOUT_S = 60.0  # an answer that needs no large work
COMMIT_TIMEOUT_S = 3600.0  # a commit may have gigabytes to bring to the disk


@dataclass(frozen=True, slots=True)
class Request(Generic[T]):
    """One request and its answer's type.

    ``idempotent``  sending it again after a lost answer changes nothing
    ``timeout_s``   for the whole answer; 0: no limit
    """

    method: Literal["GET", "POST"]
    path: str
    parse: Callable[[bytes], T]
    body: Sequence[Buffer] = field(default=(), repr=False)
    content_type: str = protocol.CONTENT_TYPE_MESSAGE
    timeout_s: float = TIMEOUT_S
    idempotent: bool = True


def hello() -> Request[messages.Hello]:
    return Request("GET", protocol.HELLO, _parser(messages.Hello))


def status() -> Request[dict[str, Any]]:
    return Request("GET", protocol.STATUS, _parser(dict[str, Any]))


def stop() -> Request[messages.Done]:
    return _message(protocol.STOP, messages.Done(), messages.Done)


def sessions() -> Request[messages.Sessions]:
    return Request("GET", protocol.SESSIONS, _parser(messages.Sessions))


def open_session(message: messages.OpenSession) -> Request[messages.SessionState]:
    # An open that is sent twice leaves an empty session behind, which expires.
    return _message(protocol.SESSION_OPEN, message, messages.SessionState)


def resume_session(session: str, last_sequence: int = 0) -> Request[messages.SessionState]:
    message = messages.ResumeSession(session=session, last_sequence=last_sequence)
    return _message(protocol.SESSION_RESUME, message, messages.SessionState)


def close_session(
    session: str,
    *,
    abort: bool,
    release: bool = False,
    last_sequence: int = 0,
    unattached: bool = False,
) -> Request[messages.SessionLeft]:
    message = messages.CloseSession(
        session=session,
        abort=abort,
        release=release,
        last_sequence=last_sequence,
        unattached=unattached,
    )
    return _message(protocol.SESSION_CLOSE, message, messages.SessionLeft, idempotent=False)


def change(header: messages.ChangeRequest, sections: Iterable[Any]) -> Request[messages.Accepted]:
    """``sections``: keys, ends, rows (and shapes) of each change, in order."""
    return _frames(protocol.CHANGES, header, sections, _parser(messages.Accepted))


def piece(header: messages.PieceRequest, rows: Any) -> Request[messages.Done]:
    return _frames(protocol.PIECES, header, [rows], _parser(messages.Done))


def change_column(message: messages.ColumnRequest) -> Request[messages.ColumnState]:
    return _message(protocol.COLUMNS, message, messages.ColumnState, idempotent=False)


def flush(session: str, last_sequence: int) -> Request[messages.Done]:
    message = messages.FlushRequest(session=session, last_sequence=last_sequence)
    return _message(protocol.FLUSH, message, messages.Done, timeout_s=COMMIT_TIMEOUT_S)


def commit(header: messages.CommitBody, sections: Iterable[Any]) -> Request[messages.CommitResult]:
    parse = _parser(messages.CommitResult)
    return _frames(protocol.COMMIT, header, sections, parse, timeout_s=COMMIT_TIMEOUT_S)


def find_staged(
    header: messages.StagedRequest, keys: Buffer, ends: Any
) -> Request[tuple[messages.StagedAnswer, list[memoryview]]]:
    """The answer's sections: states, digests, specs."""

    def parse(body: bytes) -> tuple[messages.StagedAnswer, list[memoryview]]:
        answer, view, offset = frames.split_header(body, messages.StagedAnswer)
        lengths = [answer.count, answer.count * 32, answer.count * 32]
        return answer, frames.split_sections(view, offset, lengths)

    return _frames(protocol.STAGED, header, [keys, ends], parse)


def staged_keys(
    message: messages.StagedKeysRequest,
) -> Request[tuple[messages.StagedKeysAnswer, list[memoryview]]]:
    """The answer's sections: packed keys, ends, digests."""

    def parse(body: bytes) -> tuple[messages.StagedKeysAnswer, list[memoryview]]:
        answer, view, offset = frames.split_header(body, messages.StagedKeysAnswer)
        lengths = [answer.keys_bytes, answer.count * frames.ENDS_BYTES, answer.count * 32]
        return answer, frames.split_sections(view, offset, lengths)

    return Request("POST", protocol.STAGED_KEYS, parse, [msgspec.msgpack.encode(message)])


def open_tree(message: messages.OpenTree) -> Request[messages.TreeState]:
    return _message(protocol.TREE, message, messages.TreeState)


def node(digest: bytes) -> Request[messages.Node]:
    return _message(protocol.NODE, messages.NodeRequest(digest=digest), messages.Node)


def samples(header: messages.SamplesRequest, digests: Any) -> Request[memoryview]:
    """The answer is the rows' bytes."""

    def parse(body: bytes) -> memoryview:
        answer, view, offset = frames.split_header(body, messages.SamplesAnswer)
        return frames.split_sections(view, offset, [answer.rows_bytes])[0]

    return _frames(protocol.SAMPLES, header, [digests], parse)


def ragged_samples(
    header: messages.SamplesRequest, digests: Any, dimensions: int
) -> Request[tuple[memoryview, npt.NDArray[np.uint64]]]:
    """The answer is the rows' bytes and the shapes (n, dimensions) of as many as it holds."""

    def parse(body: bytes) -> tuple[memoryview, npt.NDArray[np.uint64]]:
        answer, view, offset = frames.split_header(body, messages.SamplesAnswer)
        lengths = [answer.rows_bytes, answer.count * dimensions * frames.SIZE_BYTES]
        rows, shapes = frames.split_sections(view, offset, lengths)
        return rows, np.frombuffer(shapes, "<u8").reshape(answer.count, dimensions)

    return _frames(protocol.SAMPLES, header, [digests], parse)


def _parser(answer_type: Any) -> Callable[[bytes], Any]:
    def parse(body: bytes) -> Any:
        try:
            return msgspec.msgpack.decode(body, type=answer_type)
        except msgspec.DecodeError as error:
            raise Unavailable(
                f"the daemon's answer is not what was expected: {error}", code="unreadable-answer"
            ) from error

    return parse


def _message(
    path: str,
    message: Any,
    answer_type: Any,
    *,
    timeout_s: float = TIMEOUT_S,
    idempotent: bool = True,
) -> Request[Any]:
    body = [msgspec.msgpack.encode(message)]
    return Request(
        "POST", path, _parser(answer_type), body, timeout_s=timeout_s, idempotent=idempotent
    )


def _query(path: str, answer_type: Any) -> Request[Any]:
    return Request("GET", path, _parser(answer_type))


# For the modules that have one topic of the protocol each.
message_request = _message
query_request = _query


def _frames(
    path: str,
    header: Any,
    sections: Iterable[Any],
    parse: Callable[[bytes], Any],
    *,
    timeout_s: float = TIMEOUT_S,
) -> Request[Any]:
    body = frames.encode(header, sections)
    return Request("POST", path, parse, body, protocol.CONTENT_TYPE_FRAMES, timeout_s)
