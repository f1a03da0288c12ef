"""The user's configuration file keeps what its author wrote around a setting."""

import pytest
from hangard_client.user_config import set_user_config

from hangard.config import load_user
from hangard.errors import InvalidRequest

WRITTEN = """\
# mine
[user]
name = "Ada"  # me

[column]
# what we agreed on
complib = 'gzip'
[other.tool]
x = 1
"""


@pytest.fixture
def file(tmp_path):
    return tmp_path / "hangard" / "config.toml"


def test_a_file_is_made(file):
    assert set_user_config({"user.name": 'A "quoted" \\ name'}, file) == load_user(file)
    assert load_user(file) == {"user.name": 'A "quoted" \\ name'}


def test_comments_and_other_tables_stay(file):
    file.parent.mkdir()
    file.write_text(WRITTEN)
    set_user_config({"column.complib": "lzf", "column.backend": "hdf5"}, file)
    text = file.read_text()
    assert "# mine" in text
    assert "# what we agreed on" in text
    assert "x = 1" in text
    assert load_user(file) == {
        "user.name": "Ada",
        "column.complib": "lzf",
        "column.backend": "hdf5",
        "other.tool.x": "1",
    }


def test_a_setting_is_taken_away(file):
    file.parent.mkdir()
    file.write_text(WRITTEN)
    assert "column.complib" not in set_user_config({"column.complib": None}, file)
    assert set_user_config({"column.shuffle": None}, file) == load_user(file)


def test_a_file_that_is_written_another_way_is_left_alone(file):
    file.parent.mkdir()
    text = 'user = { name = "Ada" }\n'
    file.write_text(text)
    with pytest.raises(InvalidRequest, match="edit it") as caught:
        set_user_config({"user.name": "Bob"}, file)
    assert caught.value.code == "invalid-config"
    assert file.read_text() == text


def test_an_illegal_setting_changes_no_file(file):
    with pytest.raises(InvalidRequest):
        set_user_config({"user.name": "Ada", "column.complevel": "12"}, file)
    assert not file.exists()
