import numpy as np
import pytest
from hangard_ext import treekey
from hypothesis import given
from hypothesis import strategies as st
from reference import treekey as twin

ints = st.one_of(st.integers(0, 2**63 - 1), st.integers(0, 300))
texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=60)
parts = st.one_of(ints, texts)
flat_keys = parts
keys = st.one_of(parts, st.tuples(parts, parts))


@given(keys)
def test_a_key_survives_encoding_and_equals_the_twin(key):
    encoded = treekey.encode_key(key)
    assert encoded == twin.encode_key(key)
    assert treekey.decode_key(encoded) == key
    assert len(encoded) <= treekey.ENCODED_KEY_BYTES_MAX


@given(st.lists(flat_keys))
def test_memcmp_order_of_flat_keys_is_their_order(many):
    assert sorted(many, key=twin.order_of) == sorted(many, key=treekey.encode_key)


@given(st.lists(st.tuples(parts, parts)))
def test_memcmp_order_of_nested_keys_is_the_order_of_pairs(many):
    assert sorted(many, key=twin.order_of) == sorted(many, key=treekey.encode_key)


@given(st.lists(keys))
def test_many_keys_are_packed_in_their_order(many):
    blob, ends = treekey.encode_keys(many)
    expected_blob, expected_ends = twin.pack(map(twin.encode_key, many))
    assert blob == expected_blob
    assert ends.dtype == np.uint32
    assert ends.tolist() == expected_ends.tolist()
    assert treekey.decode_keys(blob, ends) == many


@pytest.mark.parametrize(
    "many",
    [
        range(0),
        range(5),
        range(700, -1, -7),
        range(2**63 - 3, 2**63),
        range(0, 2**63, 2**62),
        np.arange(300, dtype=np.int32),
        np.arange(300, dtype=np.uint8),
        np.arange(600)[::-2],
        np.array([2**63 - 1, 0], np.uint64),
        np.arange(4).astype(">i4"),
        np.empty(0, np.int64),
        np.array(["a", "b"]),
        np.array([1, "b"], object),
        [np.int8(3), np.uint64(2**63 - 1), np.str_("x")],
        {3: None, "b": None}.keys(),
    ],
)
def test_ranges_arrays_and_iterables_pack_like_their_items(many):
    items = many.tolist() if isinstance(many, np.ndarray) else list(many)
    blob, ends = treekey.encode_keys(many)
    assert treekey.decode_keys(blob, ends) == items
    assert treekey.encode_keys(item for item in items)[0] == blob


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (True, "not bool"),
        (np.True_, "not bool"),
        (1.0, "not float"),
        (None, "not NoneType"),
        (b"raw", "not bytes"),
        ((1, False), "not bool"),
        ([1, 2], "not list"),
    ],
)
def test_another_type_of_key_is_a_type_error_that_names_it(key, message):
    with pytest.raises(TypeError, match=message):
        treekey.encode_key(key)
    with pytest.raises(TypeError, match=message):
        treekey.encode_keys([1, key, 2])


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (-1, "key -1 is not within"),
        (2**63, "is not within"),
        (2**200, "is not within"),
        ("", "has 0 bytes"),
        ("é" * 128, "has 256 bytes"),
        ("tab\there", "control character"),
        ("nul\0", "control character"),
        ("del\x7f", "control character"),
        ("c1\x85", "control character"),
        ("lone \ud800", "lone surrogate"),
        ((1, 2, 3), "a pair"),
        ((1, -2), "not within"),
    ],
)
def test_an_illegal_key_is_a_value_error_that_names_it(key, message):
    with pytest.raises(ValueError, match=message):
        treekey.encode_key(key)
    with pytest.raises(ValueError, match=message):
        treekey.encode_keys(["fine", key])


@pytest.mark.parametrize(
    "many", [range(-1, 3), range(2**63, 2**63 + 2), np.array([4, -4]), np.array([2**63], np.uint64)]
)
def test_ranges_and_arrays_out_of_bounds_are_refused(many):
    with pytest.raises(ValueError, match=r"key -?\d+ is not within"):
        treekey.encode_keys(many)


def test_no_sequence_no_axis_and_bool_arrays_are_refused():
    for wrong in ("text", b"bytes", 7):
        with pytest.raises(TypeError, match="sequence of keys"):
            treekey.encode_keys(wrong)
    with pytest.raises(TypeError, match="bool"):
        treekey.encode_keys(np.array([True]))
    with pytest.raises(ValueError, match="one axis"):
        treekey.encode_keys(np.zeros((2, 2), int))


