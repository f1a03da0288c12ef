"""Chunks of rows to Blosc2 frames and back, against the blosc2 package and h5py."""

import contextlib

import blosc2
import numpy as np
import pytest
from ext.chunks import CHUNK_BYTES, ROW_BYTES, ROWS, frame_of, rows_of
from hangard_ext import codec
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import codec as twin


@given(
    rows=st.integers(1, ROWS),
    typesize=st.sampled_from([1, 2, 4, 8, 16, 32]),
    block_rows=st.integers(1, 70),
    name=st.sampled_from(sorted(codec.CODECS)),
    level=st.integers(0, 9),
    shuffle=st.sampled_from(sorted(codec.SHUFFLES)),
    seed=st.integers(0, 3),
)
def test_a_frame_decodes_as_the_blosc2_package_decodes_it(
    rows, typesize, block_rows, name, level, shuffle, seed
):
    data = rows_of(seed, rows)
    frame = codec.compress_rows(
        data,
        chunk_bytes=CHUNK_BYTES,
        typesize=typesize,
        block_bytes=block_rows * ROW_BYTES,
        codec=name,
        level=level,
        shuffle=shuffle,
    )
    if frame is None:
        assert rows > ROWS // 4 or level == 0
        return
    padded = data.tobytes().ljust(CHUNK_BYTES, b"\0")
    assert len(frame) < CHUNK_BYTES
    assert twin.decode_chunk(frame) == padded
    out = np.empty(CHUNK_BYTES, np.uint8)
    codec.decode_chunk(frame, ROW_BYTES, out)
    assert out.tobytes() == padded
    for row in range(ROWS):
        codec.decode_row(frame, row, ROW_BYTES, out[:ROW_BYTES])
        assert out[:ROW_BYTES].tobytes() == padded[row * ROW_BYTES : (row + 1) * ROW_BYTES]


@given(st.lists(st.integers(0, ROWS - 1), max_size=40))
def test_many_rows_come_in_the_order_they_are_asked_for(wanted):
    data = rows_of(1)
    out = np.empty((len(wanted), ROW_BYTES), np.uint8)
    codec.decode_rows(frame_of(data), wanted, ROW_BYTES, out)
    assert np.array_equal(out, data[np.array(wanted, dtype=int)])


@pytest.mark.parametrize("name", sorted(codec.CODECS))
@pytest.mark.parametrize("typesize", [1, 4, 32])
@pytest.mark.parametrize("value", [None, 0, 9])
def test_the_header_of_a_frame_says_what_the_library_would_have_said(name, typesize, value):
    data = rows_of(1) if value is None else np.full((ROWS, ROW_BYTES), value, np.uint8)
    frame = frame_of(data, typesize=typesize, codec=name)
    header = frame[: int.from_bytes(frame[11:15])]
    found = blosc2.schunk_from_cframe(frame, copy=True)
    chunk_header = found.get_chunk(0)[:16]
    assert found.nbytes == found.chunksize == CHUNK_BYTES
    assert found.cbytes == int.from_bytes(chunk_header[12:16], "little")
    assert found.blocksize == int.from_bytes(chunk_header[8:12], "little")
    assert found.typesize == typesize
    assert found.cparams.codec == blosc2.Codec[name.upper()]

    # To shuffle items of one byte would change nothing.
    shuffle = blosc2.Filter.NOFILTER if typesize == 1 else blosc2.Filter.SHUFFLE
    theirs = blosc2.SChunk(
        chunksize=CHUNK_BYTES,
        contiguous=True,
        cparams=blosc2.CParams(
            codec=blosc2.Codec[name.upper()],
            clevel=5,
            typesize=typesize,
            blocksize=384,
            nthreads=1,
            splitmode=blosc2.SplitMode.FORWARD_COMPAT_SPLIT,
            filters=[blosc2.Filter.NOFILTER] * 5 + [shuffle],
            filters_meta=[0] * 6,
        ),
        dparams=blosc2.DParams(nthreads=1),
    )
    theirs.insert_chunk(0, found.get_chunk(0))
    expected = theirs.to_cframe()
    assert header == expected[: len(header)]
    assert frame == expected


@pytest.mark.parametrize("typesize", [1, 4])
@pytest.mark.parametrize("block_rows", [1, 2, 5, 32, ROWS])
@pytest.mark.parametrize("shuffle", sorted(codec.SHUFFLES))
def test_every_range_of_rows_is_right_whatever_blocks_it_touches(typesize, block_rows, shuffle):
    data = rows_of(1)
    frame = frame_of(
        data, typesize=typesize, block_bytes=block_rows * ROW_BYTES, shuffle=shuffle, codec="zstd"
    )
    for start in range(ROWS):
        for stop in range(start + 1, ROWS + 1):
            out = np.empty((stop - start, ROW_BYTES), np.uint8)
            codec.decode_rows(frame, range(start, stop), ROW_BYTES, out)
            assert np.array_equal(out, data[start:stop])


