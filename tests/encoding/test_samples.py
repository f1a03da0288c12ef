"""Sample keys: permanent, and another one for each kind, dtype and shape."""

from pathlib import Path

from blake3 import blake3

from hangard.encoding.samples import sample_key

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
