from __future__ import annotations

import errno

import lmdb
import pytest

from hangard.db.full_disk import FREE_BYTES_MIN, as_no_space
from hangard.errors import NoSpace


def test_what_tells_of_a_full_disk_becomes_no_space() -> None:
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        found = as_no_space(OSError(number, "full"), lambda: 1 << 40)
        assert found is not None
        assert found.code == "disk-full"
    full = as_no_space(lmdb.MapFullError("MDB_MAP_FULL"), lambda: 1 << 40)
    assert full is not None
    assert full.code == "map-full"
    error = NoSpace("full")
    assert as_no_space(error, lambda: 0) is error


@pytest.mark.parametrize(("free_bytes", "is_full"), [(FREE_BYTES_MIN - 1, True), (1 << 30, False)])
def test_an_input_output_error_is_judged_by_the_free_space(free_bytes: int, is_full: bool) -> None:
    found = as_no_space(OSError(errno.EIO, "Input/output error"), lambda: free_bytes)
    assert (found is not None) is is_full


def test_other_errors_are_left_alone() -> None:
    def unknown() -> int:
        raise OSError(errno.ENOENT, "gone")

    assert as_no_space(ValueError("x"), lambda: 0) is None
    assert as_no_space(OSError(errno.EACCES, "denied"), lambda: 0) is None
    assert as_no_space(OSError(errno.EIO, "Input/output error"), unknown) is None
