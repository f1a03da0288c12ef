"""Columns with subsamples, of text and of bytes, from the command line."""

import json

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def clips(repository):
    """A repository whose nested column `clips` has the samples `a` and `b` of a folder."""
    for number, name in enumerate(("a/left.png", "a/right.png", "b/deep/x.png")):
        path = repository.folder / "clips" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 5), number, np.uint8)).save(path)
    done = repository.json("import", "clips", "clips", "--nested", "--commit", "clips")
    assert (done["samples"], done["created_column"]) == (3, True)
    return repository


def test_a_folder_of_folders_becomes_samples_with_subsamples(clips):
    (column,) = clips.json("column", "list")
    assert (column["layout"], column["samples"], column["subsamples"]) == ("nested", 2, 3)
    assert column["raw_bytes"] == 60
    assert "2 (3)" in clips("column")
    assert clips.json("cat", "clips", "b", "deep/x.png")["data"] == [[2] * 5] * 4
    places = clips.json("show", "--locations")["locations"]
    assert [place["key"] for place in places] == [
        ["a", "left.png"],
        ["a", "right.png"],
        ["b", "deep/x.png"],
    ]
    assert "clips a left.png" in clips("show", "--locations")
    again = clips.json("import", "clips", "clips")  # the column is nested already
    assert not again["created_column"]


def test_cat_wants_as_many_keys_as_the_column_has_parts(clips):
    clips("column", "create", "flat", "uint8")
    clips("commit", "-m", "flat")
    assert "left.png, right.png" in clips.fails("cat", "clips", "a", code=2)
    assert "no subsamples" in clips.fails("cat", "flat", "a", "b", code=2)
    assert "'c'" in clips.fails("cat", "clips", "c")
    assert "up" in clips.fails("cat", "clips", "a", "up")


def test_only_a_folder_of_folders_is_imported_into_a_nested_column(clips):
    np.save(clips.folder / "rows.npy", np.zeros((2, 4, 5), np.uint8))
    assert "lies in no folder" in clips.fails("import", "clips", "rows.npy")
    assert "lies in no folder" in clips.fails("import", "clips", "clips/a")
    clips("import", "flat", "clips/a")
    again = clips.json("import", "raw", "clips", "--kind", "bytes", "--nested")
    assert again["samples"] == 3
    assert "has no subsamples" in clips.fails("import", "flat", "clips", "--nested", code=2)


def test_texts_and_bytes_are_printed_as_they_are(repository):
    import hangard_client

    author = {"user_name": "A", "user_email": "a@example.org"}
    with (
        hangard_client.open(repository.folder, **author) as repo,
        repo.checkout("main", write=True) as co,
    ):
        co.add_str_column("texts")["de"] = "gr\u00fc\u00df"
        co.add_bytes_column("blobs", contains_subsamples=True)["s", 1] = b"\0\1"
        co.commit("texts")
    assert repository("cat", "texts", "de") == "gr\u00fc\u00df\n"
    assert json.loads(repository("cat", "texts", "de", "--json"))["data"] == "gr\u00fc\u00df"
    repository("cat", "blobs", "s", 1, "-o", "blob")
    assert (repository.folder / "blob").read_bytes() == b"\0\1"
    assert repository.json("cat", "blobs", "s", 1)["data"] == "AAE="
    assert "not arrays" in repository.fails("cat", "texts", "de", "--npy")
