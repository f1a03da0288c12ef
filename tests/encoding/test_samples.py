"""Sample keys: permanent, and another one for each kind, dtype and shape."""

from pathlib import Path

import numpy as np
from blake3 import blake3
from hangard_ext.digest import digest_keyed

from hangard.encoding.samples import digest_rows, ragged_key, sample_key
from hangard.model.ragged import pack_rows
from hangard.model.schema import make_schema

GOLDEN = Path(__file__).parents[1] / "golden" / "sample_key.hex"


def test_permanent_bytes():
    assert sample_key("ndarray", "|u1", (28, 28)).hex() == GOLDEN.read_text().strip()


def test_the_key_is_derived_from_the_documented_record():
    record = b"\0" + b"\x03<f4" + b"\x02" + (3).to_bytes(8, "little") + (2).to_bytes(8, "little")
    expected = blake3(record, derive_key_context="hangard sample v1").digest()
    assert sample_key("ndarray", "<f4", (3, 2)) == expected


def test_kind_dtype_and_shape_all_matter():
    keys = {
        sample_key(kind, dtype, shape)
        for kind in ("ndarray", "str", "bytes")
        for dtype in ("|u1", "|i1", "<f8")
        for shape in ((), (1,), (6,), (2, 3), (3, 2), (6, 1))
    }
    assert len(keys) == 3 * 3 * 6


def test_permanent_bytes_of_samples_of_variable_shape_and_of_text():
    assert [
        ragged_key("ndarray", "|u1", (28, 28)).hex(),
        ragged_key("str", "|u1", (5,)).hex(),
        ragged_key("bytes", "|u1", (5,)).hex(),
    ] == (GOLDEN.parent / "ragged_keys.hex").read_text().split()


def test_a_batch_is_hashed_as_its_samples_are_one_by_one():
    arrays = [np.arange(n, dtype="<f4").reshape(-1, 2) for n in (6, 6, 0, 2, 6)]
    schema = make_schema(dtype="f4", shape=(9, 2), backend="00", variable_shape=True)
    rows = pack_rows(schema, arrays, [array.shape for array in arrays])
    found = [digest.tobytes() for digest in digest_rows(schema, rows, len(arrays))]
    assert found == [
        digest_keyed(ragged_key("ndarray", "<f4", array.shape), array) for array in arrays
    ]
    assert found[0] != digest_keyed(sample_key("ndarray", "<f4", (3, 2)), arrays[0])
    texts = [b"", b"one", "zwölf".encode(), b"one"]
    for kind, backend in (("str", "30"), ("bytes", "31")):
        schema = make_schema(kind=kind, backend=backend)
        rows = pack_rows(schema, texts, [(len(text),) for text in texts])
        found = [digest.tobytes() for digest in digest_rows(schema, rows, len(texts))]
        assert found == [digest_keyed(ragged_key(kind, "|u1", ()), text) for text in texts]
