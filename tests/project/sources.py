"""Where the project's own files are, for the tests that read them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

PACKAGES = {
    "hangard_ext": ROOT / "ext" / "hangard_ext",
    "hangard": ROOT / "hangard",
    "hangard_client": ROOT / "client" / "hangard_client",
}


def modules(package: str) -> Iterator[tuple[str, Path]]:
    """(dotted name, file) of each Python and Cython module of a package, the package included."""
    directory = PACKAGES[package]
    for path in sorted([*directory.rglob("*.py"), *directory.rglob("*.pyx")]):
        parts = path.relative_to(directory).with_suffix("").parts
        if parts[-1] == "__init__":
            parts = parts[:-1]
        yield ".".join((package, *parts)), path


def all_modules() -> list[tuple[str, Path]]:
    """The modules of all three packages."""
    return [found for package in PACKAGES for found in modules(package)]


def text_files() -> list[Path]:
    """Every file that a person wrote: no build products, no environments."""
    tops = [ROOT / name for name in ("hangard", "client", "ext", "bench", "tests", ".ci", "docs")]
    found = [path for path in ROOT.iterdir() if path.is_file()]
    for top in tops:
        found += [path for path in top.rglob("*") if path.is_file()]
    written = {".py", ".pyx", ".pxd", ".pyi", ".h", ".md", ".toml", ".in", ".hex", ".json", ""}
    return sorted(
        path
        for path in found
        if (path.suffix in written or is_own_c(path))
        and "__pycache__" not in path.parts
        and path.name != ".git"
    )


def is_own_c(path: Path) -> bool:
    """Whether a C file was written by a person; Cython's lie beside the source of that name."""
    return path.suffix == ".c" and not path.with_suffix(".pyx").exists()
