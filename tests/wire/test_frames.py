import struct
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hangard.errors import InvalidRequest
from hangard.limits import REQUEST_CHANGES_MAX, REQUEST_HEADER_BYTES_MAX, REQUEST_KEYS_MAX
from hangard.wire import frames
from hangard.wire.messages import Change, ChangeRequest


def put(keys: list[bytes], rows: bytes) -> tuple[Change, list[object]]:
    blob = b"".join(keys)
    ends = np.cumsum([len(key) for key in keys]).astype("<u4")
    change = Change(
        kind="put", column="a", count=len(keys), keys_bytes=len(blob), rows_bytes=len(rows)
    )
    return change, [blob, ends, rows]


def request(*changes: Change) -> ChangeRequest:
    return ChangeRequest(session="s", epoch=bytes(16), sequence=1, changes=changes)


def body_of(*puts: tuple[Change, list[object]]) -> bytes:
    header = request(*(change for change, _ in puts))
    return b"".join(frames.encode(header, [part for _, parts in puts for part in parts]))


def split(body: bytes) -> list[frames.ChangeSections]:
    header, view, offset = frames.split_header(body, ChangeRequest)
    return frames.join_changes(view, offset, header.changes)


@given(st.lists(st.tuples(st.lists(st.binary(min_size=1, max_size=9), max_size=5), st.binary())))
def test_a_body_parses_into_what_it_was_made_of(columns):
    body = body_of(*(put(keys, rows) for keys, rows in columns))
    parsed = split(body)
    assert len(parsed) == len(columns)
    for found, (keys, rows) in zip(parsed, columns, strict=True):
        starts = [0, *found.ends.tolist()]
        pairs = pairwise(starts)
        assert [bytes(found.keys[a:b]) for a, b in pairs] == keys
        assert bytes(found.rows) == rows


def test_sections_are_views_of_the_body_on_multiples_of_eight():
    body = bytearray(body_of(put([b"k"], b"rows")))
    parsed = split(body)
    position = body.rindex(b"rows")
    assert position % frames.ALIGNMENT_BYTES == 0
    body[position : position + 4] = b"ROWS"
    assert bytes(parsed[0].rows) == b"ROWS"


def test_a_body_cut_off_anywhere_is_refused():
    body = body_of(put([b"one", b"two"], b"0123456789"), put([b"three"], b"abc"))
    for length in range(len(body)):
        with pytest.raises(InvalidRequest) as caught:
            split(body[:length])
        assert caught.value.code == "invalid-frame"


def test_bytes_behind_the_last_section_are_refused():
    with pytest.raises(InvalidRequest, match="follow its last section"):
        split(body_of(put([b"k"], b"v")) + b"x")


def test_a_huge_declared_header_is_refused_before_anything_is_read():
    with pytest.raises(InvalidRequest) as caught:
        frames.split_header(struct.pack("<I", REQUEST_HEADER_BYTES_MAX + 1), ChangeRequest)
    assert caught.value.code == "header-too-large"


@pytest.mark.parametrize("field", ["keys_bytes", "rows_bytes"])
def test_a_huge_declared_section_is_refused(field):
    lengths = {"keys_bytes": 0, "rows_bytes": 0, field: 2**63 - 1}
    change = Change(kind="put", column="a", count=0, **lengths)
    with pytest.raises(InvalidRequest, match="ends within a section"):
        split(b"".join(frames.encode(request(change), [])))


def test_too_many_keys_are_refused():
    change = Change(kind="put", column="a", count=REQUEST_KEYS_MAX + 1, keys_bytes=0)
    with pytest.raises(InvalidRequest) as caught:
        split(b"".join(frames.encode(request(change), [])))
    assert caught.value.code == "too-many-keys"


def test_too_many_changes_are_refused():
    nothing = Change(kind="put", column="a", count=0, keys_bytes=0)
    body = frames.encode(request(*[nothing] * (REQUEST_CHANGES_MAX + 1)), [])
    with pytest.raises(InvalidRequest) as caught:
        split(b"".join(body))
    assert caught.value.code == "too-many-changes"


@pytest.mark.parametrize("ends", [[0, 2], [2, 1], [1, 3], [1, 1, 2], [2, 2]])
def test_ends_that_do_not_rise_to_the_end_of_the_keys_are_refused(ends):
    change = Change(kind="put", column="a", count=len(ends), keys_bytes=2)
    body = frames.encode(request(change), [b"ab", np.array(ends, "<u4"), b""])
    with pytest.raises(InvalidRequest, match="ends of its keys"):
        split(b"".join(body))


@pytest.mark.parametrize(
    "garbage",
    [b"\xc1", b"\x91" * 5000, b"\xde\xff\xff", b"\xd9\x04\xff\xff\xff\xff", b"", b"\x80"],
    ids=["reserved", "nested", "cut-map", "no-utf8", "empty", "fields-missing"],
)
def test_a_garbage_header_is_refused(garbage):
    with pytest.raises(InvalidRequest) as caught:
        frames.split_header(struct.pack("<I", len(garbage)) + garbage, ChangeRequest)
    assert caught.value.code == "invalid-frame"


@given(st.binary(max_size=200))
def test_random_bytes_never_raise_anything_else(body):
    try:
        split(body)
    except InvalidRequest:
        return
