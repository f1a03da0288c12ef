"""Where each file of a repository lies. Paths are relative to ``PATH/.hangard``, with ``/``.

Segment numbers are global over all formats, so a number names one file only.
"""

from __future__ import annotations

from pathlib import Path

DIRECTORY = ".hangard"
FORMAT = "format"
LOCK = "lock"
DAEMON = "daemon.json"
DB = "db"
LOG = "log"
SEGMENTS = "segments"
RUNS = "runs"
SESSIONS = "sessions"
READERS = "readers"
REPAIR_REPORT = f"{DIRECTORY}/repair.json"
_SEGMENT_FOLDERS = tuple(f"{SEGMENTS}/{code}" for code in ("00", "01", "10", "30", "31"))
FOLDERS = (DB, LOG, *_SEGMENT_FOLDERS, RUNS, SESSIONS, READERS)

FORMAT_HDF5 = 0
FORMAT_HDF5_FIXED = 1
FORMAT_NUMPY = 10
FORMAT_LOG = 20
FORMAT_STR = 30
FORMAT_BYTES = 31

_PATTERNS = {
    FORMAT_HDF5: f"{SEGMENTS}/00/%08x.h5",
    FORMAT_HDF5_FIXED: f"{SEGMENTS}/01/%08x.h5",
    FORMAT_NUMPY: f"{SEGMENTS}/10/%08x.npy",
    FORMAT_LOG: f"{LOG}/%08x.log",
    FORMAT_STR: f"{SEGMENTS}/30/%08x.pack",
    FORMAT_BYTES: f"{SEGMENTS}/31/%08x.pack",
}


def data_path(format_code: int, segment: int) -> str:
    """The data file that a spec with this format code and segment number points into.

    Errors: ValueError for an unknown format code.
    """
    try:
        return _PATTERNS[format_code] % segment
    except KeyError:
        raise ValueError(f"{format_code} is no format code of a data file") from None


def format_code_of(path: str) -> int:
    """The format code of a data file, by its path. Errors: ValueError for any other path."""
    folder = path.rpartition("/")[0]
    for code, pattern in _PATTERNS.items():
        if pattern.rpartition("/")[0] == folder:
            return code
    raise ValueError(f"{path} is no path of a data file")


def rows_path(data_file: str) -> str:
    """The file of (digest, spec) records beside a data file."""
    return f"{data_file}.rows"


def run_path(number: int) -> str:
    return f"{RUNS}/{number:08x}.run"


def journal_path(session_id: str, generation: int = 0) -> str:
    """A session's journal; a new generation begins when commits have consumed a large one."""
    return f"{SESSIONS}/{session_id}.{generation}.journal"


def directory_of(path: str | Path) -> Path:
    """``PATH/.hangard`` of a repository at ``path``."""
    return Path(path) / DIRECTORY
