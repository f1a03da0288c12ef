"""Lint, format, types and stubs are tests, so that one command checks all."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from project.sources import PACKAGES, ROOT, modules

LINTED = [
    name
    for name in ("hangard", "client", "ext", "bench", "tests", "setup.py")
    if (ROOT / name).exists()
]


def check(*command: str) -> None:
    """Run a module of this interpreter in the checkout; its output is the failure's message."""
    environment = os.environ | {
        "MYPYPATH": os.pathsep.join(str(PACKAGES[name].parent) for name in PACKAGES)
    }
    result = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_lint_finds_nothing():
    check("ruff", "check", *LINTED)


def test_every_file_is_formatted():
    check("ruff", "format", "--check", *LINTED)


@pytest.mark.timeout(600)
def test_types_hold_in_strict_mode():
    check("mypy")


@pytest.mark.timeout(600)
def test_stubs_agree_with_the_compiled_modules():
    compiled = [name for name, path in modules("hangard_ext") if path.suffix == ".pyx"]
    allowed = ROOT / "tests" / "project" / "stubtest_allowlist.txt"
    check("mypy.stubtest", "--allowlist", str(allowed), "--ignore-unused-allowlist", *compiled)


def test_every_compiled_module_has_a_stub():
    missing = [
        name
        for name, path in modules("hangard_ext")
        if path.suffix == ".pyx" and not path.with_suffix(".pyi").exists()
    ]
    assert missing == []
