"""Whatever a client sends, it gets a clear answer, and the daemon serves the next one."""

import resource
import socket
import struct
import time

import msgspec
import numpy as np
import pytest
from daemon.conftest import error_of, post_head, read_answer

from hangard.daemon.__main__ import DESCRIPTORS
from hangard.daemon.connection import CONNECTIONS_MAX
from hangard.limits import REQUEST_BODY_BYTES_MAX, SESSIONS_MAX
from hangard.wire import frames, messages, protocol
from hangard.wire.messages import Change, ChangeRequest, ColumnRequest, SchemaMessage

HELLO = (
    f"GET /hello HTTP/1.1\r\nHost: h\r\n{protocol.HEADER_PROTOCOL}:"
    f" {protocol.PROTOCOL_VERSION}\r\n\r\n"
).encode()


@pytest.fixture(autouse=True)
def still_serves(daemon):
    yield
    status, body = daemon.ask(HELLO)
    assert status == 200
    assert msgspec.msgpack.decode(body, type=messages.Hello).pid == daemon.process.pid
    deadline = time.monotonic() + 20
    while daemon_status(daemon)["memory_bytes"] and time.monotonic() < deadline:
        time.sleep(0.02)
    assert daemon_status(daemon)["memory_bytes"] == 0
    assert "internal-error" not in daemon.log.read_text()


def daemon_status(daemon):
    status, body = daemon.ask(HELLO.replace(b"/hello", b"/status"))
    assert status == 200
    return msgspec.msgpack.decode(body)


def changes_body(state, *changes, sections=(), sequence=None):
    header = ChangeRequest(
        session=state.info.id,
        epoch=state.epoch,
        sequence=state.next_sequence if sequence is None else sequence,
        changes=changes,
    )
    return b"".join(frames.encode(header, sections))


def put(**fields):
    return Change(
        **{
            "kind": "put",
            "column": "x",
            "count": 1,
            "keys_bytes": 2,
            "dtype": "|u1",
            "shape": (4,),
            "rows_bytes": 4,
            **fields,
        }
    )


ENDS = np.array([2], "<u4")


@pytest.mark.parametrize("theirs", [None, "0", "2", "x"])
def test_another_protocol_version_is_refused_with_whom_to_restart(daemon, theirs):
    status, body = daemon.post("/status", b"", **{protocol.HEADER_PROTOCOL: theirs})
    error = error_of(body)
    assert (status, error.error, error.code) == (426, "Unavailable", "protocol-mismatch")
    assert error.details["restart"] == ("daemon" if theirs == "2" else "client")


def test_an_unknown_path_is_not_found(daemon):
    for path in ("/", "/nothing", "/hello/more", "/" + "x" * 3000):
        status, body = daemon.post(path, b"")
        assert (status, error_of(body).code) == (404, "unknown-endpoint")
    status, body = daemon.post("/hello", b"")
    assert (status, error_of(body).code) == (400, "wrong-method")


@pytest.mark.parametrize(
    "path", ["/sessions/open", "/flush", "/columns", "/stop", "/node", "/merge"]
)
@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x91" * 10000, b"\x80", b"\xde\xff\xff"])
def test_garbage_messages_are_refused(daemon, path, body):
    if (path, body) in {("/sessions/open", b"\x80"), ("/stop", b"\x80")}:
        return
    status, answer = daemon.post(path, body)
    assert (status, error_of(answer).code) == (400, "invalid-message")


@pytest.mark.parametrize("path", ["/changes", "/commit", "/staged", "/pieces", "/samples"])
@pytest.mark.parametrize(
    "body",
    [b"", b"\0", struct.pack("<I", 2**32 - 1), struct.pack("<I", 4) + b"\xc1\0\0\0", b"\0" * 64],
)
def test_garbage_frames_are_refused(daemon, path, body):
    status, answer = daemon.post(path, body)
    assert status in (400, 431)
    assert error_of(answer).code in ("invalid-frame", "header-too-large")


