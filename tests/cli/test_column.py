"""`hangard column`: create, list, remove."""

import pytest


def described(**fields):
    return {
        "samples": 0,
        "subsamples": None,
        "kind": "ndarray",
        "variable_shape": False,
        "layout": "flat",
        "branch": "main",
        "commit": None,
        **fields,
    }


def test_a_column_is_created_with_its_backend(repository):
    created = repository.json(
        "column", "create", "faces", "UINT8", 28, 28, "--backend", "hdf5",
        "--option", "complib=gzip", "--option", "complevel=9", "--option", "fletcher32=true",
    )  # fmt: skip
    assert created == described(
        name="faces",
        dtype="uint8",
        shape=[28, 28],
        backend="00",
        backend_options={"complib": "gzip", "complevel": 9, "shuffle": True, "fletcher32": True},
        sample_bytes=784,
        raw_bytes=0,
    )
    repository("commit", "-m", "a column")
    (listed,) = repository.json("column", "list")
    assert listed == {k: v for k, v in created.items() if k not in ("branch", "commit")}
    assert "00 hdf5" in repository("column")


def test_columns_of_every_kind(repository):
    told = repository("column", "create", "words", "--str")
    assert told == "Staged column 'words' of str, backend 30 str.\n"
    repository("column", "create", "blobs", "BYTES", "--contains-subsamples")
    repository("column", "create", "ragged", "float32", 9, 5, "--variable-shape")
    repository("column", "create", "numbers", "int64", "--commit", "all at once")
    columns = {column["name"]: column for column in repository.json("column", "list")}
    assert columns["words"]["kind"] == "str"
    assert (columns["blobs"]["kind"], columns["blobs"]["layout"]) == ("bytes", "nested")
    assert (columns["ragged"]["shape"], columns["ragged"]["variable_shape"]) == ([9, 5], True)
    assert columns["ragged"]["raw_bytes"] is None
    assert (columns["numbers"]["shape"], columns["numbers"]["backend"]) == ([], "01")
    assert "up to (9, 5)" in repository("column", "list")


def test_a_column_is_removed(repository):
    repository("column", "create", "a", "uint8", 4, "--commit", "made")
    assert repository("column", "remove", "a") == "Staged the removal of column 'a'.\n"
    repository("commit", "-m", "gone")
    assert repository.json("column", "list") == []
    assert [column["name"] for column in repository.json("column", "list", "main~1")] == ["a"]
    assert "no column 'a'" in repository.fails("column", "remove", "a")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["a"], 2, "give DTYPE and SHAPE"),
        (["a", "uint8", 4, "--str"], 2, "neither DTYPE nor SHAPE"),
        (["a", "uint9", 4], 1, "not a numpy dtype"),
        (["a", "uint8", 4, "--backend", "zarr"], 1, "there are 00 (hdf5), 01"),
        (["a", "uint8", 4, "--backend", "01", "--variable-shape"], 1, "use 00 (hdf5), 10"),
        (["a", "uint8", 4, "--backend", "00", "--option", "complevel=12"], 1, "it may be 0, 1"),
        (["a", "uint8", 4, "--option", "complevel"], 2, "write NAME=VALUE"),
        (["a b", "uint8", 4], 1, "column name 'a b'"),
        (["a", "--bytes", "--backend", "00"], 1, "use 31 (bytes)"),
    ],
)
def test_what_is_wrong_is_said(repository, arguments, code, said):
    assert said in repository.fails("column", "create", *arguments, code=code)
    assert repository.json("column", "list") == []


def test_a_column_that_exists_is_not_made_again(repository):
    repository("column", "create", "a", "uint8", 4)
    assert "exists" in repository.fails("column", "create", "a", "uint8", 4)
