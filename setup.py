"""Build of the compiled extensions; everything else stands in pyproject.toml.

HANGARD_EXT_DEBUG=1     bounds checks, assertions and line tracing, no optimisation
HANGARD_EXT_SANITIZE=1  AddressSanitizer (run Python with libasan preloaded)
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

from setuptools import Extension, setup

DEBUG = os.environ.get("HANGARD_EXT_DEBUG") == "1"
SANITIZE = os.environ.get("HANGARD_EXT_SANITIZE") == "1"
SOURCE = Path("ext/hangard_ext")


def blosc2_directory() -> Path:
    """The directory of the blosc2 wheel, found without importing it (an import starts threads)."""
    spec = find_spec("blosc2")
    if spec is None or spec.origin is None:
        raise SystemExit(
            "the blosc2 package brings the headers and library to build against; install it"
        )
    return Path(spec.origin).parent


def extension(name: str, *c_sources: str, blosc2: bool = False) -> Extension:
    """One module of hangard_ext, with the C files that belong to it."""
    compile_args = ["-std=gnu11", "-Wall", "-Wno-unused-function", "-fno-strict-aliasing"]
    compile_args += ["-O0", "-g", "-UNDEBUG"] if DEBUG else ["-O3", "-g0"]
    link_args: list[str] = []
    if SANITIZE:
        compile_args += ["-fsanitize=address", "-fno-omit-frame-pointer", "-g"]
        link_args += ["-fsanitize=address"]
    include_dirs = [str(SOURCE)]
    extra_objects: list[str] = []
    if blosc2:
        include_dirs.append(str(blosc2_directory() / "include"))
        extra_objects.append(str(blosc2_directory() / "lib" / "libblosc2.a"))
        # The archive's own symbols must not meet those of another Blosc2 in the process.
        link_args += ["-Wl,--exclude-libs,ALL", "-lpthread", "-ldl", "-lm"]
    result = Extension(
        f"hangard_ext.{name}",
        [str(SOURCE / f"{name}.pyx"), *(str(SOURCE / source) for source in c_sources)],
        include_dirs=include_dirs,
        extra_objects=extra_objects,
        extra_compile_args=compile_args,
        extra_link_args=link_args,
        depends=[str(header) for kind in ("*.h", "*.pxd") for header in SOURCE.glob(kind)],
        define_macros=[("CYTHON_TRACE", "1")] if DEBUG else [],
    )
    result.cython_directives = {
        "language_level": 3,
        "boundscheck": DEBUG,
        "wraparound": False,
        "initializedcheck": DEBUG,
        "cdivision": True,
        "embedsignature": True,
        "linetrace": DEBUG,
        "autotestdict": False,  # else each module carries a dict that no stub has
    }
    return result


EXTENSIONS = [
    extension("digest", "blake3.c", "crc32c.c"),
    extension("ragged", "blake3.c", "crc32c.c"),
    extension("recordspec"),
    extension(
        "codec",
        "blosc2_frame.c",
        "hdf5_filters.c",
        "row_reader.c",
        "ragged_rows.c",
        "crc32c.c",
        blosc2=True,
    ),
    extension("treekey"),
    extension("keyblock"),
    extension("pairkey"),
    extension("treenode"),
    extension("treewriter"),
    extension("treecache"),
    extension("treediff"),
    extension("table"),
    extension("runs", "crc32c.c"),
    extension("runwriter", "crc32c.c"),
    extension("runmerge", "crc32c.c"),
    extension("logrecord", "crc32c.c"),
]

setup(ext_modules=[module for module in EXTENSIONS if Path(module.sources[0]).exists()])
