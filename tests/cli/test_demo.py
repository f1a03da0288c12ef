"""`hangard demo`, whole: four writers at once, a reader that compares, a second run."""

from __future__ import annotations

import json
import tempfile

import numpy as np
import pytest

from hangard.cli.demo.source import CROP_PIXELS, cut, load_columns


def test_crops_are_squares_of_the_photograph():
    image = np.random.default_rng(0).integers(0, 255, (100, 130, 3), dtype=np.uint8)
    crops = cut(image)
    assert len({(top, left) for top, left, _ in crops}) == len(crops) == 3 * 5
    for top, left, crop in crops:
        assert crop.shape == (CROP_PIXELS, CROP_PIXELS, 3)
        np.testing.assert_array_equal(crop[0, 0], image[top, left])


def test_shares_of_the_writers_are_all_there_is_and_do_not_overlap():
    for column in load_columns():
        names = [name for part in range(4) for name in column.part(part, 4).names]
        assert names == column.names
        assert len(set(names)) == len(column.rows)


@pytest.mark.timeout(300)
def test_a_demo_writes_reads_back_and_goes_on_with_its_history(shell):
    first = json.loads(shell("demo", "--keep", "kept", "--json"))
    assert first["run"] == 1
    assert first["commits"] == 16
    assert first["history"] == 17
    assert first["samples"] == first["read_samples"] == 5296
    assert first["sample_bytes"] == first["read_bytes"]
    # Every label is one of ten digits, and equal samples are stored once.
    assert first["stored_samples"] == 1797 + 10 + 1702
    assert first["disk_bytes"] > 0
    second = shell("demo", "--keep", "kept")
    assert "Run 2" in second
    assert "writer 4: " in second
    assert "10,592, all equal" in second
    (newest, *_, oldest) = shell.json("-C", "kept", "log")
    assert newest["metadata"]["demo-run"] == "2"
    assert oldest["message"] == "columns of the demo"
    assert len(shell.json("-C", "kept", "log")) == 33
    assert shell.json("-C", "kept", "cat", "digits", "run-2/digit-0000")["shape"] == [8, 8]
    assert "not running" in shell("-C", "kept", "status")


@pytest.mark.timeout(300)
def test_a_demo_without_a_place_leaves_nothing(shell, tmp_path):
    place = tmp_path / "temporary"
    place.mkdir()
    with tempfile.TemporaryDirectory() as sockets:
        # A socket's path must be short, that of a test's folder is not.
        shell.environment |= {"TMPDIR": str(place), "XDG_RUNTIME_DIR": sockets}
        output, complaints = shell.start("demo").communicate()
    assert b"all equal" in output
    assert complaints == b""
    assert list(place.glob("hangard-demo-*")) == []
