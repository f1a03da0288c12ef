"""`hangard verify` and what mends what it finds."""

from __future__ import annotations

import numpy as np
import pytest
from hangard_client import AsyncRepository

from hangard.model.directory import directory_of

ROWS = np.random.default_rng(1).integers(0, 9, (2_000, 20, 20), np.uint8)


@pytest.fixture
def filled(repository):
    """A repository with one commit: ROWS in column `images`, in a segment."""
    np.save(repository.folder / "rows.npy", ROWS)
    repository("import", "images", "rows.npy", "--commit", "first images")
    return repository


def segment_of(shell):
    (found,) = (
        file
        for file in (directory_of(shell.folder) / "segments").rglob("*")
        if file.suffix in (".h5", ".npy")
    )
    return found


def flip(file, part=0.5):
    with file.open("r+b") as opened:
        opened.seek(int(file.stat().st_size * part))
        byte = opened.read(1)[0]
        opened.seek(-1, 1)
        opened.write(bytes([byte ^ 16]))


def test_verify_tells_what_it_looked_at(filled):
    assert "Everything is sound." in filled("verify")
    assert "2,000 samples (781.2 KiB)" in filled("verify")
    found = filled.json("verify", "--quick")
    assert found["sound"]
    assert found["quick"]
    assert found["samples"] == 2_000
    assert found["findings"] == []


def test_verify_lists_all_that_is_wrong_and_ends_with_1(filled):
    flip(segment_of(filled))
    result = filled.run("verify", code=1)
    assert "damaged-sample" in result.stdout
    assert "repair: forgets the damaged copy" in result.stdout
    assert "finding" in result.stdout.splitlines()[-1]
    result = filled.run("verify", "--json", code=1)
    assert '"kind": "damaged-sample"' in result.stdout


async def test_an_async_client_verifies_beside_its_loop(filled):
    stages = []
    async with AsyncRepository(filled.folder) as repo:
        found = await repo.verify(progress=lambda *stage: stages.append(stage))
    assert found.is_sound
    assert found.samples == 2_000
    assert stages[-1] == ("samples", 2_000, 2_000)
