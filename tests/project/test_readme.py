"""What README says can be done, is done here."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from project.sources import ROOT

TEXT = (ROOT / "README.md").read_text()


def section(title: str) -> str:
    return TEXT.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def blocks(title: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", section(title), re.DOTALL)


@pytest.mark.parametrize("title", ["Try it", "Test it"])
def test_one_block_of_commands_needs_no_active_environment(title):
    (block,) = blocks(title, "sh")
    assert section(title).count("```") == 2
    assert "-m venv" in block
    assert "activate" not in block


def test_files_and_folders_that_are_named_exist():
    named = re.findall(r"`((?:hangard|ext|client|tests|bench)/[\w./]*)`", TEXT)
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.fixture
def shell(tmp_path) -> dict[str, str]:
    """An environment in which `hangard` and `python3` are those of this interpreter."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, command in {"hangard": "-m hangard.cli", "python3": ""}.items():
        (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {command} "$@"\n')
        (programs / name).chmod(0o755)
    return os.environ | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}


def run(command: list[str], folder: Path, environment: dict[str, str], text: str) -> str:
    result = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        input=text,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout
    return result.stdout


@pytest.mark.parametrize(
    ("position", "repository", "printed"),
    [(0, "faces", "1000 faces"), (1, "kinds", "(256, 256)"), (2, "history", "[['faces', 7]]")],
)
def test_the_tour_in_python_works(tmp_path, shell, position, repository, printed):
    code = blocks("A short tour", "python")[position]
    output = run([sys.executable, "-W", "error", "-"], tmp_path, shell, code)
    assert printed in output
    run(["hangard", "-C", repository, "stop"], tmp_path, shell, "")


def test_every_block_of_the_tour_is_run():
    assert len(blocks("A short tour", "python")) == 3


def test_the_tour_on_the_command_line_works(tmp_path, shell):
    (commands,) = blocks("A short tour", "sh")
    output = run(["bash", "-euxo", "pipefail"], tmp_path, shell, commands)
    assert "first images" in output


def test_the_tutorial_for_users_of_hangar_works(tmp_path, shell):
    code = "\n".join(blocks("Coming from Hangar", "python"))
    output = run([sys.executable, "-W", "error", "-"], tmp_path, shell, code)
    assert "labels" in output
    assert "no conflict any more" in output
    run(["hangard", "-C", "digits", "stop"], tmp_path, shell, "")