def test_a_huge_declared_body_is_refused_before_it_is_sent(daemon):
    for length in (REQUEST_BODY_BYTES_MAX + 1, 2**62):
        status, body = daemon.ask(post_head("/changes", length))
        assert (status, error_of(body).code) == (413, "body-too-large")
    status, body = daemon.ask(post_head("/flush", 3 * 1024 * 1024))
    assert (status, error_of(body).code) == (413, "body-too-large")


def test_bodies_without_a_length_or_compressed_are_refused(daemon):
    status, body = daemon.ask(post_head("/changes", None, Transfer_Encoding="chunked"))
    assert (status, error_of(body).code) == (400, "length-required")
    status, body = daemon.post("/changes", b"x", Content_Encoding="gzip")
    assert (status, error_of(body).code) == (400, "body-encoded")


def test_a_body_cut_off_half_way_leaves_nothing(daemon):
    state = daemon.open_session()
    body = changes_body(state, put(), sections=[b"\x10\x10", ENDS, b"rows"])
    for length in (0, 1, 10, len(body) - 1):
        with daemon.connect() as peer:
            peer.sendall(post_head("/changes", len(body)) + body[:length])
            peer.shutdown(socket.SHUT_WR)
            read_answer(peer)
    resumed = daemon.message(
        "/sessions/resume",
        messages.ResumeSession(session=state.info.id),
        messages.SessionState,
    )
    assert resumed.info.staged == 0


def test_headers_that_are_no_http_are_refused(daemon):
    for garbage in (b"\x16\x03\x01\x02\x00\x01", b"GET\r\n\r\n", b"x" * 100_000, b"\0" * 100):
        with daemon.connect() as peer:
            peer.sendall(garbage)
            peer.shutdown(socket.SHUT_WR)
            status, _ = read_answer(peer)
            assert status in (0, 400)


def test_header_lines_have_an_end(daemon):
    head = post_head("/changes", 0, X_Long="x" * 100_000)
    with daemon.connect() as peer:
        peer.sendall(head)
        assert read_answer(peer)[0] == 400
    many = post_head("/changes", 0, **{f"X_{i}": "x" for i in range(500)})
    with daemon.connect() as peer:
        peer.sendall(many)
        assert read_answer(peer)[0] == 400


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (put(rows_bytes=2**62), "invalid-frame"),
        (put(keys_bytes=2**62), "invalid-frame"),
        (put(count=2**40), "too-many-keys"),
        (put(count=0), "invalid-frame"),
        (put(shape=(5,)), "wrong-row-bytes"),
        (put(shape=(2**20, 2**20, 2**20)), "sample-too-large"),
        (put(dtype="O"), "unsupported-dtype"),
        (put(dtype="garbage"), "unsupported-dtype"),
        (put(rows_in="upload", rows_id=7), "unknown-upload"),
    ],
)
def test_lengths_that_do_not_fit_are_refused(daemon, change, code):
    state = daemon.open_session()
    body = changes_body(state, change, sections=[b"\x10\x10", ENDS, b"rows"])
    status, answer = daemon.post("/changes", body)
    assert (status, error_of(answer).code) == (400, code)


@pytest.mark.parametrize("fields", [{"kind": "steal"}, {"count": -1}, {"shape": [-1]}])
def test_fields_of_a_change_are_checked(daemon, fields):
    state = daemon.open_session()
    change = {**msgspec.to_builtins(put()), **fields}
    header = {
        "session": state.info.id,
        "epoch": state.epoch,
        "sequence": state.next_sequence,
        "changes": [change],
    }
    body = b"".join(frames.encode(header, [b"\x10\x10", ENDS, b"rows"]))
    status, answer = daemon.post("/changes", body)
    assert (status, error_of(answer).code) == (400, "invalid-frame")


