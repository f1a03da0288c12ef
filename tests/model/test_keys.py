import numpy as np
import pytest
from hangard_ext import treekey

from hangard.errors import InvalidRequest, InvalidType
from hangard.limits import KEY_TEXT_BYTES_MAX
from hangard.model.keys import check_key, encode_key, encode_keys
from hangard.model.names import check_column_name, check_ref_name


def test_a_checked_key_consists_of_plain_python_values():
    assert check_key(np.int16(5)) == 5
    assert type(check_key(np.int16(5))) is int
    assert check_key((np.uint8(1), np.str_("a"))) == (1, "a")


@pytest.mark.parametrize("key", [True, 2.5, None, b"x", (1, True)])
def test_a_key_of_another_type_is_invalid_type(key):
    for call in (check_key, encode_key, lambda wrong: encode_keys([wrong])):
        with pytest.raises(InvalidType) as caught:
            call(key)
        assert caught.value.code == "invalid-key-type"


@pytest.mark.parametrize("key", [-1, 2**63, "", "a\nb", "\ud800", "x" * 256, (1, 2, 3)])
def test_an_illegal_key_is_an_invalid_request(key):
    for call in (check_key, encode_key, lambda wrong: encode_keys([wrong])):
        with pytest.raises(InvalidRequest) as caught:
            call(key)
        assert caught.value.code == "invalid-key"


def test_the_layout_of_the_column_decides_about_pairs():
    with pytest.raises(InvalidType):
        check_key((1, 2), nested=False)
    with pytest.raises(InvalidType):
        check_key(1, nested=True)


@pytest.mark.parametrize("name", ["a", "A-b_c.9", "...", "x" * 64])
def test_legal_column_names_pass(name):
    assert check_column_name(name) == name
    assert check_ref_name(name) == name


@pytest.mark.parametrize("name", ["", ".", "..", "x" * 65, "a b", "ä", "a/b", "a\n"])
def test_illegal_column_names_are_refused(name):
    with pytest.raises(InvalidRequest) as caught:
        check_column_name(name)
    assert caught.value.code == "invalid-name"


def test_ref_names_are_parts_joined_by_slashes():
    assert check_ref_name("team/feature-1/x") == "team/feature-1/x"
    for name in ("/a", "a/", "a//b", "a/../b", "HEAD", "", "a/" * 127 + "ab", "a b/c"):
        with pytest.raises(InvalidRequest):
            check_ref_name(name)
    with pytest.raises(InvalidType):
        check_ref_name(7)


def test_the_limit_of_text_is_the_one_of_the_encoding():
    assert treekey.KEY_TEXT_BYTES_MAX == KEY_TEXT_BYTES_MAX
