"""File names inside a repository are permanent: specs name files by number only."""

import pytest

from hangard.model import directory


def test_permanent_names():
    assert directory.data_path(0, 26) == "segments/00/0000001a.h5"
    assert directory.data_path(1, 26) == "segments/01/0000001a.h5"
    assert directory.data_path(10, 26) == "segments/10/0000001a.npy"
    assert directory.data_path(20, 2**32 - 1) == "log/ffffffff.log"
    assert directory.rows_path("segments/10/0000001a.npy") == "segments/10/0000001a.npy.rows"
    assert directory.run_path(3) == "runs/00000003.run"
    assert directory.journal_path("ab12") == "sessions/ab12.0.journal"


def test_an_unknown_format_code_names_no_file():
    with pytest.raises(ValueError, match="40"):
        directory.data_path(40, 1)