def test_the_layout_is_checked_where_it_is_known():
    with pytest.raises(TypeError, match="flat column"):
        treekey.encode_key((1, 2), nested=False)
    for many in ([1], ["a"], range(2), np.arange(2)):
        with pytest.raises(TypeError, match="nested column"):
            treekey.encode_keys(many, nested=True)
    assert treekey.encode_keys(range(0), nested=True)[0] == b""
    assert treekey.encode_key((1, 2), nested=True) == treekey.encode_key((1, 2))


def test_text_of_255_bytes_and_text_beyond_the_basic_plane_are_legal():
    for key in ("x" * 255, "é" * 127, "😀 family", "\u2028"):
        assert treekey.decode_key(treekey.encode_key(key)) == key


@given(st.lists(flat_keys), st.lists(st.tuples(parts, parts)))
def test_what_was_encoded_passes_the_check_of_its_layout_only(flat, nested):
    packed_flat, packed_nested = treekey.encode_keys(flat), treekey.encode_keys(nested)
    treekey.check_keys(*packed_flat, nested=False)
    treekey.check_keys(*packed_nested, nested=True)
    if flat:
        with pytest.raises(ValueError, match="not an encoded key"):
            treekey.check_keys(*packed_flat, nested=True)
    if nested:
        with pytest.raises(ValueError, match="not an encoded key"):
            treekey.check_keys(*packed_nested, nested=False)


@pytest.mark.parametrize(
    "encoded",
    [
        b"\x0f",
        b"\x19" + b"\1" * 9,
        b"\x11\x00",
        b"\x12\x00\x01",
        b"\x11",
        b"\x18\x80" + bytes(7),
        b"\x10\x10\x10",
        b"\x80a",
        b"\x80\x00",
        b"\x80" + b"a" * 256 + b"\x00",
        b"\x80a\n\x00",
        b"\x80\xc2\x85\x00",
        b"\x80\x7f\x00",
        b"\x80\xff\x00",
        b"\x80\xc0\x80\x00",
        b"\x80\xc1\xbf\x00",
        b"\x80\xe0\x80\x80\x00",
        b"\x80\xed\xa0\x80\x00",
        b"\x80\xf0\x80\x80\x80\x00",
        b"\x80\xf4\x90\x80\x80\x00",
        b"\x80\xf5\x80\x80\x80\x00",
        b"\x80\xe2\x82\x00",
        b"\x80\xc3\x00",
        b"\x81a\x00",
    ],
)
def test_bytes_that_are_no_canonical_key_are_refused(encoded):
    with pytest.raises(ValueError, match="not an encoded key"):
        treekey.decode_key(encoded)
    with pytest.raises(ValueError, match=r"not an encoded key|packed keys"):
        treekey.check_keys(encoded, np.array([len(encoded)], np.uint32), nested=False)


@given(st.binary(min_size=1, max_size=40), st.booleans())
def test_any_bytes_either_fail_or_decode_to_a_key_that_encodes_to_them(encoded, nested):
    try:
        treekey.check_keys(encoded, np.array([len(encoded)], np.uint32), nested=nested)
    except ValueError:
        return
    assert treekey.encode_key(treekey.decode_key(encoded), nested=nested) == encoded


@given(st.binary(min_size=1, max_size=12))
def test_text_is_accepted_exactly_when_python_decodes_it(raw):
    encoded = b"\x80" + raw.replace(b"\0", b"") + b"\0"
    try:
        text = encoded[1:-1].decode()
        legal = bool(text) and not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in text)
    except UnicodeDecodeError:
        legal = False
    if legal:
        assert treekey.decode_key(encoded) == text
    else:
        with pytest.raises(ValueError, match="not an encoded key"):
            treekey.decode_key(encoded)


@pytest.mark.parametrize(
    ("blob", "ends"),
    [(b"\x10", [2]), (b"\x10\x10", [1]), (b"\x10", [0, 1]), (b"\x10\x10", [2, 1]), (b"", [1])],
)
def test_ends_that_do_not_fit_the_blob_are_refused(blob, ends):
    ends = np.array(ends, np.uint32)
    for call in (treekey.decode_keys, lambda b, e: treekey.check_keys(b, e, False)):
        with pytest.raises(ValueError, match="packed keys"):
            call(blob, ends)
