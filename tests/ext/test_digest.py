"""BLAKE3 in every SIMD body against the official package and the slow twin; CRC32C; bad calls."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import blake3
import numpy as np
import pytest
from hangard_ext import digest as ours
from hypothesis import given
from hypothesis import strategies as st
from reference import digest as twin

KEY = b"whats the Elvish word for friend"
CONTEXT = "BLAKE3 2019-12-27 16:29:52 test vectors context"

# The lengths of BLAKE3's published test vectors; their input is the bytes 0 .. 250, repeated.
VECTOR_LENGTHS = [
    *(0, 1, 2, 3, 4, 5, 6, 7, 8, 63, 64, 65, 127, 128, 129, 1023, 1024, 1025, 2048, 2049),
    *(3072, 3073, 4096, 4097, 5120, 5121, 6144, 6145, 7168, 7169, 8192, 8193),
    *(16384, 31744, 102400),
]
# Around the pieces in which large inputs are cut, and the joins of their subtrees.
PIECE_BYTES = 512 * 1024
LARGE_LENGTHS = [
    *(PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 2 * PIECE_BYTES, 2 * PIECE_BYTES + 1025),
    *(3 * PIECE_BYTES, 4 * PIECE_BYTES + 1, 7 * PIECE_BYTES - 1),
]
INPUT = (bytes(range(251)) * (7 * PIECE_BYTES // 251 + 1))[: 7 * PIECE_BYTES]


@pytest.fixture(autouse=True)
def _fastest_body_afterwards() -> Iterator[None]:
    yield
    ours.force_body(None)


@pytest.fixture(params=ours.bodies())
def body(request: pytest.FixtureRequest) -> str:
    ours.force_body(request.param)
    return request.param


def keyed(payload: bytes) -> bytes:
    return blake3.blake3(payload, key=KEY).digest()


def derived(payload: bytes) -> bytes:
    return blake3.blake3(payload, derive_key_context=CONTEXT).digest()


# ---- one payload ----


def test_known_digests() -> None:
    assert ours.digest(b"").hex() == (
        "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
    )
    assert ours.digest(b"abc").hex() == (
        "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"
    )


@pytest.mark.parametrize("length", VECTOR_LENGTHS + LARGE_LENGTHS)
def test_vectors_agree_with_the_official_package_in_all_modes(body: str, length: int) -> None:
    payload = INPUT[:length]
    assert ours.digest(payload) == blake3.blake3(payload).digest()
    assert ours.digest_keyed(KEY, payload) == keyed(payload)
    assert ours.digest_derived(CONTEXT, payload) == derived(payload)


@pytest.mark.parametrize("length", [n for n in VECTOR_LENGTHS if n <= 8193])
def test_twin_agrees_with_the_official_package(length: int) -> None:
    payload = INPUT[:length]
    assert twin.digest(payload) == blake3.blake3(payload).digest()
    assert twin.digest_keyed(KEY, payload) == keyed(payload)
    assert twin.digest_derived(CONTEXT, payload) == derived(payload)


@given(st.binary(max_size=3000), st.binary(min_size=32, max_size=32), st.text(max_size=80))
def test_modes_agree_with_the_twin(payload: bytes, key: bytes, context: str) -> None:
    for name in ours.bodies():
        ours.force_body(name)
        assert ours.digest(payload) == twin.digest(payload)
        assert ours.digest_keyed(key, payload) == twin.digest_keyed(key, payload)
        assert ours.digest_derived(context, payload) == twin.digest_derived(context, payload)


def test_any_contiguous_buffer_is_a_payload() -> None:
    numbers = np.arange(300, dtype="<f8").reshape(10, 30)
    expected = ours.digest(numbers.tobytes())
    assert ours.digest(numbers) == expected
    assert ours.digest(memoryview(numbers)) == expected
    assert ours.digest(bytearray(numbers.tobytes())) == expected


# ---- many rows ----


@given(
    row_bytes=st.one_of(
        st.integers(1, 200), st.sampled_from([784, 1023, 1024, 1025, 2047, 2048, 2049, 5000])
    ),
    count=st.integers(0, 70),
    shift=st.integers(0, 63),
    seed=st.integers(0, 2**32 - 1),
)
def test_many_equals_row_by_row_at_any_alignment(
    row_bytes: int, count: int, shift: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    space = random.integers(0, 256, shift + count * row_bytes, dtype=np.uint8)
    rows = space[shift:]
    expected = [keyed(rows[i * row_bytes : (i + 1) * row_bytes].tobytes()) for i in range(count)]
    for name in ours.bodies():
        ours.force_body(name)
        out_space = np.zeros(shift + count * 32, np.uint8)
        ours.digest_many(KEY, rows, row_bytes, out_space[shift:])
        assert out_space[shift:].tobytes() == b"".join(expected)
        assert not out_space[:shift].any()


@pytest.mark.parametrize("row_bytes", [784, 1100, 150_528, PIECE_BYTES, PIECE_BYTES + 1])
def test_many_rows_in_more_than_one_group_of_trees(body: str, row_bytes: int) -> None:
    count = min(3_500_000 // row_bytes, 1200)
    rows = np.frombuffer(INPUT, np.uint8, count * row_bytes).reshape(count, row_bytes)
    out = np.empty((count, 32), np.uint8)
    ours.digest_many(KEY, rows, row_bytes, out)
    for i in {0, 1, count // 2, count - 2, count - 1}:
        assert out[i].tobytes() == keyed(rows[i].tobytes())
    assert len(np.unique(out, axis=0)) == len(np.unique(rows[:, :251], axis=0))


def test_rows_of_zero_bytes_take_their_number_from_out(body: str) -> None:
    out = np.zeros((37, 32), np.uint8)
    ours.digest_many(KEY, b"", 0, out)
    assert {row.tobytes() for row in out} == {keyed(b"")}
    sums = np.ones(5, np.uint32)
    ours.crc32c_many(b"", 0, sums)
    assert not sums.any()


def test_threads_digest_at_once() -> None:
    rows = np.frombuffer(INPUT, np.uint8, 784 * 2000).reshape(2000, 784)
    outs = [np.zeros((2000, 32), np.uint8) for _ in range(4)]
    threads = [
        threading.Thread(target=ours.digest_many, args=(KEY, rows, 784, out)) for out in outs
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all((out == outs[0]).all() for out in outs)
    assert outs[0][1999].tobytes() == keyed(rows[1999].tobytes())


# ---- ragged records ----


@given(
    lengths=st.lists(
        st.one_of(st.integers(0, 300), st.integers(0, 5000), st.just(1024)), max_size=40
    ),
    shift=st.integers(0, 7),
)
def test_ragged_equals_record_by_record(lengths: list[int], shift: int) -> None:
    blob = INPUT[shift : shift + sum(lengths)]
    ends = np.cumsum(lengths, dtype=np.uint64)
    starts = [int(end) - length for end, length in zip(ends, lengths, strict=True)]
    expected = [
        derived(blob[start : start + length]) for start, length in zip(starts, lengths, strict=True)
    ]
    for name in ours.bodies():
        ours.force_body(name)
        out = np.zeros((len(lengths), 32), np.uint8)
        ours.digest_ragged(CONTEXT, blob, ends, out)
        assert out.tobytes() == b"".join(expected)


def test_ragged_mixes_records_above_and_below_a_piece(body: str) -> None:
    lengths = [10, PIECE_BYTES + 5, 0, 3000, 2 * PIECE_BYTES, 1]
    ends = np.cumsum(lengths, dtype=np.uint64)
    out = np.zeros((len(lengths), 32), np.uint8)
    ours.digest_ragged(CONTEXT, INPUT[: ends[-1]], ends, out)
    for i, length in enumerate(lengths):
        assert out[i].tobytes() == derived(INPUT[int(ends[i]) - length : int(ends[i])])


def test_ends_may_lie_at_any_address() -> None:
    space = bytearray(3 + 16)
    ends = np.frombuffer(space, np.uint64, 2, offset=3)
    ends[:] = [5, 9]
    out = np.zeros((2, 32), np.uint8)
    ours.digest_ragged(CONTEXT, INPUT[:9], ends, out)
    assert out[1].tobytes() == derived(INPUT[5:9])


# ---- CRC32C ----


def test_known_checksums() -> None:
    """RFC 3720, appendix B.4, and the check value of the CRC catalogue."""
    for crc32c in (ours.crc32c, ours.crc32c_portable, twin.crc32c):
        assert crc32c(b"") == 0
        assert crc32c(b"123456789") == 0xE3069283
        assert crc32c(bytes(32)) == 0x8A9136AA
        assert crc32c(b"\xff" * 32) == 0x62A8AB43
        assert crc32c(bytes(range(32))) == 0x46DD794E
        assert crc32c(bytes(reversed(range(32)))) == 0x113FDB5C


@given(st.binary(max_size=600), st.integers(0, 2**32 - 1))
def test_checksum_agrees_with_the_twin(payload: bytes, value: int) -> None:
    assert ours.crc32c(payload, value) == twin.crc32c(payload, value)
    assert ours.crc32c_portable(payload, value) == twin.crc32c(payload, value)


@given(st.integers(0, 60_000), st.integers(0, 63), st.integers(0, 2**32 - 1), st.integers(0, 100))
def test_long_checksums_agree_and_continue(length: int, shift: int, value: int, cut: int) -> None:
    payload = memoryview(INPUT)[shift : shift + length]
    whole = ours.crc32c(payload, value)
    assert whole == ours.crc32c_portable(payload, value)
    middle = length * cut // 100
    assert ours.crc32c(payload[middle:], ours.crc32c(payload[:middle], value)) == whole


@given(st.integers(1, 2000), st.integers(0, 20))
def test_checksums_of_many_rows_equal_row_by_row(row_bytes: int, count: int) -> None:
    rows = np.frombuffer(INPUT, np.uint8, row_bytes * count)
    out = np.zeros(count, np.uint32)
    ours.crc32c_many(rows, row_bytes, out)
    cut = [rows[i * row_bytes : (i + 1) * row_bytes].tobytes() for i in range(count)]
    assert out.tolist() == [ours.crc32c(row) for row in cut]


# ---- bodies and bad calls ----


def test_the_last_body_is_the_default_and_an_unknown_one_is_refused() -> None:
    assert ours.body() == ours.bodies()[-1]
    ours.force_body("portable")
    assert ours.body() == "portable"
    with pytest.raises(ValueError, match="no such body"):
        ours.force_body("mmx")
    assert ours.body() == "portable"


def read_only(shape: tuple[int, ...], dtype: type = np.uint8) -> np.ndarray:
    array = np.zeros(shape, dtype)
    array.flags.writeable = False
    return array


ROWS = np.zeros((4, 10), np.uint8)
SHARED = np.zeros(1024, np.uint8)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ((KEY[:31], ROWS, 10, np.zeros((4, 32), np.uint8)), ValueError, "key must be 32 bytes"),
        ((bytearray(KEY), ROWS, 10, np.zeros((4, 32), np.uint8)), TypeError, "key must be bytes"),
        ((KEY, ROWS, 10, np.zeros((3, 32), np.uint8)), ValueError, "4 rows need 128"),
        ((KEY, ROWS, 10, np.zeros((5, 32), np.uint8)), ValueError, "4 rows need 128"),
        ((KEY, ROWS, 10, read_only((4, 32))), ValueError, "out cannot be used"),
        ((KEY, ROWS, 10, bytes(128)), ValueError, "out cannot be used"),
        ((KEY, ROWS, 10, np.zeros((4, 64), np.uint8)[:, ::2]), ValueError, "out cannot be used"),
        ((KEY, ROWS, 10, np.zeros((4, 8), np.uint32)), TypeError, "uint8 items"),
        ((KEY, ROWS, 10, None), TypeError, "bytes-like"),
        ((KEY, ROWS, 7, np.zeros((4, 32), np.uint8)), ValueError, "not a multiple of 7"),
        ((KEY, ROWS, -1, np.zeros((4, 32), np.uint8)), ValueError, "negative"),
        ((KEY, ROWS, 0, np.zeros((4, 32), np.uint8)), ValueError, "rows of 0 bytes"),
        ((KEY, ROWS, "10", np.zeros((4, 32), np.uint8)), TypeError, "integer"),
        ((KEY, ROWS, 2**70, np.zeros((4, 32), np.uint8)), OverflowError, "large"),
        ((KEY, b"", 0, np.zeros(33, np.uint8)), ValueError, "not a multiple of 32"),
        ((KEY, ROWS[:, ::2], 5, np.zeros((4, 32), np.uint8)), ValueError, "rows cannot be used"),
        ((KEY, [1, 2], 1, np.zeros((2, 32), np.uint8)), TypeError, "bytes-like"),
        ((KEY, "text", 1, np.zeros((4, 32), np.uint8)), TypeError, "bytes-like"),
        ((KEY, SHARED[:64], 32, SHARED[32:96]), ValueError, "overlap"),
    ],
)
def test_digest_many_refuses_what_does_not_fit(
    arguments: tuple[object, ...], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        ours.digest_many(*arguments)


@pytest.mark.parametrize(
    ("ends", "out_shape", "error", "text"),
    [
        (np.array([4, 3, 10], np.uint64), (3, 32), ValueError, r"ends\[1\] = 3"),
        (np.array([4, 11], np.uint64), (2, 32), ValueError, r"ends\[1\] = 11"),
        (np.array([4, 2**64 - 1], np.uint64), (2, 32), ValueError, r"ends\[1\]"),
        (np.array([4, 9], np.uint64), (2, 32), ValueError, "last record ends at 9"),
        (np.array([], np.uint64), (0, 32), ValueError, "last record ends at 0"),
        (np.array([4, 10], np.int64), (2, 32), TypeError, "uint64 items"),
        (np.array([4, 10], np.uint32), (2, 32), TypeError, "uint64 items"),
        (np.array([4, 10], ">u8"), (2, 32), TypeError, "uint64 items"),
        (np.array([4, 10], np.uint64), (3, 32), ValueError, "2 records need 64"),
        ([4, 10], (2, 32), TypeError, "bytes-like"),
    ],
)
def test_digest_ragged_refuses_what_does_not_fit(
    ends: object, out_shape: tuple[int, int], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        ours.digest_ragged(CONTEXT, bytes(10), ends, np.zeros(out_shape, np.uint8))


def test_single_calls_refuse_what_does_not_fit() -> None:
    with pytest.raises(TypeError, match="bytes-like"):
        ours.digest("text")
    with pytest.raises(ValueError, match="payload cannot be used"):
        ours.digest(ROWS[:, ::2])
    with pytest.raises(ValueError, match="key must be 32 bytes"):
        ours.digest_keyed(b"", b"")
    with pytest.raises(TypeError, match="context must be str"):
        ours.digest_derived(b"bytes", b"")
    with pytest.raises(OverflowError):
        ours.crc32c(b"", 2**32)
    with pytest.raises(OverflowError):
        ours.crc32c(b"", -1)
    with pytest.raises(TypeError, match="uint32 items"):
        ours.crc32c_many(ROWS, 10, np.zeros(4, np.int32))
    with pytest.raises(ValueError, match="4 rows need 16"):
        ours.crc32c_many(ROWS, 10, np.zeros(3, np.uint32))
