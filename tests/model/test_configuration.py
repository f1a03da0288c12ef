"""Settings: which are legal, which wins, and what they mean for a new column."""

import pytest

from hangard.config import KEYS, Levels
from hangard.errors import InvalidRequest, InvalidType
from hangard.model.configuration import check_setting, column_defaults, daemon_settings
from hangard.model.options import resolve_backend


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("user.name", "  Ada Lovelace ", "Ada Lovelace"),
        ("column.backend", "hdf5", "hdf5"),
        ("column.backend", "01", "01"),
        ("column.complib", "blosc:zstd", "blosc:zstd"),
        ("column.complevel", 9, "9"),
        ("column.complevel", "none", "none"),
        ("column.shuffle", True, "true"),
        ("column.shuffle", "bit", "bit"),
        ("column.fletcher32", False, "false"),
    ],
)
def test_a_setting_is_kept_as_text(name, value, text):
    assert check_setting(name, value) == (name, text)


@pytest.mark.parametrize(
    ("name", "value", "code", "said"),
    [
        ("column.colour", "red", "unknown-setting", "there are user.name, user.email, column"),
        ("column.complib", "snappy", "invalid-setting", "it may be blosc2:blosclz"),
        ("column.complevel", "10", "invalid-setting", "it may be none, 0, 1"),
        ("column.fletcher32", "yes", "invalid-setting", "it may be true, false"),
        ("column.backend", "zarr", "unknown-backend", "there are 00"),
        ("user.name", "a\nb", "invalid-author", "no author"),
    ],
)
def test_an_illegal_setting_is_refused_with_what_is_legal(name, value, code, said):
    with pytest.raises(InvalidRequest, match=said) as caught:
        check_setting(name, value)
    assert caught.value.code == code


@pytest.mark.parametrize("value", [None, "", "  ", 2.5, ["hdf5"]])
def test_a_setting_is_text(value):
    with pytest.raises(InvalidType, match=r"column\.backend"):
        check_setting("column.backend", value)


def test_the_first_level_that_has_a_setting_wins():
    levels = Levels(
        environment={"column.backend": "numpy"},
        repository={"column.backend": "hdf5", "user.name": "R"},
        user={"user.name": "U", "user.email": "u@example.org"},
        daemon={"user.email": "d@example.org", "column.complevel": "3"},
    )
    assert levels.in_force() == {
        "column.backend": ("numpy", "environment"),
        "column.complevel": ("3", "daemon"),
        "user.email": ("u@example.org", "user"),
        "user.name": ("R", "repository"),
    }


def test_settings_are_the_defaults_of_columns():
    levels = Levels(
        repository={"column.complevel": "2", "column.shuffle": "false"},
        user={"column.backend": "hdf5", "column.complib": "gzip", "column.fletcher32": "true"},
    )
    defaults = column_defaults(levels)
    assert resolve_backend(None, None, shape=(3, 3), defaults=defaults) == (
        "00",
        {"complib": "gzip", "complevel": 2, "shuffle": False, "fletcher32": True},
    )


def test_a_nearer_compressor_leaves_the_options_behind_it_out():
    levels = Levels(
        repository={"column.complib": "lzf"},
        user={"column.backend": "hdf5", "column.complib": "blosc2:zstd", "column.complevel": "9"},
    )
    assert column_defaults(levels) == {"backend": "hdf5", "complib": "lzf"}


def test_a_bad_value_in_a_file_is_named_with_its_level():
    with pytest.raises(InvalidRequest, match=r"of the user: column\.complevel cannot be 'high'"):
        column_defaults(Levels(user={"column.complevel": "high"}))


def test_other_names_in_the_users_file_disturb_nobody():
    assert column_defaults(Levels(user={"editor.theme": "dark"})) == {}


def test_a_daemons_settings_are_arguments_before_its_environment():
    variables = {"HANGARD_COLUMN_BACKEND": "numpy", "HANGARD_USER_NAME": "Env", "HANGARD_X": "y"}
    given = ["column.backend=hdf5", "column.complib = gzip"]
    assert daemon_settings(given, variables) == {
        "column.backend": "hdf5",
        "column.complib": "gzip",
        "user.name": "Env",
    }
    with pytest.raises(InvalidRequest, match="NAME=VALUE"):
        daemon_settings(["column.backend"], {})


def test_every_setting_says_what_it_is_for():
    assert all(KEYS.values())
