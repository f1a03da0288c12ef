"""What `hangard import` reads: folders of images and files of arrays."""

from __future__ import annotations

import base64
import zipfile
from itertools import chain

import h5py
import numpy as np
import pytest
from PIL import Image

from hangard.cli.importing import arrays, files, samples
from hangard.cli.importing.arrays import open_hdf5, open_npy, open_npz
from hangard.cli.importing.files import Files
from hangard.cli.importing.images import Images
from hangard.errors import InvalidRequest


def collect(source):
    """All keys and rows of a source; batches must agree with the kind that it announced."""
    keys, rows = [], []
    for batch_keys, batch in source.batches():
        assert len(batch_keys) == len(batch) > 0
        assert batch.shape[1:] == source.kind.shape
        assert batch.dtype == source.kind.dtype
        keys += list(batch_keys)
        rows.append(batch)
    assert len(keys) == source.total
    source.close()
    source.close()
    return keys, np.concatenate(rows)


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(samples, "BATCH_BYTES", 100)


def save(folder, name, pixels, mode=None):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(pixels))
    (image.convert(mode) if mode else image).save(path)
    return path


def test_keys_of_a_folder_are_relative_paths_with_suffix(tmp_path):
    pixels = np.arange(24, dtype=np.uint8).reshape(4, 6)
    for number, name in enumerate(["b.png", "a.png", "deep/er/c.png", ".hidden/d.png"]):
        save(tmp_path, name, pixels + number)
    (tmp_path / "notes.txt").write_text("no image")
    keys, rows = collect(Images(tmp_path))
    assert keys == ["a.png", "b.png", "deep/er/c.png"]
    np.testing.assert_array_equal(rows, [pixels + 1, pixels, pixels + 2])


def test_one_image_is_one_sample(tmp_path):
    path = save(tmp_path, "one.png", np.zeros((2, 3, 3), np.uint8))
    keys, rows = collect(Images(path))
    assert keys == ["one.png"]
    assert rows.shape == (1, 2, 3, 3)


def test_images_of_several_sizes_have_a_bound(tmp_path):
    shapes = [(4, 7, 3), (5, 2, 3), (1, 1, 3)] * 9
    for number, shape in enumerate(shapes):
        save(tmp_path, f"{number:02}.png", np.full(shape, number, np.uint8))
    images = Images(tmp_path)
    assert images.kind.variable_shape
    assert images.kind.shape == (5, 7, 3)
    found = [image for _, batch in images.batches() for image in batch]
    assert [image.shape for image in found] == shapes
    assert [int(image[0, 0, 0]) for image in found] == list(range(27))


def test_images_of_another_mode_are_refused_by_name(tmp_path):
    save(tmp_path, "a.png", np.zeros((4, 4), np.uint8))
    save(tmp_path, "b.png", np.zeros((4, 5, 3), np.uint8))
    with pytest.raises(InvalidRequest, match=r"b\.png.*\(4, 5, 3\).*a\.png.*one mode") as caught:
        Images(tmp_path)
    assert caught.value.code == "images-differ"


def test_files_are_texts_or_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "BATCH_BYTES", 8)
    contents = {"a.txt": "eins", "deep/b": "zwölf", "empty": "", ".hidden": "no"}
    for name, text in contents.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
    for kind in ("str", "bytes"):
        source = Files(tmp_path, kind)
        keys, found = zip(*source.batches(), strict=True)
        assert list(chain.from_iterable(keys)) == ["a.txt", "deep/b", "empty"]
        texts = ["eins", "zwölf", ""]
        wanted = texts if kind == "str" else [text.encode() for text in texts]
        assert list(chain.from_iterable(found)) == wanted
        assert len(keys) == 2
        source.close()
    (tmp_path / "noise").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidRequest, match=r"noise.*--kind bytes"):
        list(Files(tmp_path / "noise", "str").batches())
    (tmp_path / "nothing").mkdir()
    with pytest.raises(InvalidRequest) as caught:
        Files(tmp_path / "nothing", "str")
    assert caught.value.code == "no-rows"


