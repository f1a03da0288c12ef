from __future__ import annotations

import numpy as np
import pytest
from reference import hangar


@pytest.fixture
def source(tmp_path):
    return hangar.unpack(tmp_path / "hangar")


def test_a_repository_of_hangar_is_imported_into_a_new_one(shell, source):
    told = shell("import-hangar", source)
    assert told.startswith("Imported 5 commits, 697 samples, 2.0 MiB.")
    log = shell("log", "master")
    assert "merge photos" in log
    assert "Ada Example" in log
    head = hangar.expected()["branches"]["master"]
    assert "shorter caption" in shell("log", head[:10])
    assert [line.split()[-2] for line in shell("branch", "list").splitlines()] == [
        "master",
        "photos",
    ]


def test_an_import_into_a_repository_that_is_there_leaves_its_branch(repository, source):
    done = repository.json("import-hangar", source, "--prefix", "old/", "--verify")
    assert (done["commits"], sorted(done["branches"])) == (5, ["old/master", "old/photos"])
    again = repository("import-hangar", source, "--prefix", "old/")
    assert again.startswith("Imported 0 commits, 0 samples")


def test_errors_of_an_import_are_told(shell, source, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "[no-hangar-repository]" in shell.fails("import-hangar", tmp_path / "empty")
    assert "[no-repository]" in shell.fails("log")  # nothing was made
    shell.fails("import-hangar", tmp_path / "nowhere", code=2)
    (source / ".hangar" / "data" / "01" / "v4xxyjv7.hdf5").unlink()
    assert "v4xxyjv7.hdf5" in shell.fails("import-hangar", source)


def test_a_held_repository_is_busy_until_its_lock_is_ignored(shell, tmp_path):
    writer = hangar.HangarWriter(tmp_path / "held", lock="0c8a")
    digests = writer.samples({"#1": np.arange(3, dtype="u1")})
    schema = writer.schema((3,))
    writer.commit("trunk", {"s:a:f": schema, "f:a:#1": digests["#1"]})
    path = writer.close()
    assert "[source-in-use]" in shell.fails("import-hangar", path, code=4)
    assert "1 commit, 1 sample" in shell("import-hangar", path, "--ignore-lock")
    assert shell("branch", "list").split()[:2] == ["*", "trunk"]
