from __future__ import annotations

import hangard_client
import numpy as np
import pytest
from PIL import Image

AUTHOR = {"user_name": "Ada", "user_email": "ada@example.org"}


@pytest.fixture
def filled(repository):
    """A repository with an image column, one of text, one of bytes and a nested one."""
    repo = hangard_client.open(repository.folder, **AUTHOR)
    with repo, repo.checkout("main", write=True) as co:
        images = co.add_ndarray_column("images", shape=(4, 5), dtype="u1")
        images.update({"cats/ada.png": np.full((4, 5), 7, "u1"), 3: np.full((4, 5), 9, "u1")})
        co.add_str_column("words")["hello"] = "grüße"
        co.add_bytes_column("raw")["blob"] = b"\0\1"
        parts = co.add_ndarray_column("parts", shape=(2,), dtype="f4", contains_subsamples=True)
        parts["a"] = {1: np.ones(2, "f4"), "b": np.zeros(2, "f4")}
        co.commit("all kinds")
    return repository


def commit_words(shell, words):
    repo = hangard_client.open(shell.folder, **AUTHOR)
    with repo, repo.checkout("main", write=True) as co:
        co.add_str_column("words").update(words)
        co.commit("words")


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))


def test_samples_become_files_called_after_their_keys(filled):
    out = filled.folder / "out"
    assert filled("export", "images", "-o", "out").startswith("Wrote 2 files,")
    assert files(out) == ["3.npy", "cats/ada.png.npy"]
    assert np.load(out / "3.npy").tolist() == np.full((4, 5), 9).tolist()
    filled("export", "images", "main", "-o", "pictures", "--png")
    pictures = filled.folder / "pictures"
    assert files(pictures) == ["3.png", "cats/ada.png"]
    assert np.asarray(Image.open(pictures / "cats" / "ada.png")).tolist() == [[7] * 5] * 4
    assert filled.json("export", "words", "-o", "words")["files"] == 1
    assert (filled.folder / "words" / "hello.txt").read_text() == "grüße"
    filled("export", "raw", "-o", "raw")
    assert (filled.folder / "raw" / "blob.bin").read_bytes() == b"\0\1"
    filled("export", "parts", "-o", "parts")
    assert files(filled.folder / "parts") == ["a/1.npy", "a/b.npy"]


def test_files_that_are_there_are_replaced_only_if_that_is_wanted(filled):
    filled("export", "images", "-o", "out")
    (filled.folder / "out" / "3.npy").write_bytes(b"mine")
    assert "[file-exists]" in filled.fails("export", "images", "-o", "out")
    assert (filled.folder / "out" / "3.npy").read_bytes() == b"mine"
    filled("export", "images", "-o", "out", "--overwrite")
    assert (filled.folder / "out" / "3.npy").read_bytes() != b"mine"


@pytest.mark.parametrize("key", ["../x", "/etc/x", "a/../../x", "a//b", ".", "a/", "k" * 252])
def test_a_key_that_would_leave_the_folder_is_refused_and_nothing_is_written(repository, key):
    commit_words(repository, {"fine": "x", key: "y"})
    assert "[key-is-no-path]" in repository.fails("export", "words", "-o", "out")
    assert not (repository.folder / "out").exists()


def test_a_link_that_leads_out_of_the_folder_is_not_followed(filled, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (filled.folder / "out").mkdir()
    (filled.folder / "out" / "cats").symlink_to(tmp_path / "elsewhere")
    assert "[key-is-no-path]" in filled.fails("export", "images", "-o", "out")
    assert files(tmp_path / "elsewhere") == []


def test_keys_that_would_share_a_file_are_refused(repository):
    commit_words(repository, {1: "x", "1": "y"})
    assert "[same-file]" in repository.fails("export", "words", "-o", "out")


def test_what_is_no_image_is_told(filled):
    assert "[no-image]" in filled.fails("export", "words", "-o", "out", "--png")
    assert "[unknown-column]" in filled.fails("export", "nothing", "-o", "out")
