"""The source distribution builds a wheel, and the wheel works away from the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from project.sources import ROOT, all_modules

EVERY_EXTENSION_LOADS = """
import pathlib, sys
import hangard, hangard_client, hangard_ext
for module in (hangard, hangard_client, hangard_ext):
    assert module.__file__.startswith(sys.argv[1]), module.__file__
for name in sys.argv[2:]:
    __import__(name)
"""


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    result = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=clean | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def copy_of_the_checkout(target: Path) -> Path:
    """The files a person wrote, without any build product."""
    target.mkdir()
    ignored = shutil.ignore_patterns("*.so", "__pycache__", "*.egg-info", "build")
    for name in ("hangard", "client", "ext"):
        shutil.copytree(ROOT / name, target / name, ignore=ignored)
    for generated in (target / "ext" / "hangard_ext").glob("*.pyx"):
        generated.with_suffix(".c").unlink(missing_ok=True)
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, target / name)
    return target


@pytest.fixture(scope="module")
def sdist(tmp_path_factory) -> Path:
    """The source distribution, unpacked."""
    place = tmp_path_factory.mktemp("sdist")
    source = copy_of_the_checkout(place / "source")
    run(sys.executable, "-m", "build", "--no-isolation", "--sdist", "-o", place, cwd=source)
    (archive,) = place.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(place / "unpacked", filter="data")
    (unpacked,) = (place / "unpacked").iterdir()
    return unpacked


def test_the_source_distribution_has_every_source(sdist):
    missing = [
        path.relative_to(ROOT).as_posix()
        for path in sorted((ROOT / "ext" / "hangard_ext").iterdir())
        if path.suffix in {".pyx", ".pxd", ".pyi", ".h", ".py", ".typed"}
        and not (sdist / path.relative_to(ROOT)).exists()
    ]
    missing += [
        path.relative_to(ROOT).as_posix()
        for _, path in all_modules()
        if not (sdist / path.relative_to(ROOT)).exists()
    ]
    assert missing == []


@pytest.mark.timeout(600)
def test_the_wheel_built_from_it_works_elsewhere(sdist, tmp_path):
    run(sys.executable, "-m", "build", "--no-isolation", "--wheel", "-o", tmp_path, cwd=sdist)
    (wheel,) = tmp_path.glob("*.whl")
    elsewhere = tmp_path / "elsewhere"
    install = ("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target")
    run(sys.executable, *install, elsewhere, wheel, cwd=tmp_path)
    compiled = [name for name, path in all_modules() if path.suffix == ".pyx"]
    run(
        sys.executable,
        "-c",
        EVERY_EXTENSION_LOADS,
        elsewhere,
        *compiled,
        cwd=tmp_path,
        PYTHONPATH=str(elsewhere),
    )
    assert not list(elsewhere.rglob("tests"))
    for package in ("hangard", "hangard_client", "hangard_ext"):
        assert (elsewhere / package / "py.typed").exists()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_editable_install_follows_the_checkout(tmp_path):
    source = copy_of_the_checkout(tmp_path / "source")
    run(sys.executable, "-m", "venv", tmp_path / "venv", cwd=tmp_path)
    python = tmp_path / "venv" / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", "--editable", source, cwd=tmp_path)
    (source / "hangard" / "newcomer.py").write_text('"""Added after the install."""\n')
    run(python, "-c", "import hangard.newcomer, hangard_client, hangard_ext", cwd=tmp_path)
