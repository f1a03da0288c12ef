"""The command line and Hangar's face share one staging area."""

import subprocess
import sys

import numpy as np
from client.hangar.conftest import ROW, fill


def hangard(repo, *arguments, code=0):
    """What a command prints that must end with this exit code."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "hangard.cli", "-C", repo.path, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == code, done.stdout
    return done.stdout


def test_what_one_stages_the_other_commits(fresh, tmp_path):
    fill(fresh)
    np.save(tmp_path / "rows.npy", np.arange(12).reshape(3, 4))
    co = fresh.checkout(write=True)
    hangard(fresh, "import", "rows", str(tmp_path / "rows.npy"), code=4)
    co["x"]["c"] = ROW
    hangard(fresh, "commit", "-m", "not now", code=4)
    co.close()
    hangard(fresh, "commit", "-m", "by the command line")
    specs = fresh.log(return_contents=True)
    assert specs["specs"][specs["head"]]["commit_message"] == "by the command line"
    hangard(fresh, "import", "rows", str(tmp_path / "rows.npy"))
    co = fresh.checkout(write=True)
    assert co.diff.status() == "DIRTY"
    assert co["rows", 2].tolist() == [8, 9, 10, 11]
    assert fresh.writer_lock_held
    hangard(fresh, "import", "rows", str(tmp_path / "rows.npy"), code=4)
    co.commit("by a script")
    co.close()
    assert "rows" in fresh.checkout()


def test_the_staging_areas_branch_is_head(fresh):
    fill(fresh)
    fresh.create_branch("dev")
    fresh.checkout(write=True, branch="dev").close()
    assert "* dev" in hangard(fresh, "branch")
    hangard(fresh, "checkout", "master")
    co = fresh.checkout(write=True)
    assert co.branch_name == "master"
    co.close()
