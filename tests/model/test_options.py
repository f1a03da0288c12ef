"""Backends by name, and what their options mean."""

import pytest

from hangard.errors import InvalidRequest, InvalidType
from hangard.model.options import Hdf5Options, hdf5_options, resolve_backend


@pytest.mark.parametrize(
    ("name", "code"), [("00", "00"), ("hdf5", "00"), ("10", "10"), ("numpy", "10")]
)
def test_a_backend_has_a_code_and_a_name(name, code):
    assert resolve_backend(name, None, shape=(28, 28)) == (code, {})


@pytest.mark.parametrize(
    ("shape", "code"), [((), "00"), ((399,), "10"), ((400,), "00"), ((20, 20), "00"), ((0,), "10")]
)
def test_a_backend_that_is_not_named_is_chosen_by_shape(shape, code):
    assert resolve_backend(None, None, shape=shape) == (code, {})


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
    ],
)
def test_options_keep_their_spelling_and_have_a_meaning(options, meaning):
    assert resolve_backend("hdf5", options, shape=(3,)) == ("00", options)
    assert hdf5_options(options) == meaning


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"complib": "snappy"}, "complib='snappy'; it may be 'blosc2:blosclz', 'blosc2:lz4'"),
        ({"complib": "lz4"}, "complib='lz4'"),
        ({"complevel": 10}, "complevel=10; it may be 0, 1, 2, 3, 4, 5, 6, 7, 8, 9"),
        ({"complevel": True}, "complevel=True"),
        ({"complevel": 5.5}, "complevel=5.5"),
        ({"shuffle": "no"}, "shuffle='no'; it may be 'none', 'byte', 'bit', None"),
        ({"shuffle": True}, "shuffle=True"),
        ({"level": 5}, "unknown backend option 'level'; there are complib, complevel, shuffle"),
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
    with pytest.raises(InvalidRequest, match="00, hdf5, 10, numpy") as caught:
        resolve_backend(backend, None, shape=(3,))
    assert caught.value.code == "unknown-backend"


def test_options_belong_to_a_backend_that_was_named_and_has_them():
    with pytest.raises(InvalidRequest, match="without a backend"):
        resolve_backend(None, {"complevel": 1}, shape=(3,))
    with pytest.raises(InvalidRequest, match="no options"):
        resolve_backend("numpy", {"complevel": 1}, shape=(3,))
    with pytest.raises(InvalidType, match="dict"):
        resolve_backend("hdf5", ["complevel"], shape=(3,))
