"""The reader of Hangar repositories, against one that Hangar made and against damage."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
import pytest
from hangard_client.hangar_import.hdf5_files import Hdf5Files
from hangard_client.hangar_import.lmdb_files import LmdbFile
from hangard_client.hangar_import.planning import Step, plan_commit
from hangard_client.hangar_import.records import (
    DamagedRecord,
    Place,
    Snapshot,
    parse_commit,
    parse_key,
    parse_parents,
    parse_place,
    parse_records,
    parse_schema,
)
from hangard_client.hangar_import.samples import SampleReader
from hangard_client.hangar_import.source import HangarSource, unpack
from reference import hangar

from hangard.errors import Busy, Corrupt, HangardError, InvalidRequest, NoRepository

DATA_SUFFIXES = (".lmdb", ".npy", ".mdb", ".hdf5")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hangar.unpack(tmp_path_factory.mktemp("hangar"))


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "copy"))


def content(source: HangarSource, digest: str) -> dict[str, Any]:
    """All samples of a commit, as the expected content has them."""
    result: dict[str, Any] = {}
    with contextlib.closing(SampleReader(source, verify=True)) as reader:
        for plan in plan_commit(Snapshot(), source.snapshot(digest), source.schema):
            samples = result[plan.name] = {}
            items = [(source.place(old), key, old) for key, old in plan.put]
            for keys, values, _ in reader.batches(plan.schema, items):
                for key, value in zip(keys, values, strict=True):
                    if isinstance(key, tuple):
                        inner = samples.setdefault(hangar.key_text(key[0]), {})
                        inner[hangar.key_text(key[1])] = hangar.summary(value)
                    else:
                        samples[hangar.key_text(key)] = hangar.summary(value)
    return result


def test_every_sample_of_every_commit_is_read(made):
    expected = hangar.expected()
    source = HangarSource(made)
    commits = source.order(lambda digest: False)
    assert {commit.digest for commit in commits} == set(expected["commits"])
    for digest, columns in expected["commits"].items():
        wanted = {name: column["samples"] for name, column in columns.items()}
        assert content(source, digest) == wanted
    source.close()


def test_commits_come_parents_first_with_all_that_is_said_of_them(made):
    expected = hangar.expected()
    source = HangarSource(made)
    assert source.branches == expected["branches"]
    assert source.head == "master"
    seen = set()
    for commit in source.order(lambda digest: False):
        assert seen.issuperset(commit.parents)
        seen.add(commit.digest)
        said = expected["log"]["specs"][commit.digest]
        assert list(commit.parents) == [p for p in expected["log"]["ancestors"][commit.digest] if p]
        assert (commit.message, commit.author.name) == (said["commit_message"], said["commit_user"])
        assert abs(commit.time_ns / 1e9 - said["commit_time"]) < 1e-6
    source.close()


def test_a_merge_is_planned_against_its_first_parent_only(made):
    source = HangarSource(made)
    merge = next(c for c in source.order(lambda digest: False) if len(c.parents) == 2)
    plans = plan_commit(
        source.snapshot(merge.parents[0]), source.snapshot(merge.digest), source.schema
    )
    assert {plan.name: (plan.step, len(plan.put)) for plan in plans} == {
        "captions": (Step.ADD, 2),
        "crops": (Step.ADD, 7),
        "photos": (Step.ADD, 2),
        "raw": (Step.ADD, 2),
    }
    source.close()


def test_the_lmdb_reader_finds_what_liblmdb_finds(tmp_path):
    rng = random.Random(5)
    records = {
        rng.randbytes(rng.randrange(1, 200)): rng.randbytes(rng.choice((0, 5, 300, 5000, 30000)))
        for _ in range(1500)
    }
    path = tmp_path / "some.lmdb"
    hangar.MAP_BYTES, before = 256 * 1024 * 1024, hangar.MAP_BYTES
    try:
        hangar.write_lmdb(path, records)
    finally:
        hangar.MAP_BYTES = before
    env = lmdb.open(str(path), subdir=False, readonly=True, lock=False, lib_version=0)
    with env, env.begin() as txn:
        wanted = list(txn.cursor())
    file = LmdbFile(path)
    assert list(file.items()) == wanted
    assert all(file.get(key) == value for key, value in records.items())
    assert all(file.get(key + b"x") in (None, records.get(key + b"x")) for key in records)
    assert file.get(b"") is None
    file.close()


def test_an_empty_lmdb_file_holds_nothing(tmp_path):
    hangar.write_lmdb(tmp_path / "none.lmdb", {})
    file = LmdbFile(tmp_path / "none.lmdb")
    assert (list(file.items()), file.get(b"a")) == ([], None)
    file.close()


def read_all(path: Path) -> None:
    source = HangarSource(path)
    try:
        for commit in source.order(lambda digest: False):
            content(source, commit.digest)
    finally:
        source.close()


@pytest.mark.parametrize("name", ["branch.lmdb", "ref.lmdb", "hash.lmdb"])
@pytest.mark.parametrize("kept", [0, 100, 4096, 9000, 0.25])
def test_a_cut_off_lmdb_file_is_named(copy, name, kept):
    path = copy / ".hangar" / name
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(int(size * kept) if kept < 1 else kept)
    with pytest.raises(Corrupt) as caught:
        read_all(copy)
    assert caught.value.code == "damaged-source"
    assert name in caught.value.message
    assert caught.value.details["file"] == str(path)


def code_of(call: Any, *arguments: Any) -> str | None:
    """The code of the error that a call ends with; None if it ends well."""
    try:
        call(*arguments)
    except HangardError as error:
        return error.code
    return None


@pytest.mark.parametrize("seed", range(8))
def test_damage_anywhere_is_an_error_or_no_matter(copy, seed):
    rng = random.Random(seed)
    paths = sorted(
        path
        for path in (copy / ".hangar").rglob("*")
        if path.is_file()
        and path.stat().st_size
        and path.suffix in (".lmdb", ".npy", ".mdb", ".hdf5")
    )
    path = rng.choice(paths)
    data = bytearray(path.read_bytes())
    for _ in range(rng.choice((1, 20, 400))):
        data[rng.randrange(len(data))] = rng.randrange(256)
    path.write_bytes(data)
    codes = {"damaged-source", "unsupported-source", "source-in-use"}
    assert code_of(read_all, copy) in {None, *codes}


@pytest.mark.parametrize(
    "name", ["data/10/0zci4nrh.npy", "data/00/xpl1ycmk.hdf5", "data/01/v4xxyjv7.hdf5"]
)
@pytest.mark.parametrize("damage", ["cut", "missing", "flipped"])
def test_a_damaged_file_of_samples_is_named(copy, name, damage):
    path = copy / ".hangar" / name
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size * 3 // 4)
    else:
        data = bytearray(path.read_bytes())
        start = len(data) // 20
        for offset in range(start, len(data), 97):
            data[offset] ^= 0x5A
        path.write_bytes(data)
    with pytest.raises(Corrupt) as caught:
        read_all(copy)
    assert caught.value.code == "damaged-source"
    assert path.name in caught.value.message


def test_what_is_no_repository_of_hangar_is_said_to_be_none(tmp_path):
    with pytest.raises(NoRepository, match=r"no repository of Hangar"):
        HangarSource(tmp_path)


def writer(path: Path, **fields: str) -> hangar.HangarWriter:
    made = hangar.HangarWriter(path, **fields)
    records = made.samples({"#1": np.arange(3, dtype="u1")})
    made.commit("master", {"s:a:f": made.schema((3,)), "f:a:#1": records["#1"]})
    return made


@pytest.mark.parametrize("version", ["0.4.0", "0.2.1", "1.0.0", "?"])
def test_another_version_of_hangar_is_refused(tmp_path, version):
    path = writer(tmp_path / "old", version=version).close()
    with pytest.raises(InvalidRequest) as caught:
        HangarSource(path)
    assert caught.value.code == "unsupported-source"


def test_a_repository_that_is_being_written_is_busy_unless_that_is_ignored(tmp_path):
    path = writer(tmp_path / "held", lock="3f2504e0-4f89").close()
    with pytest.raises(Busy) as caught:
        HangarSource(path)
    assert caught.value.code == "source-in-use"
    assert "--ignore-lock" in caught.value.message
    HangarSource(path, ignore_lock=True).close()


def test_a_commit_that_does_not_match_its_digest_is_damaged(tmp_path):
    made = writer(tmp_path / "changed")
    (digest,) = made.branches.values()
    other = made.commit("other", {"s:a:f": made.schema((3,))})
    ref = made.records["ref"]
    ref[f"{digest}:ref".encode()] = ref[f"{other}:ref".encode()]
    source = HangarSource(made.close())
    with pytest.raises(Corrupt, match="does not match its digest"):
        source.snapshot(digest)
    source.close()


def test_keys_are_ints_and_text_and_what_hangar_should_have_refused_stays_text():
    assert [parse_key(text) for text in (b"#5", b"5", b"#0", b"a.b-c")] == [5, "5", 0, "a.b-c"]
    assert parse_key(b"#True") == "#True"
    assert parse_key(b"#05") == "#05"
    assert parse_key(b"#9223372036854775807") == 2**63 - 1
    assert parse_key(b"#9223372036854775808") == "#9223372036854775808"


def test_places_are_read_in_every_format():
    checksum = "ff9a2f7a9b1e586c"
    assert parse_place(f"00:xpl1ycmk:{checksum}:0:78:8 8".encode()) == Place(
        "00", "xpl1ycmk", 0, 78, "", (8, 8), checksum
    )
    assert parse_place(f"01:xpl1ycmk:{checksum}:3:7:".encode()) == Place(
        "01", "xpl1ycmk", 3, 7, "", (), checksum
    )
    assert parse_place(f"10:0zci4nrh:{checksum}:9:64".encode()) == Place(
        "10", "0zci4nrh", 0, 9, "", (64,), checksum
    )
    assert parse_place(f"30:7oct2ub9:0124:{checksum}".encode()) == Place(
        "30", "7oct2ub9", key="0124", checksum=checksum
    )
    assert parse_place(b"50:1=6f4df87257bb") is None


@pytest.mark.parametrize(
    ("parse", "value"),
    [
        (parse_place, b"00:../../etc:ff9a2f7a9b1e586c:0:78:8 8"),
        (parse_place, b"10:0zci4nrh:ff9a2f7a9b1e586c:9:" + b"9 " * 40),
        (parse_place, b"10:0zci4nrh:ff9a2f7a9b1e586c:9:99999999 99999999"),
        (parse_place, b"77:a:b"),
        (parse_place, b"\xff"),
        (parse_parents, b"a=12 << b"),
        (parse_schema, b"{"),
        (parse_schema, b"{'column_type':'tensor'}"),
        (parse_schema, b"__import__('os')"),
        (parse_schema, b"(" * 5000),
        (lambda value: parse_records([value]), b"f:a:b:c 0=00"),
        (unpack, b"short"),
        (unpack, b"\x02\x01\x13\x08" + b"\xff" * 12),
    ],
)
def test_records_that_say_nothing_are_refused(parse, value):
    with pytest.raises(DamagedRecord):
        parse(value)


def test_a_file_that_ends_its_reader_is_named(tmp_path):
    files = Hdf5Files()
    with pytest.raises(Corrupt, match="Unable"):
        files.rows(tmp_path / "none.hdf5", 0, 0, 1, 0)
    assert files._child is not None
    files._child.process.kill()
    files._child.process.wait()
    with pytest.raises(Corrupt, match=r"ended the reader by SIGKILL"):
        files.rows(tmp_path / "none.hdf5", 0, 0, 1, 0)
    files.close()


def test_a_file_that_is_not_read_in_time_is_named(tmp_path):
    fifo = tmp_path / "never.hdf5"
    os.mkfifo(fifo)
    files = Hdf5Files(read_s_max=0.5)
    with pytest.raises(Corrupt, match="not read within"):
        files.rows(fifo, 0, 0, 1, 0)
    files.close()


def test_a_file_that_its_writer_left_marked_is_read(tmp_path):
    path = tmp_path / "marked.hdf5"
    code = (
        "import h5py, os, sys\n"
        "file = h5py.File(sys.argv[1], 'w', libver='latest')\n"
        "file.create_dataset('0', data=[[1, 2], [3, 4]], dtype='u1')\n"
        "file.swmr_mode = True\n"
        "file.flush()\n"
        "os._exit(0)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)
    files = Hdf5Files()
    assert files.rows(path, 0, 1, 1, 0).tolist() == [[3, 4]]
    files.close()


@pytest.mark.parametrize(
    ("field", "value"),
    [("backend_options", "{1: 2, 'a': 3}"), ("shape", "(1e999,)")],
    ids=["options-of-mixed-keys", "infinite-shape"],
)
def test_a_crafted_schema_is_refused_as_damaged(field, value):
    fields = {"column_type": "'ndarray'", "column_layout": "'flat'", "dtype": "'uint8'",
              "schema_type": "'fixed_shape'", "shape": "(3,)", "backend": "'00'",
              "backend_options": "{}", field: value}  # fmt: skip
    text = "{" + ",".join(f"{name!r}:{each}" for name, each in fields.items()) + "}"
    with pytest.raises(DamagedRecord):
        parse_schema(text.encode())


@pytest.mark.parametrize(("time", "message"), [("1e200", '"m"'), ("1", r'"\ud800"')])
def test_a_commit_of_no_possible_time_or_text_is_refused_as_damaged(time, message):
    spec = (
        f'{{"commit_time": {time}, "commit_user": "a", "commit_email": "b",'
        f' "commit_message": {message}}}'
    )
    with pytest.raises(DamagedRecord):
        parse_commit("a=" + "0" * 40, (), spec.encode())


def test_a_dimension_of_thousands_of_digits_is_refused_as_damaged():
    with pytest.raises(DamagedRecord):
        parse_place(b"10:abc:0123456789abcdef:1:" + b"9" * 5_000)
