"""A command line to call, and repositories whose daemons end with the test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from hangard.cli.main import cli


@dataclass
class Shell:
    """Runs `hangard` in a folder: in this process, which spares its start, or in one of its own."""

    folder: Path
    environment: dict[str, str | None]

    def run(self, *arguments: object, code: int = 0) -> Result:
        """Run a command that must end with this exit code."""
        before = Path.cwd()
        os.chdir(self.folder)
        try:
            result = CliRunner().invoke(
                cli, [str(part) for part in arguments], env=self.environment, catch_exceptions=False
            )
        finally:
            os.chdir(before)
        assert result.exit_code == code, result.output
        return result

    def __call__(self, *arguments: object) -> str:
        """What a command prints that must succeed."""
        return self.run(*arguments).stdout

    def fails(self, *arguments: object, code: int = 1) -> str:
        """What a command complains that must fail."""
        result = self.run(*arguments, code=code)
        assert result.stdout == ""
        return result.stderr

    def json(self, *arguments: object) -> Any:
        return json.loads(self(*arguments, "--json"))

    def start(self, *command: object) -> subprocess.Popen[bytes]:
        """Start `hangard`, or another program with its name in front, as a process of its own."""
        environment = {name: value for name, value in self.environment.items() if value is not None}
        parts = [str(part) for part in command]
        return subprocess.Popen(
            parts if parts[:1] == ["bash"] else [*HANGARD, *parts],
            cwd=self.folder,
            env={k: v for k, v in os.environ.items() if k not in self.environment} | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )


HANGARD = [sys.executable, "-W", "error", "-m", "hangard.cli"]


@pytest.fixture
def shell(tmp_path):
    """A shell in an empty folder, whose user has a name."""
    folder = tmp_path / "work"
    folder.mkdir()
    return Shell(
        folder,
        {
            "GIT_AUTHOR_NAME": "Ada",
            "GIT_AUTHOR_EMAIL": "ada@example.org",
            "XDG_CONFIG_HOME": str(tmp_path / "config"),
            "COLUMNS": None,
        },
    )


@pytest.fixture
def repository(shell):
    """A shell in a new repository; its daemon is ended afterwards."""
    shell("init")
    folder = shell.folder
    yield shell
    shell("-C", folder, "stop")
