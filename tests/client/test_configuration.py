"""Defaults for a whole project: settings of repository, user, daemon and environment."""

import asyncio
import os
import subprocess
import sys
import time

import hangard_client
import numpy as np
import pytest
from hangard_client.async_repository import AsyncRepository

from hangard.config import KEYS, variable_of
from hangard.errors import InvalidRequest, InvalidType
from hangard.wire.endpoint import read_endpoint


@pytest.fixture(autouse=True)
def _environment(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in KEYS:
        monkeypatch.delenv(variable_of(name), raising=False)
    for name in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def project(tmp_path):
    """A repository of its own, since settings hold for all that use it."""
    repository = hangard_client.Repository(tmp_path / "project", create=True, idle_s=60)
    yield repository
    repository.stop()
    repository.close()


def add(repo, name, **settings):
    with repo.checkout("main", write=True) as co:
        column = co.add_ndarray_column(name, shape=(4, 4), dtype="u1", **settings)
        schema = column.schema
        co.abort()
    return schema


def test_a_repository_has_defaults_for_its_columns(project):
    project.set_config({"column.backend": "hdf5", "column.complib": "blosc:zstd"})
    assert project.config("repository") == project.config() != {}
    schema = add(project, "a")
    assert (schema.backend, schema.options["complib"]) == ("00", "blosc:zstd")
    assert add(project, "b", backend="01").options["complib"] == "blosc:zstd"
    assert add(project, "c", backend={"name": "hdf5", "complib": "lzf"}).options == {
        "complib": "lzf",
        "complevel": None,
        "shuffle": True,
    }
    project.set_config({"column.complib": None, "column.backend": None})
    assert project.config() == {}
    assert add(project, "d").backend == "01"


def test_settings_are_resolved_once_into_the_schema(project):
    author = {"user.name": "Ada", "user.email": "ada@example.org"}
    project.set_config({"column.backend": "hdf5", "column.complib": "gzip", **author})
    with project.checkout("main", write=True) as co:
        co.add_ndarray_column("a", shape=3, dtype="u1")
        co.commit("made by settings")
    project.set_config({"column.backend": "numpy", "column.complib": "lzf"})
    with project.checkout("main") as co:
        assert co["a"].backend_opts == {
            "backend": "00",
            "complib": "gzip",
            "complevel": 5,
            "shuffle": True,
        }
    (entry,) = project.log("main")
    assert (entry.author.name, entry.author.email) == ("Ada", "ada@example.org")


def test_the_nearest_level_wins(project, monkeypatch):
    assert add(project, "a").backend == "01"
    project.set_config({"column.backend": "hdf5"}, level="user")
    assert add(project, "a").backend == "00"
    project.set_config({"column.backend": "numpy"})
    assert add(project, "a").backend == "10"
    monkeypatch.setenv("HANGARD_COLUMN_BACKEND", "hdf5-fixed")
    assert add(project, "a").backend == "01"
    assert add(project, "a", backend="hdf5").backend == "00"
    assert project.levels().find("column.backend") == ("hdf5-fixed", "environment")
    assert project.config("user") == {"column.backend": "hdf5"}


def test_a_change_of_backend_takes_the_defaults_too(project):
    project.set_config({"column.complib": "blosc2:zstd"})
    with project.checkout("main", write=True) as co:
        column = co.add_ndarray_column("a", shape=3, dtype="u1", backend="numpy")
        column.change_backend("hdf5")
        assert column.backend_options["complib"] == "blosc2:zstd"
        co.abort()


def test_a_daemon_has_defaults_for_all_that_it_serves(tmp_path):
    path = tmp_path / "served"
    hangard_client.Repository(path, create=True, idle_s=0.1).close()
    with hangard_client.Repository(path) as repo:
        repo.stop()
    daemon = subprocess.Popen(
        [sys.executable, "-m", "hangard.daemon", str(path), "--config", "column.backend=hdf5"],
        env=os.environ | {"HANGARD_USER_NAME": "Ops", "HANGARD_USER_EMAIL": "ops@example.org"},
        stderr=subprocess.DEVNULL,
    )
    try:
        while (endpoint := read_endpoint(path)) is None or endpoint.pid != daemon.pid:
            time.sleep(0.02)
        with hangard_client.Repository(path) as repo:
            assert add(repo, "a").backend == "00"
            assert repo.levels().find("user.name") == ("Ops", "daemon")
            with repo.checkout("main", write=True) as co:
                co.add_ndarray_column("a", shape=3, dtype="u1")[1] = np.zeros(3, "u1")
                co.commit("by whom the daemon says")
            assert repo.log("main")[0].author.name == "Ops"
            repo.set_config({"column.backend": "numpy"})
            assert add(repo, "b").backend == "10"
            repo.stop()
    finally:
        daemon.wait(30)


def test_a_daemon_that_a_client_starts_has_none_of_its_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("HANGARD_COLUMN_BACKEND", "numpy")
    with hangard_client.Repository(tmp_path / "own", create=True, idle_s=60) as repo:
        assert add(repo, "a").backend == "10"
        monkeypatch.delenv("HANGARD_COLUMN_BACKEND")
        assert repo.levels().daemon == {}
        assert add(repo, "a").backend == "01"
        repo.stop()


@pytest.mark.parametrize(
    ("values", "error", "code"),
    [
        ({"column.colour": "red"}, InvalidRequest, "unknown-setting"),
        ({"column.complevel": 12}, InvalidRequest, "invalid-setting"),
        ({"column.backend": 5.0}, InvalidType, "invalid-setting"),
    ],
)
def test_an_illegal_setting_is_refused_and_nothing_is_set(project, values, error, code):
    for level in ("repository", "user"):
        with pytest.raises(error) as caught:
            project.set_config({"user.name": "Ada", **values}, level=level)
        assert caught.value.code == code
        assert project.config(level) == {}
    with pytest.raises(InvalidRequest, match="'repository' or 'user'"):
        project.set_config({"user.name": "Ada"}, level="system")


def test_settings_are_awaited_too(project):
    async def settings():
        async with AsyncRepository(project.path) as repo:
            await repo.set_config({"column.shuffle": "bit"})
            return await repo.config(), (await repo.levels()).repository

    expected = {"column.shuffle": "bit"}
    assert asyncio.run(settings()) == (expected, expected)


def test_settings_that_are_no_mapping_are_refused(project):
    with pytest.raises(InvalidType, match="mapping"):
        project.set_config("column.backend", "numpy")