def test_images_and_texts_are_imported_and_printed(repository):
    folder = repository.folder / "files"
    folder.mkdir()
    save(folder, "a.png", np.zeros((3, 5, 3), np.uint8))
    save(folder, "b.png", np.ones((4, 2, 3), np.uint8))
    (folder / "note").write_text("zwölf", "utf-8")
    repository("import", "images", folder)
    repository("import", "notes", folder / "note", "--kind", "str")
    done = repository.json("import", "raw", folder, "--kind", "bytes", "--commit", "all")
    assert done["samples"] == 3
    assert repository.json("cat", "images", "b.png")["shape"] == [4, 2, 3]
    assert repository("cat", "notes", "note") == "zwölf\n"
    assert repository.json("cat", "notes", "note")["data"] == "zwölf"
    data = repository.json("cat", "raw", "a.png")["data"]
    assert base64.b64decode(data) == (folder / "a.png").read_bytes()
    repository("cat", "raw", "a.png", "-o", "copy.png")
    assert (repository.folder / "copy.png").read_bytes() == (folder / "a.png").read_bytes()
    repository("cat", "notes", "note", "-o", "copy")
    assert (repository.folder / "copy").read_text("utf-8") == "zwölf"
    assert "not arrays" in repository.fails("cat", "notes", "note", "--npy")
    assert "variable" in str(repository.json("show")["columns"])
    repository.fails("import", "x", folder, "--kind", "str", "--all", code=2)


@pytest.mark.parametrize(
    ("mode", "shape", "dtype"),
    [
        ("1", (4, 6), bool),
        ("L", (4, 6), np.uint8),
        ("LA", (4, 6, 2), np.uint8),
        ("P", (4, 6, 3), np.uint8),
        ("RGB", (4, 6, 3), np.uint8),
        ("RGBA", (4, 6, 4), np.uint8),
        ("I;16", (4, 6), np.uint16),
    ],
)
def test_pixels_keep_their_mode_and_palettes_become_colours(tmp_path, mode, shape, dtype):
    save(tmp_path, "x.png", np.arange(24, dtype=np.uint8).reshape(4, 6), mode)
    _, rows = collect(Images(tmp_path))
    assert rows.shape[1:] == shape
    assert rows.dtype == dtype


