"""Object records: one encoding each, permanent bytes, damage is noticed."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from hangard.encoding import objects
from hangard.errors import Corrupt, InvalidRequest, InvalidType
from hangard.model.commit import Author, ColumnEntry, Commit, Tag
from hangard.model.schema import Schema

GOLDEN = Path(__file__).parents[1] / "golden"

SCHEMA = Schema(
    dtype="<f4",
    shape=(28, 300),
    backend="00",
    backend_options=(
        ("codec", "zstd"),
        ("level", 5),
        ("ratio", 0.5),
        ("shuffle", True),
        ("strict", False),
        ("window", None),
    ),
    layout="nested",
    variable_shape=True,
)
TREE = {
    "faces": ColumnEntry(bytes([1]) * 32, bytes([2]) * 32),
    "labels.v2": ColumnEntry(bytes([3]) * 32, bytes([4]) * 32),
}
COMMIT = Commit(
    parents=(bytes([5]) * 32, bytes([6]) * 32),
    tree=bytes([7]) * 32,
    author=Author("Ada Löve", "ada@example.org"),
    message="first faces\n",
    time_ns=1_700_000_000_123_456_789,
    metadata=(("camera", "A"), ("lens", "")),
)
TAG = Tag(
    target=bytes([8]) * 32,
    name="release/1.0",
    tagger=Author("Ada Löve", "ada@example.org"),
    message="the first that is whole\n",
    time_ns=1_700_000_000_123_456_789,
)
KINDS = {
    "schema": (objects.encode_schema, objects.decode_schema, SCHEMA),
    "tree": (objects.encode_tree, objects.decode_tree, TREE),
    "commit": (objects.encode_commit, objects.decode_commit, COMMIT),
    "tag": (objects.encode_tag, objects.decode_tag, TAG),
}

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
DIGEST = st.binary(min_size=32, max_size=32)
OPTION = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), TEXT
)
SCHEMAS = st.builds(
    Schema,
    dtype=st.sampled_from(["|u1", "<f8", "<c16", "|b1"]),
    shape=st.lists(st.integers(0, 2**40), max_size=31).map(tuple),
    backend=st.sampled_from(["00", "01", "10", "31"]),
    backend_options=st.dictionaries(TEXT, OPTION).map(lambda d: tuple(sorted(d.items()))),
    kind=st.sampled_from(["ndarray", "str", "bytes"]),
    layout=st.sampled_from(["flat", "nested"]),
    variable_shape=st.booleans(),
)
TREES = st.dictionaries(TEXT, st.builds(ColumnEntry, DIGEST, DIGEST))
COMMITS = st.builds(
    Commit,
    st.lists(DIGEST, max_size=3).map(tuple),
    DIGEST,
    st.builds(Author, TEXT, TEXT),
    TEXT,
    st.integers(-(2**63), 2**63 - 1),
    st.dictionaries(TEXT, TEXT).map(lambda d: tuple(sorted(d.items()))),
)
TAGS = st.builds(
    Tag, DIGEST, TEXT, st.builds(Author, TEXT, TEXT), TEXT, st.integers(-(2**63), 2**63 - 1)
)
ANY = st.one_of(
    st.tuples(st.just("schema"), SCHEMAS),
    st.tuples(st.just("tree"), TREES),
    st.tuples(st.just("commit"), COMMITS),
    st.tuples(st.just("tag"), TAGS),
)


@pytest.mark.parametrize("kind", KINDS)
def test_permanent_bytes(kind):
    encode, decode, value = KINDS[kind]
    golden = bytes.fromhex((GOLDEN / f"object_{kind}.hex").read_text())
    assert encode(value).hex() == golden.hex()
    assert decode(golden) == value


@given(ANY)
def test_what_was_encoded_decodes_to_the_same_value(pair):
    kind, value = pair
    encode, decode, _ = KINDS[kind]
    record = encode(value)
    assert decode(record) == value
    assert encode(decode(record)) == record


@given(ANY, st.data())
def test_damage_is_corrupt_or_another_value_with_that_encoding(pair, data):
    kind, value = pair
    encode, decode, _ = KINDS[kind]
    record = bytearray(encode(value))
    position = data.draw(st.integers(0, len(record) - 1))
    record[position] ^= data.draw(st.integers(1, 255))
    try:
        decoded = decode(bytes(record))
    except Corrupt:
        return
    assert encode(decoded) == bytes(record) or "nan" in repr(decoded)


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_cut_anywhere_is_corrupt(kind):
    encode, decode, value = KINDS[kind]
    record = encode(value)
    for length in range(len(record)):
        with pytest.raises(Corrupt):
            decode(record[:length])
    with pytest.raises(Corrupt):
        decode(record + b"\0")


@pytest.mark.parametrize("kind", KINDS)
def test_a_newer_version_is_refused_by_its_name(kind):
    encode, decode, value = KINDS[kind]
    with pytest.raises(Corrupt) as caught:
        decode(b"\x02" + encode(value)[1:])
    assert caught.value.code == "newer-record"


def test_order_of_columns_and_options_does_not_change_the_bytes():
    assert objects.encode_tree(dict(reversed(TREE.items()))) == objects.encode_tree(TREE)
    turned = replace(SCHEMA, backend_options=SCHEMA.backend_options[::-1])
    assert objects.encode_schema(turned) == objects.encode_schema(SCHEMA)


def test_digests_are_blake3_in_derive_key_mode():
    for kind, digest, context in (
        (objects.KIND_SCHEMA, objects.schema_digest, "hangard schema v1"),
        (objects.KIND_TREE, objects.tree_digest, "hangard tree v1"),
        (objects.KIND_COMMIT, objects.commit_digest, "hangard commit v1"),
    ):
        expected = blake3(b"record", derive_key_context=context).digest()
        assert digest(b"record") == objects.object_digest(kind, b"record") == expected


def test_a_stored_object_of_another_kind_or_digest_is_corrupt():
    record = objects.encode_tree(TREE)
    digest = objects.tree_digest(record)
    assert objects.stored_record(b"t", digest, b"t" + record) == record
    with pytest.raises(Corrupt):
        objects.stored_record(b"c", digest, b"t" + record)
    with pytest.raises(Corrupt):
        objects.stored_record(b"t", digest, b"t" + record[:-1] + b"\xff")
    with pytest.raises(Corrupt):
        objects.stored_record(b"t", digest, b"")


def test_options_that_are_no_plain_values_are_refused():
    for value, error in (([1], InvalidType), (2**63, InvalidRequest), ("\ud800", InvalidRequest)):
        with pytest.raises(error):
            objects.encode_schema(replace(SCHEMA, backend_options=(("x", value),)))
    record = objects.encode_schema(replace(SCHEMA, backend_options=(("x", math.nan),)))
    assert math.isnan(objects.decode_schema(record).options["x"])