@pytest.mark.parametrize("value", [0, 7])
def test_equal_rows_become_one_value_that_every_reader_finds(value):
    data = np.full((ROWS, ROW_BYTES), value, np.uint8)
    frame = frame_of(data, typesize=1)
    assert len(frame) < 1024
    assert twin.decode_chunk(frame) == data.tobytes()
    out = np.empty((3, ROW_BYTES), np.uint8)
    codec.decode_rows(frame, [5, 0, ROWS - 1], ROW_BYTES, out)
    assert (out == value).all()


def test_noise_is_reported_as_not_compressible():
    noise = np.random.default_rng(2).integers(0, 256, CHUNK_BYTES, dtype=np.uint8)
    options = {"chunk_bytes": CHUNK_BYTES, "typesize": 1, "block_bytes": 384}
    assert codec.compress_rows(noise, **options) is None
    assert codec.compress_rows_into(noise, bytearray(2 * CHUNK_BYTES), **options) == 0


def test_an_output_that_is_too_short_counts_as_not_compressible():
    data = rows_of(1)
    frame = frame_of(data)
    options = {"chunk_bytes": CHUNK_BYTES, "typesize": 4, "block_bytes": 384}
    out = bytearray(len(frame))
    assert codec.compress_rows_into(data, out, **options) == len(frame)
    assert bytes(out) == frame
    assert codec.compress_rows_into(data, out[:-1], **options) == 0


@pytest.mark.parametrize(
    "bad",
    [
        {"chunk_bytes": 0},
        {"chunk_bytes": -1},
        {"chunk_bytes": CHUNK_BYTES - ROW_BYTES},
        {"chunk_bytes": codec.SAMPLE_BYTES_MAX + 1},
        {"chunk_bytes": CHUNK_BYTES + 1},
        {"typesize": 0},
        {"typesize": 256},
        {"block_bytes": 0},
        {"block_bytes": 193},
        {"level": 10},
        {"level": -1},
    ],
)
def test_parameters_out_of_range_are_refused(bad):
    with pytest.raises(ValueError, match=r"chunk|block|level"):
        frame_of(rows_of(1), **bad)


@pytest.mark.parametrize("bad", [{"codec": "snappy"}, {"shuffle": "no"}])
def test_unknown_names_are_refused(bad):
    with pytest.raises(KeyError):
        frame_of(rows_of(1), **bad)


def test_asking_for_what_a_frame_does_not_hold_is_refused():
    frame = frame_of(rows_of(1))
    out = bytearray(ROW_BYTES)
    with pytest.raises(ValueError, match="does not hold"):
        codec.decode_row(frame, ROWS, ROW_BYTES, out)
    with pytest.raises(ValueError, match="no row"):
        codec.decode_row(frame, -1, ROW_BYTES, out)
    with pytest.raises(ValueError, match="sizes"):
        codec.decode_row(frame, 0, ROW_BYTES - 1, out[:-1])
    with pytest.raises(ValueError, match="output"):
        codec.decode_row(frame, 0, ROW_BYTES, out[:-1])
    with pytest.raises(ValueError, match="sizes"):
        codec.decode_chunk(frame, ROW_BYTES, bytearray(CHUNK_BYTES + ROW_BYTES))
    with pytest.raises(ValueError, match="row 64"):
        codec.decode_rows(frame, [0, ROWS], ROW_BYTES, bytearray(2 * ROW_BYTES))
    with pytest.raises(ValueError, match="such rows"):
        codec.decode_rows(frame, [0, -1], ROW_BYTES, bytearray(2 * ROW_BYTES))


DAMAGE = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8
)


@settings(max_examples=400)
@given(
    name=st.sampled_from(sorted(codec.CODECS)),
    shuffle=st.sampled_from(sorted(codec.SHUFFLES)),
    damage=DAMAGE,
    header_only=st.booleans(),
    keep=st.floats(0, 1),
    cut=st.booleans(),
    row=st.integers(0, ROWS - 1),
)
def test_damaged_frames_are_refused_or_decoded_but_never_crash(
    name, shuffle, damage, header_only, keep, cut, row
):
    frame = bytearray(frame_of(rows_of(3), codec=name, shuffle=shuffle))
    for place, byte in damage:
        # Half of the damage goes where the sizes, flags and block offsets stand.
        frame[int(place * (len(frame) if not header_only else 97 + 32 + 4 * ROWS // 2))] = byte
    if cut:
        frame = frame[: int(keep * len(frame))]
    for decode in (
        lambda: codec.decode_row(frame, row, ROW_BYTES, bytearray(ROW_BYTES)),
        lambda: codec.decode_rows(frame, [row, 0, row], ROW_BYTES, bytearray(3 * ROW_BYTES)),
        lambda: codec.decode_chunk(frame, ROW_BYTES, bytearray(CHUNK_BYTES)),
    ):
        with contextlib.suppress(ValueError):
            decode()


@pytest.mark.parametrize("length", [0, 1, 97, 128, 129])
def test_every_short_frame_is_refused(length):
    with pytest.raises(ValueError, match="length"):
        codec.decode_row(frame_of(rows_of(1))[:length], 0, ROW_BYTES, bytearray(ROW_BYTES))
