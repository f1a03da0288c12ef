"""Changes to the user's configuration file, which keep its comments and its order."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

from hangard.config import check_name, dotted, load_user, user_file
from hangard.errors import InvalidRequest
from hangard.model.configuration import check_setting

_HEADER = re.compile(r"\s*\[\s*([^\[\]]+?)\s*\]\s*(#.*)?")


def set_user_config(values: Mapping[str, str | None], path: Path | None = None) -> dict[str, str]:
    """Make settings in the user's file, or (None) take them away; all that it holds then.

    Errors: InvalidRequest (``unknown-setting``, ``invalid-setting``; ``invalid-config`` for a file
    that has to be changed by hand), InvalidType, PermissionDenied, OSError.
    """
    file = path or user_file()
    wanted = {}
    for name, value in values.items():
        wanted[check_name(name)] = None if value is None else check_setting(name, value)[1]
    expected = load_user(file)
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    for name, setting in wanted.items():
        table, _, key = name.partition(".")
        text = _changed(text, table, key, setting)
        expected.pop(name, None)
        if setting is not None:
            expected[name] = setting
    try:
        found = dotted(tomllib.loads(text))
    except tomllib.TOMLDecodeError:
        found = {}
    if found != expected:
        raise InvalidRequest(
            f"{file} is written in a way that only its author can change; edit it",
            code="invalid-config",
        )
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f"{file.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(file)
    return expected


def _changed(text: str, table: str, key: str, value: str | None) -> str:
    """The text with one key of one table set, or without it."""
    lines = text.splitlines()
    begin = end = -1
    for number, line in enumerate(lines):
        header = _HEADER.fullmatch(line)
        if header is not None:
            if begin >= 0:
                break
            if header[1] == table:
                begin = number
        if begin >= 0:
            end = number + 1
    wanted = None if value is None else f"{key} = {_quoted(value)}"
    if begin < 0:
        if wanted is not None:
            lines += ([""] if lines else []) + [f"[{table}]", wanted]
        return "".join(f"{each}\n" for each in lines)
    given = re.compile(rf"\s*{re.escape(key)}\s*=")
    body = [each for each in lines[begin + 1 : end] if not given.match(each)]
    if wanted is not None:
        while body and not body[-1].strip():
            body.pop()
        body.append(wanted)
        if end < len(lines):
            body.append("")
    return "".join(f"{each}\n" for each in [*lines[: begin + 1], *body, *lines[end:]])


def _quoted(value: str) -> str:
    """A basic string of TOML; settings are printable."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
