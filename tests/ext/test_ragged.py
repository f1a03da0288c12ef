"""Ragged rows in C against slow twins: digests by shape, checksums, selection, reading."""

from __future__ import annotations

import blake3
import numpy as np
import pytest
from hangard_ext.codec import compress_rows, filter_rows_into, read_many, read_ragged
from hangard_ext.digest import crc32c
from hangard_ext.ragged import crc32c_ragged, digest_shaped, take_ragged
from hangard_ext.recordspec import (
    CODEC_BLOSC2,
    CODEC_GZIP,
    CODEC_LZF,
    CODEC_RAW,
    FLAG_RAGGED,
    SHUFFLE_SHIFT,
    pack_many,
)
from hypothesis import given
from hypothesis import strategies as st

CONTEXT = "hangard test v1"


def packed(rows: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    ends = np.cumsum([len(row) for row in rows], dtype=np.uint64).reshape(len(rows))
    return np.frombuffer(b"".join(rows), np.uint8), ends


def digest_of(head: bytes, shape: list[int], row: bytes) -> bytes:
    """The slow twin: the key is derived from head, dimensions and sizes."""
    record = head + bytes((len(shape),)) + b"".join(n.to_bytes(8, "little") for n in shape)
    key = blake3.blake3(record, derive_key_context=CONTEXT).digest()
    return blake3.blake3(row, key=key).digest()


@given(
    st.integers(0, 3).flatmap(
        lambda d: st.lists(
            st.tuples(
                st.lists(st.integers(0, 2**40), min_size=d, max_size=d), st.binary(max_size=40)
            ),
            max_size=12,
        )
    ),
    st.binary(max_size=8),
)
def test_each_row_is_hashed_under_the_key_of_its_shape(rows, head):
    d = len(rows[0][0]) if rows else 1
    data, ends = packed([row for _, row in rows])
    shapes = np.array([shape for shape, _ in rows], np.uint64).reshape(len(rows), d)
    out = np.empty((len(rows), 32), np.uint8)
    digest_shaped(CONTEXT, head, shapes, data, ends, out)
    assert [one.tobytes() for one in out] == [digest_of(head, shape, row) for shape, row in rows]


@given(st.lists(st.binary(max_size=30), max_size=12), st.data())
def test_rows_are_summed_and_taken_one_by_one(rows, data):
    blob, ends = packed(rows)
    assert crc32c_ragged(blob, ends).tolist() == [crc32c(row) for row in rows]
    positions = data.draw(st.lists(st.integers(0, len(rows) - 1))) if rows else []
    taken, taken_ends = take_ragged(blob, ends, np.array(positions, np.int64))
    wanted, wanted_ends = packed([rows[i] for i in positions])
    assert taken.tobytes() == wanted.tobytes()
    assert taken_ends.tolist() == wanted_ends.tolist()


def test_ends_and_positions_that_do_not_fit_are_refused():
    data, ends = packed([b"abc", b"de"])
    with pytest.raises(ValueError, match="before it begins"):
        crc32c_ragged(data, ends[::-1].copy())
    with pytest.raises(ValueError, match="last row"):
        crc32c_ragged(data[:4], ends)
    with pytest.raises(ValueError, match="position 2 of 2"):
        take_ragged(data, ends, np.array([2], np.int64))
    out = np.empty((2, 32), np.uint8)
    with pytest.raises(ValueError, match="2 rows, 1 shapes"):
        digest_shaped(CONTEXT, b"", np.zeros((1, 1), np.uint64), data, ends, out)
    with pytest.raises(ValueError, match="dimensions"):
        digest_shaped(CONTEXT, b"", np.zeros((2, 65), np.uint64), data, ends, out)


def stored(chunk: bytes, codec: int) -> tuple[bytes, int]:
    """A chunk as it is stored, and its spec's flags."""
    if codec == CODEC_RAW:
        return chunk, FLAG_RAGGED
    if codec == CODEC_BLOSC2:
        frame = compress_rows(chunk, chunk_bytes=len(chunk), typesize=2, block_bytes=64)
        assert frame is not None
        return frame, FLAG_RAGGED
    out = bytearray(len(chunk))
    length = filter_rows_into(
        chunk,
        out,
        chunk_bytes=len(chunk),
        shuffled_item_bytes=2,
        codec="gzip" if codec == CODEC_GZIP else "lzf",
        level=5,
    )
    assert length
    return bytes(out[:length]), FLAG_RAGGED | 1 << SHUFFLE_SHIFT


def file_of(
    sizes: list[int], codec: int, seed: int = 0
) -> tuple[bytes, np.ndarray, np.ndarray, list[bytes]]:
    """Rows of items of two bytes in one chunk of a file: the file, specs, ends, rows."""
    random = np.random.default_rng(seed)
    rows = [random.integers(0, 3, size, np.uint8).repeat(2).tobytes() for size in sizes]
    chunk, flags = stored(b"".join(rows) + bytes(2048), codec)
    file = b"in front" + chunk + b"behind"
    ends = np.cumsum([len(row) for row in rows], dtype=np.uint64)
    starts = np.concatenate([[0], ends[:-1]]).astype(np.uint64)
    crcs = np.array([crc32c(row) for row in rows], np.uint32)
    specs = pack_many(
        0, flags, codec, 1, np.full(len(rows), 8, np.uint64), len(chunk), starts, crcs
    )
    return file, specs, ends, rows


CODECS = (CODEC_RAW, CODEC_BLOSC2, CODEC_GZIP, CODEC_LZF)


@pytest.mark.parametrize("codec", CODECS)
@given(sizes=st.lists(st.integers(0, 200), min_size=1, max_size=20), data=st.data())
def test_rows_come_back_in_any_order(codec, sizes, data):
    file, specs, ends, rows = file_of(sizes, codec)
    order = data.draw(st.permutations(range(len(rows))))
    wanted = [rows[i] for i in order]
    out_ends = np.cumsum([len(row) for row in wanted], dtype=np.uint64)
    out = np.zeros(int(out_ends[-1]), np.uint8)
    assert read_ragged(file, np.ascontiguousarray(specs[list(order)]), out_ends, out) == -1
    assert out.tobytes() == b"".join(wanted)
    some = np.flatnonzero(np.diff(ends, prepend=np.uint64(0)) == ends[0])
    equal = np.zeros((len(specs), int(ends[0])), np.uint8)
    assert read_many(file, specs, int(ends[0]), equal, some) == -1
    assert [equal[i].tobytes() for i in some] == [rows[i] for i in some]


@pytest.mark.parametrize("codec", CODECS)
def test_damage_is_never_taken_for_a_row(codec):
    file, specs, ends, rows = file_of([30, 0, 100, 7, 51], codec)
    random = np.random.default_rng(codec)
    for _ in range(400):
        damaged, changed = bytearray(file), specs.copy()
        if random.integers(2):
            damaged[random.integers(len(file))] ^= 1 << random.integers(8)
        else:
            changed[random.integers(len(specs)), random.integers(1, 24)] ^= 1 << random.integers(8)
        length = random.integers(len(file)) if random.integers(4) == 0 else len(file)
        out = np.zeros(int(ends[-1]), np.uint8)
        bad = read_ragged(bytes(damaged[:length]), changed, ends, out)
        good = len(rows) if bad < 0 else bad
        assert out[: int(ends[good - 1]) if good else 0].tobytes() == b"".join(rows[:good])


def test_calls_that_do_not_fit_are_refused():
    file, specs, ends, _ = file_of([3, 4], CODEC_RAW)
    out = np.zeros(int(ends[-1]), np.uint8)
    with pytest.raises(ValueError, match="the output at"):
        read_ragged(file, specs, ends, out[:-1])
    with pytest.raises(ValueError, match="before it begins"):
        read_ragged(file, specs, ends[::-1].copy(), out)
    with pytest.raises(ValueError, match="positions beyond"):
        read_ragged(file, specs, ends, out, np.array([2]))
    with pytest.raises(ValueError, match="1 ends"):
        read_ragged(file, specs, ends[:1], out)
    assert read_ragged(file, specs, ends, out, np.array([], np.int64)) == -1