def test_a_damaged_image_is_named(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no png at all")
    with pytest.raises(InvalidRequest, match=r"broken\.png"):
        collect(Images(tmp_path))


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(InvalidRequest, match="no image"):
        Images(tmp_path)


ROWS = np.arange(7 * 3 * 5, dtype=np.float32).reshape(7, 3, 5)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f4", ">f8", "|u1", "<c8", "|b1"])
def test_rows_of_an_npy_file_have_the_keys_0_to_n(tmp_path, order, dtype):
    expected = np.asarray(ROWS, dtype=dtype, order=order)
    np.save(tmp_path / "x.npy", expected)
    keys, rows = collect(open_npy(tmp_path / "x.npy"))
    assert keys == list(range(7))
    np.testing.assert_array_equal(rows, expected)


@pytest.mark.parametrize("save_npz", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_member_of_an_npz_file_is_streamed(tmp_path, save_npz, order):
    path = tmp_path / "x.npz"
    save_npz(path, train=np.asarray(ROWS, order=order), test=ROWS[:2] + 1)
    keys, rows = collect(open_npz(path, "train"))
    assert keys == list(range(7))
    np.testing.assert_array_equal(rows, ROWS)
    np.testing.assert_array_equal(collect(open_npz(path, "test"))[1], ROWS[:2] + 1)


def test_the_only_member_needs_no_name(tmp_path):
    np.savez(tmp_path / "x.npz", only=ROWS)
    np.testing.assert_array_equal(collect(open_npz(tmp_path / "x.npz", None))[1], ROWS)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["group/only"] = ROWS
    np.testing.assert_array_equal(collect(open_hdf5(tmp_path / "x.h5", None))[1], ROWS)


def test_a_dataset_of_an_hdf5_file_is_read_in_stretches(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("a/b", data=ROWS, chunks=(2, 3, 5), compression="gzip")
        file["c"] = ROWS + 1
    keys, rows = collect(open_hdf5(tmp_path / "x.h5", "/a/b"))
    assert keys == list(range(7))
    np.testing.assert_array_equal(rows, ROWS)


@pytest.mark.parametrize("suffix", ["npz", "h5"])
def test_several_members_need_a_choice(tmp_path, suffix):
    path = tmp_path / f"x.{suffix}"
    if suffix == "npz":
        np.savez(path, a=ROWS, b=ROWS)
    else:
        with h5py.File(path, "w") as file:
            file["a"], file["b"] = ROWS, ROWS
    open_file = open_npz if suffix == "npz" else open_hdf5
    with pytest.raises(InvalidRequest, match=r"--member: a, b") as caught:
        open_file(path, None)
    assert caught.value.code == "which-member"
    with pytest.raises(InvalidRequest, match=r"no member 'c'; it has a, b"):
        open_file(path, "c")


def test_what_has_no_rows_or_no_numbers_is_refused(tmp_path):
    for name, array, code in [
        ("scalar", np.float64(1.5), "no-rows"),
        ("empty", np.zeros((0, 4)), "no-rows"),
        ("text", np.array(["a", "b"]), "unsupported-dtype"),
        ("times", np.zeros(3, "M8[s]"), "unsupported-dtype"),
    ]:
        np.save(tmp_path / f"{name}.npy", array)
        np.savez(tmp_path / f"{name}.npz", x=array)
        for opened in (
            lambda name=name: open_npy(tmp_path / f"{name}.npy"),
            lambda name=name: open_npz(tmp_path / f"{name}.npz", None),
        ):
            with pytest.raises(InvalidRequest) as caught:
                opened()
            assert caught.value.code == code, name


def test_files_that_are_not_what_they_say_are_refused(tmp_path):
    for suffix, open_file in [
        ("npy", lambda path: open_npy(path)),
        ("npz", lambda path: open_npz(path, None)),
        ("h5", lambda path: open_hdf5(path, None)),
    ]:
        path = tmp_path / f"x.{suffix}"
        path.write_bytes(b"this is something else")
        with pytest.raises(InvalidRequest) as caught:
            open_file(path)
        assert caught.value.code == "damaged-import"


def test_a_member_that_ends_too_early_is_refused(tmp_path):
    np.save(tmp_path / "x.npy", ROWS)
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("x.npy", (tmp_path / "x.npy").read_bytes()[:-10])
    source = open_npz(tmp_path / "x.npz", None)
    with pytest.raises(InvalidRequest, match="ends too early"):
        list(source.batches())
    source.close()


def test_rows_without_bytes_are_read_too(tmp_path):
    np.savez(tmp_path / "x.npz", x=np.zeros((3, 0, 2)))
    source = arrays.open_npz(tmp_path / "x.npz", None)
    assert collect(source)[1].shape == (3, 0, 2)


def test_all_arrays_of_a_file_go_to_columns_of_their_own(repository):
    one, two = np.zeros((3, 2), np.uint8), np.ones((4, 5), np.float32)
    np.savez(repository.folder / "two.npz", one=one, two=two)
    with h5py.File(repository.folder / "two.h5", "w") as file:
        file["group/one"] = one
        file["two"] = two
    assert "--all" in repository.fails("import", "data", "two.npz")
    done = repository.json("import", "data", "two.npz", "--all", "--commit", "both")
    assert [(part["column"], part["samples"]) for part in done] == [
        ("data.one", 3),
        ("data.two", 4),
    ]
    assert len({part["commit"] for part in done}) == 1
    printed = repository("import", "more", "two.h5", "--all")
    assert "more.group.one" in printed
    assert "hangard commit" in printed
    shown = repository.json("show")
    assert [column["name"] for column in shown["columns"]] == ["data.one", "data.two"]


def test_all_is_for_files_of_several_arrays(repository):
    np.save(repository.folder / "rows.npy", np.zeros((2, 2)))
    np.savez(repository.folder / "empty.npz")
    assert "--all" in repository.fails("import", "x", "rows.npy", "--all", code=2)
    both = ("--all", "--member", "a")
    assert "either" in repository.fails("import", "x", "empty.npz", *both, code=2)
    assert "no array" in repository.fails("import", "x", "empty.npz", "--all")
