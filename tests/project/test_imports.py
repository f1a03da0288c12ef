"""Each module stands on its own, and the client is light."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from project.sources import all_modules

# One interpreter that has imported nothing of ours yet forks a child for each module: as fresh as a
# new interpreter, without its start-up time, and without the time that others' packages take.
IMPORT_EACH = """
import os, sys, traceback
os.environ["OPENBLAS_NUM_THREADS"] = "1"  # a fork beside its threads is warned of
import aiohttp.web, click, lmdb, msgspec, numpy
failed = 0
for name in sys.argv[1:]:
    child = os.fork()
    if child == 0:
        try:
            __import__(name)
        except BaseException:
            print(name, file=sys.stderr)
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    failed |= os.waitpid(child, 0)[1]
sys.exit(bool(failed))
"""

LOADED_BY = """
import json, sys
import hangard_client
print(json.dumps(sorted(sys.modules)))
"""


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def test_each_module_can_be_the_first_one_imported():
    names = [name for name, _ in all_modules()]
    result = run(IMPORT_EACH, *names)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("heavy", ["aiohttp", "h5py", "hdf5plugin", "blosc2", "uvloop", "rich"])
def test_the_client_does_not_load_what_reading_does_not_need(heavy):
    result = run(LOADED_BY)
    assert result.returncode == 0, result.stderr
    assert heavy not in json.loads(result.stdout)
