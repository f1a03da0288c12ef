"""Backends by name, and what their options mean."""

import numpy as np
import pytest

from hangard.errors import InvalidRequest, InvalidType
from hangard.model.options import Hdf5Options, backend_code, hdf5_options, resolve_backend

DEFAULTS = {"complib": "blosc2:lz4", "complevel": 5, "shuffle": "byte"}


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("00", "00"), ("hdf5", "00"), ("01", "01"), ("hdf5-fixed", "01"), ("10", "10"),
        ("numpy", "10"), ("30", "30"), ("str", "30"), ("31", "31"), ("bytes", "31"),
    ],
)  # fmt: skip
def test_a_backend_has_a_code_and_a_name(name, code):
    assert backend_code(name) == code


@pytest.mark.parametrize(
    ("shape", "fixed", "variable"),
    [
        ((), "01", "00"),
        ((0,), "10", "10"),
        ((399,), "10", "10"),
        ((400,), "00", "00"),
        ((10_000_000,), "00", "00"),
        ((10_000_001,), "01", "00"),
        ((20, 20), "01", "00"),
    ],
)
def test_a_backend_that_is_not_named_is_chosen_by_shape(shape, fixed, variable):
    assert resolve_backend(None, None, shape=shape)[0] == fixed
    assert resolve_backend(None, None, shape=shape, variable_shape=True)[0] == variable


@pytest.mark.parametrize(("kind", "code"), [("str", "30"), ("bytes", "31")])
def test_text_and_bytes_have_a_backend_of_their_own(kind, code):
    assert resolve_backend(None, None, kind=kind, shape=(), variable_shape=True) == (code, {})
    with pytest.raises(InvalidRequest, match=rf"use {code} \({kind}\)$") as caught:
        resolve_backend("hdf5", None, kind=kind, shape=(), variable_shape=True)
    assert caught.value.code == "unsuitable-backend"


def test_a_backend_that_cannot_store_the_column_is_refused_with_those_that_can():
    with pytest.raises(InvalidRequest, match=r"variable shape; use 00 \(hdf5\), 10 \(numpy\)$"):
        resolve_backend("01", None, shape=(3, 4), variable_shape=True)
    with pytest.raises(InvalidRequest, match=r"ndarray samples; use 00 .*01 .*10"):
        resolve_backend("bytes", None, shape=(3,))


@pytest.mark.parametrize(
    ("options", "meaning"),
    [
        ({}, Hdf5Options("lz4", 5, "byte")),
        ({"complib": "blosc2:zstd"}, Hdf5Options("zstd", 5, "byte")),
        (
            {"complib": "blosc:lz4hc", "complevel": 9, "shuffle": "bit"},
            Hdf5Options("lz4hc", 9, "bit"),
        ),
        ({"shuffle": None}, Hdf5Options(shuffle="none")),
        ({"shuffle": "none", "complevel": 0}, Hdf5Options(level=0, shuffle="none")),
        ({"complevel": np.int64(3)}, Hdf5Options(level=3)),
        ({"fletcher32": True}, Hdf5Options(fletcher32=True)),
    ],
)
def test_options_keep_their_spelling_and_have_a_meaning(options, meaning):
    code, resolved = resolve_backend("hdf5", options, shape=(3,))
    assert code == "00"
    assert resolved == {**DEFAULTS, **options}
    assert hdf5_options(options) == hdf5_options(resolved) == meaning


@pytest.mark.parametrize(
    ("options", "rest", "meaning", "filters"),
    [
        (
            {"complib": "gzip"},
            {"complevel": 5, "shuffle": True},
            Hdf5Options("gzip", 5, "byte"),
            ("shuffle", "gzip"),
        ),
        (
            {"complib": "gzip", "complevel": 0, "shuffle": False, "fletcher32": True},
            {},
            Hdf5Options("gzip", 0, "none", True),
            ("gzip", "fletcher32"),
        ),
        (
            {"complib": "lzf"},
            {"complevel": None, "shuffle": True},
            Hdf5Options("lzf", 0, "byte"),
            ("shuffle", "lzf"),
        ),
        (
            {"complib": "lzf", "complevel": "none", "shuffle": "none", "fletcher32": False},
            {},
            Hdf5Options("lzf", 0, "none"),
            ("lzf",),
        ),
        (
            {"complib": "none"},
            {"complevel": None, "shuffle": "none"},
            Hdf5Options("none", 0, "none"),
            (),
        ),
        (
            {"complib": None, "shuffle": None, "fletcher32": True},
            {"complevel": None},
            Hdf5Options("none", 0, "none", True),
            ("fletcher32",),
        ),
        (
            {"complib": "blosc:zstd", "fletcher32": True},
            {"complevel": 5, "shuffle": "byte"},
            Hdf5Options("zstd", 5, "byte", True),
            ("blosc2", "fletcher32"),
        ),
    ],
)
def test_each_compressor_has_options_of_its_own(options, rest, meaning, filters):
    assert resolve_backend("00", options, shape=(3,)) == ("00", {**options, **rest})
    assert hdf5_options(options) == meaning
    assert meaning.filters == filters


