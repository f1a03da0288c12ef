import pytest

from hangard import config
from hangard.errors import InvalidRequest


@pytest.fixture
def user_file(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "hangard").mkdir()
    return tmp_path / "hangard" / "config.toml"


def test_the_first_place_that_names_an_author_wins(user_file):
    user_file.write_text('[user]\nname = "File"\nemail = "file@example.org"\n')
    repository = {"user.name": "Repository", "user.email": "repository@example.org"}
    git = {"GIT_AUTHOR_NAME": "Git", "GIT_AUTHOR_EMAIL": "git@example.org"}
    explicit = config.find_author("Call", "call@example.org", repository=repository)
    assert explicit == ("Call", "call@example.org")
    assert config.find_author(repository=repository, environment=git)[0] == "Repository"
    assert config.find_author(environment=git) == ("File", "file@example.org")
    user_file.unlink()
    assert config.find_author(environment=git) == ("Git", "git@example.org")


def test_name_and_address_may_come_from_different_places(user_file):
    git = {"GIT_AUTHOR_NAME": "Git", "GIT_AUTHOR_EMAIL": "git@example.org"}
    assert config.find_author("Call", environment=git) == ("Call", "git@example.org")


def test_without_an_author_the_error_says_where_to_set_one(user_file):
    with pytest.raises(InvalidRequest, match="GIT_AUTHOR_NAME") as caught:
        config.find_author(environment={})
    assert caught.value.code == "no-author"


@pytest.mark.parametrize("name", ["a\nb", "x" * 256, "tab\t"])
def test_an_author_that_would_damage_a_log_is_refused(name, user_file):
    with pytest.raises(InvalidRequest) as caught:
        config.find_author(name + "!", "a@example.org", environment={})
    assert caught.value.code == "invalid-author"


@pytest.mark.parametrize("content", [b"[user", b"\xff"])
def test_a_broken_file_is_named(user_file, content):
    user_file.write_bytes(content)
    with pytest.raises(InvalidRequest, match=r"config\.toml") as caught:
        config.find_author(environment={})
    assert caught.value.code == "invalid-config"


def test_nested_tables_have_dotted_names(user_file):
    user_file.write_text("[a.b]\nc = 3\n")
    assert config.load_user() == {"a.b.c": "3"}
