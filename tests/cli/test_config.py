"""`hangard config`: get, set, unset, list."""


def test_settings_are_set_listed_and_taken_away(repository):
    repository("config", "set", "column.complib", "gzip")
    repository("config", "set", "--user", "column.complib", "lzf")
    repository("config", "set", "--user", "column.backend", "hdf5")
    assert repository("config", "get", "column.complib") == "gzip\n"
    assert repository("config", "get", "--user", "column.complib") == "lzf\n"
    assert repository.json("config", "get", "column.backend") == {
        "name": "column.backend",
        "value": "hdf5",
        "level": "user",
    }
    listed = {entry["name"]: entry["level"] for entry in repository.json("config", "list")}
    assert listed["column.complib"] == "repository"
    assert listed["user.name"] == "git"
    assert "column.complib = gzip  (repository)" in repository("config")
    assert repository.json("config", "unset", "column.complib") == {}
    assert repository("config", "get", "column.complib") == "lzf\n"
    assert repository.json("config", "set", "user.name", "Bob") == {"user.name": "Bob"}


def test_the_users_settings_need_no_repository(shell):
    shell("config", "set", "--user", "user.name", "Ada")
    assert shell("config", "get", "user.name") == "Ada\n"
    assert "there is no repository" in shell.fails("config", "set", "user.name", "Bob")


def test_what_is_not_set_or_unknown_is_said(repository):
    assert "not set [setting-not-set]" in repository.fails("config", "get", "column.backend")
    assert "there is no setting 'colour'" in repository.fails("config", "get", "colour")
    told = repository.fails("config", "set", "column.complevel", "ten")
    assert "it may be none, 0, 1" in told
