"""The folders are layers: a module imports only from lines above its own."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from project.sources import all_modules

# From the bottom up. What stands in one line does not know its neighbours.
LAYERS: list[tuple[str, ...]] = [
    ("hangard_ext",),
    ("hangard.errors",),
    ("hangard.limits",),
    ("hangard.config",),
    ("hangard.model",),
    ("hangard.encoding",),
    ("hangard.tree",),
    ("hangard.wire",),
    ("hangard.reading",),
    ("hangard.backends", "hangard.index", "hangard.db"),
    ("hangard.repository",),
    ("hangard.daemon",),
    ("hangard_client",),
    ("hangard.cli",),
]
WRITING = {"hangard.backends", "hangard.index", "hangard.db", "hangard.repository"}
# Lower lines that a higher one may nevertheless not use.
FORBIDDEN = {
    "hangard_client": WRITING | {"hangard.daemon"},
    "hangard.cli": WRITING | {"hangard.daemon"},
}
# `hangard serve` is the daemon's own face.
EXEMPT = {("hangard.cli.serve", "hangard.daemon")}


def part_of(module: str) -> str | None:
    """The name in LAYERS that a module belongs to."""
    for line in LAYERS:
        for part in line:
            if module == part or module.startswith(part + "."):
                return part
    return None


def rank(part: str) -> int:
    return next(number for number, line in enumerate(LAYERS) if part in line)


def imports(name: str, path: Path) -> set[str]:
    """Modules that a Python file imports anywhere, also inside functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: relative import on line {node.lineno}"
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def violations(name: str, imported: set[str]) -> list[str]:
    own = part_of(name)
    if own is None:
        return [f"{name} belongs to no layer"]
    result = []
    for target in sorted(imported):
        part = part_of(target)
        if part is None or part == own:
            continue
        upward = rank(part) >= rank(own)
        forbidden = part in FORBIDDEN.get(own, set()) and (name, part) not in EXEMPT
        if upward or forbidden:
            result.append(f"{name} imports {target}")
    return result


def test_every_module_imports_only_from_layers_below_its_own():
    found = []
    for name, path in all_modules():
        if path.suffix == ".py" and name != "hangard":
            found += violations(name, imports(name, path))
    assert found == []


def test_the_package_itself_imports_nothing():
    paths = dict(all_modules())
    assert imports("hangard", paths["hangard"]) == set()


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("hangard.model.schema", "hangard.encoding"),
        ("hangard.backends.numpy_segment", "hangard.index.runs"),
        ("hangard_client.repository", "hangard.repository"),
        ("hangard.cli.log", "hangard.daemon"),
        ("hangard_ext", "hangard.errors"),
        ("hangard.newcomer", "hangard.errors"),
    ],
)
def test_a_wrong_import_is_found(name, target):
    assert violations(name, {target})


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("hangard.cli.serve", "hangard.daemon"),
        ("hangard_client.repository", "hangard.reading.reader"),
        ("hangard.tree.build", "hangard.tree.store"),
        ("hangard.tree.build", "numpy"),
    ],
)
def test_a_right_import_is_accepted(name, target):
    assert violations(name, {target}) == []
