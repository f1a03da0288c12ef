"""Rows of any shapes: packing, parts, and what is refused of them."""

import numpy as np
import pytest

from hangard.errors import InvalidRequest
from hangard.limits import SAMPLE_BYTES_MAX
from hangard.model.ragged import (
    RaggedRows,
    check_shapes,
    check_text,
    fits,
    pack_rows,
    shape_of_id,
)
from hangard.model.schema import make_schema

TEXT = make_schema(kind="str", backend="30")
VARIED = make_schema(dtype="u2", shape=(3, 4), backend="00", variable_shape=True)


def texts(*rows: bytes) -> RaggedRows:
    return pack_rows(TEXT, rows, [(len(row),) for row in rows])


def test_parts_of_rows_have_their_own_ends():
    rows = pack_rows(
        VARIED, [np.ones((2, 2), "u2"), b"", np.zeros(3, "u2")], [(2, 2), (0, 4), (3, 1)]
    )
    assert rows.ends.tolist() == [8, 8, 14]
    part = rows.part(1, 3)
    assert (part.ends.tolist(), part.nbytes, len(part)) == ([0, 6], 6, 2)
    assert part.shapes.tolist() == [[0, 4], [3, 1]]
    assert len(rows.part(2, 2)) == rows.part(0, 0).nbytes == 0
    copy = rows.copy()
    assert copy.data is not rows.data
    assert pack_rows(VARIED, [], []).shapes.shape == (0, 2)


@pytest.mark.parametrize("shape", [(4, 4), (3, 5), (3,), (3, 4, 1), ()])
def test_shapes_beyond_the_bound_are_refused(shape):
    assert not fits(VARIED, shape)
    with pytest.raises(InvalidRequest) as caught:
        check_shapes("x", VARIED, np.array([shape], np.uint64).reshape(1, len(shape)))
    assert caught.value.code == "wrong-shape"


def test_text_longer_than_a_sample_may_be_is_refused():
    with pytest.raises(InvalidRequest) as caught:
        check_shapes("x", TEXT, np.array([[5], [SAMPLE_BYTES_MAX + 1]], np.uint64))
    assert caught.value.code == "sample-too-large"
    check_shapes("x", TEXT, np.array([[SAMPLE_BYTES_MAX]], np.uint64))


@pytest.mark.parametrize("rows", [(), (b"",), (b"", b""), ("ä".encode(), b"", "𝄞".encode(), b"a")])
def test_text_is_text_row_by_row(rows):
    check_text("x", texts(*rows))


@pytest.mark.parametrize(
    "rows", [(b"\xff",), (b"a", b"\xed\xa0\x80"), ("ä".encode()[:1], "ä".encode()[1:])]
)
def test_what_is_no_text_never_reaches_a_reader(rows):
    with pytest.raises(InvalidRequest) as caught:
        check_text("x", texts(*rows))
    assert caught.value.code == "invalid-text"


def test_a_shape_id_is_a_length_or_a_number():
    known = {7: (2, 3)}
    assert shape_of_id(1 << 31 | 5, known.__getitem__) == (5,)
    assert shape_of_id(7, known.__getitem__) == (2, 3)
    assert shape_of_id(0, known.__getitem__) == ()
