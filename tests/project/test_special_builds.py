"""The tests of the compiled modules, once more on builds that check every access.

Both builds happen in a copy: Cython leaves its generated C beside the source, and C generated with
bounds checks must never be picked up by the ordinary build.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from project.sources import ROOT


def copy_of_the_sources(target: Path) -> Path:
    ignored = shutil.ignore_patterns("*.so", "__pycache__", "*.egg-info")
    for name in ("hangard", "client", "ext", "tests"):
        shutil.copytree(ROOT / name, target / name, ignore=ignored)
    for source in (target / "ext" / "hangard_ext").glob("*.pyx"):
        source.with_suffix(".c").unlink(missing_ok=True)
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, target / name)
    return target


def run(*command: str, cwd: Path, environment: dict[str, str]) -> None:
    result = subprocess.run(
        [sys.executable, *command],
        cwd=cwd,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-20_000:]


def build_and_test(target: Path, build: dict[str, str], test: dict[str, str]) -> None:
    source = copy_of_the_sources(target)
    path = os.pathsep.join(str(source / part) for part in ("", "ext", "client"))
    run("setup.py", "--quiet", "build_ext", "--inplace", cwd=source, environment=build)
    built = "import hangard_ext, sys; sys.exit(not hangard_ext.__file__.startswith(sys.argv[1]))"
    run("-c", built, str(source), cwd=source, environment={"PYTHONPATH": path})
    run(
        "-m",
        "pytest",
        "tests/ext",
        "--timeout=1200",
        "-p",
        "no:cacheprovider",
        cwd=source,
        environment={"PYTHONPATH": path, "PYTEST_ADDOPTS": ""} | test,
    )


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_compiled_modules_pass_with_bounds_checks(tmp_path):
    build_and_test(tmp_path / "debug", {"HANGARD_EXT_DEBUG": "1"}, {})


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_compiled_modules_pass_under_address_sanitizer(tmp_path):
    compiler = os.environ.get("CC", "gcc")
    libraries = [
        subprocess.run(
            [compiler, f"-print-file-name={name}"], capture_output=True, text=True, check=True
        ).stdout.strip()
        for name in ("libasan.so", "libstdc++.so")
    ]
    build_and_test(
        tmp_path / "sanitized",
        {"HANGARD_EXT_SANITIZE": "1"},
        {
            "LD_PRELOAD": " ".join(libraries),
            # Python keeps what it allocated until exit; only wrong accesses matter here.
            "ASAN_OPTIONS": "detect_leaks=0",
            # Else small buffers come from Python's arenas, which the sanitizer cannot see into.
            "PYTHONMALLOC": "malloc",
        },
    )