def test_sessions_epochs_and_sequences_are_checked(daemon):
    state = daemon.open_session()
    sections = [b"\x10\x10", ENDS, b"rows"]
    wrong = msgspec.structs.replace(state, epoch=bytes(16))
    status, answer = daemon.post("/changes", changes_body(wrong, put(), sections=sections))
    assert (status, error_of(answer).code) == (410, "epoch-changed")
    body = changes_body(state, put(), sections=sections, sequence=state.next_sequence + 1)
    status, answer = daemon.post("/changes", body)
    assert (status, error_of(answer).code) == (400, "sequence-gap")
    status, answer = daemon.post(
        "/changes", changes_body(state, put(), sections=sections, sequence=9 << 48)
    )
    assert (status, error_of(answer).code) == (410, "unknown-stream")
    nobody = msgspec.structs.replace(state, info=messages.SessionInfo(id="no", branch="main"))
    status, answer = daemon.post("/changes", changes_body(nobody, put(), sections=sections))
    assert (status, error_of(answer).error) == (404, "UnknownSession")


def add_column(daemon, state):
    schema = messages.SchemaMessage("|u1", (4,), "10")
    message = messages.ColumnRequest(kind="add", session=state.info.id, column="x", schema=schema)
    daemon.message("/columns", message, messages.ColumnState)


def staged(daemon, state):
    resume = messages.ResumeSession(session=state.info.id)
    return daemon.message("/sessions/resume", resume, messages.SessionState).info.staged


def test_a_request_that_is_sent_twice_is_applied_once(daemon):
    state = daemon.open_session()
    add_column(daemon, state)
    body = changes_body(state, put(), sections=[b"\x10\x10", ENDS, b"rows"])
    # The key of a nested column in a flat one.
    assert daemon.post("/changes", body)[0] == 200
    good = changes_body(
        state,
        put(keys_bytes=2),
        sections=[b"\x11\x05", ENDS, b"rows"],
        sequence=state.next_sequence + 1,
    )
    first, answer = daemon.post("/changes", good)
    assert first == 200
    failure = msgspec.msgpack.decode(answer, type=messages.Accepted).failure
    again, answer = daemon.post("/changes", good)
    failure = failure or msgspec.msgpack.decode(answer, type=messages.Accepted).failure
    assert again == 200
    flush = msgspec.msgpack.encode(messages.FlushRequest(session=state.info.id))
    status, answer = daemon.post("/flush", flush)
    if failure is None:
        assert status == 400
        failure = error_of(answer)
    assert failure.code == "invalid-key"
    assert failure.details["keys"] == [["x", [0, 0]]]
    assert daemon.post("/flush", flush)[0] == 200
    assert staged(daemon, state) >= 1


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"total_bytes": 2**40}, "invalid-piece"),
        ({"total_bytes": 0}, "invalid-piece"),
        ({"offset": 4}, "invalid-piece"),
        ({"length": 8}, "invalid-frame"),
        ({"total_bytes": 2}, "invalid-piece"),
    ],
)
def test_pieces_that_do_not_fit_are_refused(daemon, fields, code):
    state = daemon.open_session()
    header = messages.PieceRequest(
        **{
            "session": state.info.id,
            "upload": 1,
            "total_bytes": 8,
            "offset": 0,
            "length": 4,
            **fields,
        }
    )
    status, answer = daemon.post("/pieces", b"".join(frames.encode(header, [b"rows"])))
    assert (status, error_of(answer).code) == (400, code)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"count": 2**40}, "invalid-frame"),
        ({"shape": (2**20, 2**20)}, "sample-too-large"),
        ({"dtype": "O"}, "unsupported-dtype"),
        ({}, "missing-sample"),
    ],
)
def test_questions_for_samples_are_checked(daemon, fields, code):
    header = messages.SamplesRequest(**{"count": 1, "dtype": "|u1", "shape": (4,), **fields})
    _, answer = daemon.post("/samples", b"".join(frames.encode(header, [bytes(32)])))
    assert error_of(answer).code == code


