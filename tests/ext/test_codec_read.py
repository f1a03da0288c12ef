"""Rows out of a file by their specs: every order, every flavour, every damage."""

import threading

import numpy as np
import pytest
from ext.chunks import ROW_BYTES, ROWS, frame_of, rows_of
from hangard_ext import codec, digest, recordspec
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import codec as twin


class Written:
    """A file with a raw chunk, compressed chunks and plain rows, and the specs of all its rows."""

    def __init__(self) -> None:
        self.rows = np.concatenate([rows_of(seed) for seed in range(4)])
        self.rows[ROWS : 2 * ROWS] = 5
        parts, specs = [b"head of the file"], []
        for place in range(0, len(self.rows), ROWS):
            rows = self.rows[place : place + ROWS]
            crcs = np.empty(ROWS, np.uint32)
            digest.crc32c_many(rows, ROW_BYTES, crcs)
            frame = rows.tobytes() if place == 0 else frame_of(rows)
            offset = sum(len(part) for part in parts)
            flags, name = (1, 0) if place == 0 else (0, 1)
            specs.append(
                recordspec.pack_many(0, flags, name, 7, offset, len(frame), np.arange(ROWS), crcs)
            )
            parts += [frame, b"\0" * 5]
        offset = sum(len(part) for part in parts)
        offsets = offset + np.arange(ROWS) * ROW_BYTES
        specs.append(recordspec.pack_many(10, 0, 0, 7, offsets, ROW_BYTES, 0, crcs))
        self.rows = np.concatenate([self.rows, rows])
        self.file = b"".join([*parts, rows.tobytes()])
        self.specs = np.concatenate(specs)


WRITTEN = Written()
N = len(WRITTEN.specs)


@given(st.lists(st.integers(0, N - 1), max_size=60))
def test_rows_come_in_the_order_of_their_specs(wanted):
    chosen = np.array(wanted, dtype=int)
    specs = WRITTEN.specs[chosen]
    out = np.empty((len(wanted), ROW_BYTES), np.uint8)
    assert codec.read_many(WRITTEN.file, specs, ROW_BYTES, out) == -1
    assert np.array_equal(out, WRITTEN.rows[chosen])
    assert twin.read_many(WRITTEN.file, specs[:3], ROW_BYTES) == [row.tobytes() for row in out[:3]]


def test_all_rows_in_stored_order_and_shuffled():
    for order in (np.arange(N), np.random.default_rng(0).permutation(N)):
        out = np.empty((N, ROW_BYTES), np.uint8)
        assert codec.read_many(WRITTEN.file, WRITTEN.specs[order], ROW_BYTES, out) == -1
        assert np.array_equal(out, WRITTEN.rows[order])


@given(st.lists(st.integers(0, N - 1), unique=True))
def test_with_positions_only_those_rows_are_touched(positions):
    out = np.full((N, ROW_BYTES), 255, np.uint8)
    chosen = np.array(positions, dtype=np.int64)
    assert codec.read_many(WRITTEN.file, WRITTEN.specs, ROW_BYTES, out, chosen) == -1
    expected = np.full((N, ROW_BYTES), 255, np.uint8)
    expected[chosen] = WRITTEN.rows[chosen]
    assert np.array_equal(out, expected)


@pytest.mark.parametrize("index", [0, ROWS, 2 * ROWS, N - 1])
def test_one_row_by_its_spec(index):
    out = bytearray(ROW_BYTES)
    assert codec.read_row(WRITTEN.file, WRITTEN.specs[index].tobytes(), ROW_BYTES, out)
    assert bytes(out) == WRITTEN.rows[index].tobytes()


def test_a_row_with_another_checksum_is_bad_unless_not_verified():
    specs = WRITTEN.specs.copy()
    specs[[3, 150], 24] ^= 1
    out = np.empty((N, ROW_BYTES), np.uint8)
    assert codec.read_many(WRITTEN.file, specs, ROW_BYTES, out) == 3
    assert codec.read_many(WRITTEN.file, specs[4:], ROW_BYTES, out[4:]) == 146
    assert np.array_equal(out, WRITTEN.rows)
    assert codec.read_many(WRITTEN.file, specs, ROW_BYTES, out, verify=False) == -1
    assert not codec.read_row(WRITTEN.file, specs[3], ROW_BYTES, out[0])
    assert codec.read_row(WRITTEN.file, specs[3], ROW_BYTES, out[0], verify=False)