def test_a_dict_names_a_backend_and_its_options():
    expected = ("00", {**DEFAULTS, "complib": "blosc:zstd"})
    for key in ("backend", "name"):
        for name in ("00", "hdf5"):
            given = {key: name, "complib": "blosc:zstd"}
            assert resolve_backend(given, None, shape=(3,)) == expected
            assert given == {key: name, "complib": "blosc:zstd"}, "the caller's dict stays"
    assert resolve_backend({"name": "numpy"}, None, shape=(3, 3)) == ("10", {})
    assert resolve_backend({"name": "hdf5", "backend": "00"}, {}, shape=(3,))[0] == "00"
    with pytest.raises(InvalidRequest, match="two backends"):
        resolve_backend({"name": "hdf5", "backend": "10"}, None, shape=(3,))
    with pytest.raises(InvalidRequest, match="not in both"):
        resolve_backend({"name": "hdf5"}, {"complevel": 1}, shape=(3,))
    with pytest.raises(InvalidRequest, match="without a backend"):
        resolve_backend({"complevel": 1}, None, shape=(3,))


def test_defaults_hold_where_the_caller_says_nothing():
    usual = {"backend": "hdf5", "complib": "blosc2:zstd", "complevel": 1}
    zstd = {"complib": "blosc2:zstd", "complevel": 1, "shuffle": "byte"}
    assert resolve_backend(None, None, shape=(3,), defaults=usual) == ("00", zstd)
    assert resolve_backend("01", None, shape=(3,), defaults=usual) == ("01", zstd)
    assert resolve_backend("numpy", None, shape=(3,), defaults=usual) == ("10", {})
    level = resolve_backend("00", {"complevel": 9}, shape=(3,), defaults=usual)
    assert level == ("00", {**zstd, "complevel": 9})
    other = resolve_backend("00", {"complib": "blosc2:lz4hc"}, shape=(3,), defaults=usual)
    assert other == ("00", {**DEFAULTS, "complib": "blosc2:lz4hc"})


def test_a_default_backend_is_passed_over_where_it_cannot_store_the_column():
    usual = {"backend": "hdf5-fixed"}
    assert resolve_backend(None, None, shape=(3, 3), defaults=usual)[0] == "01"
    found = resolve_backend(None, None, shape=(3, 3), variable_shape=True, defaults=usual)
    assert found[0] == "00"
    assert resolve_backend(None, None, kind="str", shape=(), defaults=usual) == ("30", {})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"complib": "snappy"}, "complib='snappy'; it may be 'blosc2:blosclz', 'blosc2:lz4'"),
        ({"complib": "lz4"}, "complib='lz4'"),
        (
            {"complevel": 10},
            "complevel=10 with complib='blosc2:lz4'; it may be 0, 1, 2, 3, 4, 5, 6, 7, 8, 9",
        ),
        ({"complevel": True}, "complevel=True"),
        ({"complevel": 5.0}, "complevel=5.0"),
        (
            {"shuffle": "no"},
            "shuffle='no' with complib='blosc2:lz4'; it may be 'none', 'byte', 'bit', None",
        ),
        ({"shuffle": True}, "shuffle=True"),
        (
            {"level": 5},
            "unknown backend option 'level'; there are complib, complevel, shuffle, fletcher32",
        ),
        ({"complib": "gzip", "shuffle": "bit"}, "it may be True, False, 'byte', 'none', None"),
        ({"complib": "gzip", "complevel": None}, "complevel=None with complib='gzip'"),
        ({"complib": "lzf", "complevel": 5}, "complib='lzf'; it may be None, 'none'"),
        ({"complib": "none", "shuffle": "byte"}, "it may be 'none', None, False"),
        ({"fletcher32": 1}, "fletcher32=1; it may be True, False"),
        ({"fletcher32": "yes"}, "fletcher32='yes'"),
        ({"complib": ["blosc2:lz4"]}, "complib="),
    ],
)
def test_an_illegal_option_is_named_with_its_legal_values(options, said):
    with pytest.raises(InvalidRequest) as caught:
        resolve_backend("00", options, shape=(3,))
    assert caught.value.code == "invalid-backend-option"
    assert said in str(caught.value)


@pytest.mark.parametrize("backend", ["50", "", "HDF5", 0, ["00"]])
def test_an_unknown_backend_is_refused_with_those_there_are(backend):
    with pytest.raises(InvalidRequest, match=r"00 \(hdf5\), 01 \(hdf5-fixed\), 10") as caught:
        resolve_backend(backend, None, shape=(3,))
    assert caught.value.code == "unknown-backend"


def test_options_belong_to_a_backend_that_was_named_and_has_them():
    with pytest.raises(InvalidRequest, match="without a backend"):
        resolve_backend(None, {"complevel": 1}, shape=(3,))
    with pytest.raises(InvalidRequest, match="no options"):
        resolve_backend("numpy", {"complevel": 1}, shape=(3,))
    with pytest.raises(InvalidType, match="dict"):
        resolve_backend("hdf5", ["complevel"], shape=(3,))
