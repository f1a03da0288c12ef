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


def test_gc_tells_what_it_would_remove_and_removes_it(filled):
    filled("branch", "create", "side")
    np.save(filled.folder / "more.npy", ROWS[::-1] ^ 77)
    filled("import", "images", "more.npy", "--commit", "more", "--branch", "side")
    filled("branch", "delete", "side", "--force")
    assert filled.json("gc", "--grace-s", 0)["commits"] == 0
    assert "Would remove 1 commit" in filled("gc", "--dry-run", "--grace-s", 0, "--reflog-age-s", 0)
    done = filled.json("gc", "--grace-s", 0, "--reflog-age-s", 0, "--full")
    assert done["commits"] == 1
    assert done["freed_bytes"] > 100_000
    assert "Removed 0 commits" in filled("gc")
    assert "Everything is sound." in filled("verify")


def test_purge_asks_and_erases(filled):
    assert "--yes" in filled.run("purge", "images", 3, 4, code=2).stderr
    assert "COLUMN and KEYS" in filled.fails("purge", "images", code=2)
    assert "Would erase 2 samples" in filled("purge", "images", 3, 4, "--dry-run")
    printed = filled("purge", "images", 3, 4, "--yes")
    assert "  images 3\n  images 4\n" in printed
    assert "Erased 2 samples; 1 file" in printed
    assert "erased from all history" in filled.fails("cat", "images", 3)
    found = filled.json("verify")
    assert found["sound"]
    assert found["purged"] == 2
    assert "nothing-to-purge" in filled.fails("purge", "images", 99_999, "--yes")
    assert "no commit has a column" in filled.fails("purge", "nothing", 3, "--yes")
    np.save(filled.folder / "again.npy", ROWS[3:4])
    assert "was erased" in filled.fails("import", "images", "again.npy", "--commit", "again")
    assert "64 hexadecimal" in filled.fails("purge", "--undo", "--digest", "12")


async def test_an_async_client_erases_and_takes_back(filled):
    async with AsyncRepository(filled.folder, user_name="Ada", user_email="a@b") as repo:
        digests = await repo.digests_under("images", [5])
        uses = await repo.find_uses(digests)
        assert [(use.column, use.key) for use in uses] == [("images", 5)]
        assert (await repo.purge("images", [5], dry_run=True)).stored == 1
        assert (await repo.purge(digests=digests, progress=lambda *stage: None)).files == 1
        assert await repo.undo_purge(digests) == 1
        async with repo.checkout(write=True) as co:
            await co["images"].put(9_000, ROWS[5])
            await co.commit("again")
        assert (await repo.verify()).is_sound
        assert (await repo.gc(dry_run=True)).commits == 0


def test_repair_mends_while_the_daemon_is_away(filled):
    assert "Everything is sound." in filled("repair")
    flip(segment_of(filled))
    result = filled.run("repair", "--dry-run", code=1)
    assert "repair: forgets the damaged copy" in result.stdout
    result = filled.run("repair", code=1)
    assert "was written again; " in result.stdout
    assert "still wrong: missing-sample" in result.stdout
    assert "left: .hangard/repair.json" in result.stdout
    # Nothing differs from the commit, and what it had lost is there again.
    assert (
        "nothing to commit"
        in filled.run("import", "images", "rows.npy", "--commit", "again", code=1).stderr
    )
    assert "Everything is sound." in filled("verify")
    assert filled.json("repair")["left"] == 0


def test_locations_name_what_was_erased(filled):
    filled("purge", "images", 3, "--yes")
    assert "erased from all history" in filled("show", "--locations", "-n", 5)
    places = filled.json("show", "--locations", "-n", 5)["locations"]
    assert [place["key"] for place in places if place["purged"]] == [3]
    assert [place["key"] for place in places] == [0, 1, 2, 3, 4]
    assert all(place["file"] for place in places if not place["purged"])