@pytest.mark.parametrize(
    "change",
    [
        {"offset": 2**64 - 1},
        {"offset": 1},
        {"stored_length": 2**32 - 1},
        {"stored_length": 0},
        {"row": ROWS},
        {"row": 2**32 - 1},
        {"codec": 9},
        {"crc": 0},
    ],
)
@pytest.mark.parametrize("index", [1, ROWS, 2 * ROWS + 1, N - 1])
def test_a_spec_that_names_no_intact_row_is_bad_and_the_others_are_read(index, change):
    specs = WRITTEN.specs.copy()
    for name, value in change.items():
        recordspec.unpack_many(specs)[name][index] = value
    out = np.empty((N, ROW_BYTES), np.uint8)
    assert codec.read_many(WRITTEN.file, specs, ROW_BYTES, out) == index
    others = np.arange(N) != index
    assert np.array_equal(out[others], WRITTEN.rows[others])
    assert not codec.read_row(WRITTEN.file, specs[index], ROW_BYTES, bytearray(ROW_BYTES))
    assert twin.read_row(WRITTEN.file, specs[index].tobytes(), ROW_BYTES) is None


@settings(max_examples=200)
@given(
    st.lists(
        st.tuples(st.integers(0, len(WRITTEN.file) - 1), st.integers(0, 255)),
        min_size=1,
        max_size=12,
    ),
    st.integers(0, len(WRITTEN.file)),
    st.booleans(),
)
def test_a_damaged_file_gives_right_rows_or_none(damage, length, cut):
    file = bytearray(WRITTEN.file)
    for place, byte in damage:
        file[place] = byte
    if cut:
        file = file[:length]
    out = np.empty((N, ROW_BYTES), np.uint8)
    bad = codec.read_many(bytes(file), WRITTEN.specs, ROW_BYTES, out)
    good = slice(0, N if bad < 0 else bad)
    assert np.array_equal(out[good], WRITTEN.rows[good])


def test_rows_without_bytes_need_no_file():
    specs = recordspec.pack_many(10, 0, 0, 7, np.zeros(3, np.uint64), 0, 0, 0)
    assert codec.read_many(b"", specs, 0, bytearray()) == -1
    assert codec.read_row(b"", specs[0], 0, bytearray())


def test_outputs_and_specs_of_a_wrong_size_are_refused():
    out = np.empty((N, ROW_BYTES), np.uint8)
    with pytest.raises(ValueError, match="output"):
        codec.read_many(WRITTEN.file, WRITTEN.specs, ROW_BYTES, out[1:])
    with pytest.raises(ValueError, match="positions"):
        codec.read_many(WRITTEN.file, WRITTEN.specs, ROW_BYTES, out, np.array([N]))
    with pytest.raises(ValueError, match="specs"):
        codec.read_many(WRITTEN.file, np.zeros((1, 31), np.uint8), ROW_BYTES, out)
    with pytest.raises(ValueError, match="spec"):
        codec.read_row(WRITTEN.file, b"\0" * 31, ROW_BYTES, out[0])
    with pytest.raises(BufferError):
        codec.read_row(WRITTEN.file, WRITTEN.specs[0], ROW_BYTES, bytes(ROW_BYTES))


def test_threads_read_side_by_side():
    failures = []

    def read(seed: int) -> None:
        for _ in range(30):
            order = np.random.default_rng(seed).permutation(N)
            out = np.empty((N, ROW_BYTES), np.uint8)
            bad = codec.read_many(WRITTEN.file, WRITTEN.specs[order], ROW_BYTES, out)
            if bad != -1 or not np.array_equal(out, WRITTEN.rows[order]):
                failures.append(seed)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