def test_unknown_nodes_and_trees_are_not_found(daemon):
    node = msgspec.msgpack.encode(messages.NodeRequest(digest=bytes(32)))
    assert error_of(daemon.post("/node", node)[1]).code == "missing-node"
    for tree in (messages.OpenTree(revision="no"), messages.OpenTree(commit=bytes(32))):
        status, answer = daemon.post("/tree", msgspec.msgpack.encode(tree))
        assert (status, error_of(answer).error) == (404, "UnknownRevision")


def test_a_slow_client_does_not_hold_others_up(daemon):
    with daemon.connect() as slow, daemon.connect() as dumb:
        slow.sendall(b"POST /changes HTTP/1.1\r\nHost: h\r\n")
        dumb.sendall(post_head("/changes", 1000) + b"half")
        for _ in range(20):
            assert daemon.ask(HELLO)[0] == 200


@pytest.mark.parametrize(
    "fields",
    [
        {"dtype": "O"},
        {"dtype": "evil"},
        {"dtype": ">f4"},
        {"shape": (-1,)},
        {"shape": (1,) * 40},
        {"shape": (2**40, 2**40)},
        {"backend": "99"},
        {"backend": "20"},
        {"backend": "numpy"},
        {"backend_options": (("level", 1),)},
        {"backend": "00", "backend_options": (("complevel", 99),)},
        {"kind": "str"},
        {"kind": "str", "backend": "30"},
        {"kind": "bytes", "shape": (), "backend": "30", "variable_shape": True},
        {"kind": "bytes", "shape": (), "backend": "31"},
        {"kind": "tensor"},
        {"layout": "deep"},
        {"backend": "01", "variable_shape": True},
    ],
)
def test_a_schema_that_nobody_could_read_is_refused(daemon, fields):
    state = daemon.open_session()
    schema = SchemaMessage(**{"dtype": "|u1", "shape": (4,), "backend": "10", **fields})
    request = ColumnRequest(kind="add", session=state.info.id, column="c", schema=schema)
    status, body = daemon.post("/columns", msgspec.msgpack.encode(request))
    assert status == 400, error_of(body)
    assert daemon.open_session().columns == {}
    daemon.message(
        "/sessions/close", messages.CloseSession(session=state.info.id), messages.SessionLeft
    )


@pytest.mark.parametrize(
    ("shape", "code"),
    [
        ((2**40, 2**40), "sample-too-large"),
        ((2**63, 0), "wrong-row-bytes"),
        ((2, 3), "wrong-row-bytes"),
        ((2**64 - 1, 2**64 - 1), "sample-too-large"),
        ((4,), "invalid-frame"),
    ],
)
def test_shapes_that_do_not_fit_their_rows_are_refused(daemon, shape, code):
    state = daemon.open_session()
    change = put(shape=(), dimensions=2)
    sections = [b"\x10a", np.array([2], "<u4"), b"rows", np.array(shape, "<u8")]
    status, answer = daemon.post("/changes", changes_body(state, change, sections=sections))
    assert (status, error_of(answer).code) == (400, code)


def test_a_change_larger_than_its_window_asks_for_no_memory(daemon):
    state = daemon.open_session()
    huge = put(count=100_000, shape=(2**20,), rows_in="window", rows_bytes=0, keys_bytes=100_000)
    ends = np.arange(1, 100_001, dtype="<u4")
    body = changes_body(state, huge, sections=[b"\x10" * 100_000, ends, b""])
    status, answer = daemon.post("/changes", body)
    assert (status, error_of(answer).code) == (400, "invalid-window-range")


def test_the_daemon_has_descriptors_for_all_it_admits(daemon):
    soft, hard = resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE)
    assert soft == hard or soft >= DESCRIPTORS > CONNECTIONS_MAX + SESSIONS_MAX
