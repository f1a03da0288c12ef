"""Rules for the text of the repository itself."""

from __future__ import annotations

import ast
import re

from project.sources import ROOT, all_modules, text_files

FILE_LINES_MAX = 500
GRAB_BAGS = {"utils", "util", "helpers", "helper", "common", "misc"}
# A path that exists on one machine only; written so that this line does not match itself.
MACHINE_PATH = re.compile(r"/(?:home|root|Users|work|opt|mnt)/[\w.-]")
UNFINISHED = re.compile(r"\b(?:TO[D]O|FIX[M]E|XX[X]|NotImplemented[E]rror)\b")
UNTESTED = re.compile(r"\b(?:pytest\.(?:skip|xfail|importorskip)|mark\.(?:skip|skipif|xfail))\b")


def matches(pattern: re.Pattern[str], *, below: str = "") -> list[str]:
    found = []
    for path in text_files():
        name = path.relative_to(ROOT).as_posix()
        if not name.startswith(below) or path.name == "test_repository_text.py":
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if pattern.search(line):
                found.append(f"{name}:{number}: {line.strip()}")
    return found


def test_no_file_names_a_path_of_one_machine():
    assert matches(MACHINE_PATH) == []


def test_nothing_is_left_unfinished():
    assert matches(UNFINISHED) == []


def test_no_test_is_switched_off():
    assert matches(UNTESTED, below="tests/") == []


def test_no_module_is_a_grab_bag():
    names = {part for name, _ in all_modules() for part in name.split(".")}
    assert names & GRAB_BAGS == set()


def test_files_stay_short():
    long = {
        path.relative_to(ROOT).as_posix(): lines
        for path in text_files()
        if path.suffix in {".py", ".pyx", ".c", ".h"}
        and (lines := len(path.read_text().splitlines())) > FILE_LINES_MAX
    }
    assert long == {}


def test_every_module_says_what_it_is():
    silent = [
        name
        for name, path in all_modules()
        if path.suffix == ".py" and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert silent == []
