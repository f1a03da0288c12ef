"""Rows to compressed chunks and back: Blosc2 frames, HDF5's own filters, and rows as they are.

A chunk is the Blosc2 frame that HDF5's filter 32026 reads (table in blosc2_frame.h). It is cut into
blocks of one or a few rows, so that one row costs one block; a chunk of deflate or LZF
(hdf5_filters.h) decodes as a whole. Blosc2 contexts have one thread and
belong to the thread that uses them; parallelism is over chunks.

Blosc2 detects no damage (seen: 14 % of 20,000 damaged chunks decoded without an error). Here every
declared size and flag is checked against the stored bytes before any of them is decoded, and the
row readers compare the CRC32C of each row's raw bytes.

Errors   ValueError for a chunk that does not hold what was asked for, or a parameter out of its
         range; MemoryError.
Source   c-blosc2's README_CFRAME_FORMAT and README_CHUNK_FORMAT; filter 32026 of hdf5plugin.
"""

from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS,
    PyBUF_SIMPLE,
    PyBUF_WRITABLE,
    PyBuffer_Release,
    PyObject_GetBuffer,
)
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

import numpy as np

cdef extern from "blosc2_frame.h" nogil:
    int64_t HANGARD_CHUNK_BYTES_MAX

    ctypedef struct hangard_frame:
        int nbytes

    ctypedef enum hangard_frame_result:
        HANGARD_FRAME_OK
        HANGARD_FRAME_BAD_LENGTH
        HANGARD_FRAME_BAD_HEADER
        HANGARD_FRAME_BAD_SIZE
        HANGARD_FRAME_BAD_RANGE
        HANGARD_FRAME_BAD_DATA
        HANGARD_FRAME_NO_MEMORY

    void hangard_frame_init()
    int64_t hangard_frame_compress(const uint8_t *rows, int64_t n_bytes, int64_t chunk_bytes,
                                   int typesize, int64_t block_bytes, int compcode, int level,
                                   int filter, uint8_t *out, int64_t out_bytes)
    hangard_frame_result hangard_frame_open(const uint8_t *stored, uint64_t stored_length,
                                            int64_t row_bytes, int64_t chunk_bytes,
                                            hangard_frame *frame)
    hangard_frame_result hangard_frame_decode(const hangard_frame *frame, int64_t start,
                                              int64_t n_bytes, uint8_t *out)

cdef extern from "row_reader.h" nogil:
    int64_t hangard_read_many(const uint8_t *file, uint64_t file_bytes, const uint8_t *specs,
                              const int64_t *positions, int64_t n, int64_t row_bytes,
                              uint8_t *out, int verify)

cdef extern from "hdf5_filters.h" nogil:
    int HANGARD_CODEC_GZIP
    int HANGARD_CODEC_LZF
    void hangard_shuffle(const uint8_t *from_, int64_t n_bytes, int64_t item_bytes, uint8_t *out)
    int64_t hangard_filtered_encode(int codec, int level, const uint8_t *from_, int64_t n_bytes,
                                    uint8_t *out, int64_t room)
    int64_t hangard_filtered_decode(int codec, const uint8_t *stored, int64_t length, uint8_t *out,
                                    int64_t room)
    uint32_t hangard_fletcher32(const uint8_t *data, int64_t n_bytes)

cdef extern from "ragged_rows.h" nogil:
    int64_t hangard_read_ragged(const uint8_t *file, uint64_t file_bytes, const uint8_t *specs,
                                const int64_t *positions, int64_t n, const uint64_t *ends,
                                uint8_t *out, int verify)

cdef extern from "blosc2.h" nogil:
    const char *BLOSC2_VERSION_STRING

hangard_frame_init()

CHUNK_BYTES_MAX = HANGARD_CHUNK_BYTES_MAX
SAMPLE_BYTES_MAX = 1 << 30
LEVEL_MAX = 9
CODECS = {"blosclz": 0, "lz4": 1, "lz4hc": 2, "zlib": 4, "zstd": 5}
SHUFFLES = {"none": 0, "byte": 1, "bit": 2}
FILTERS = {"gzip": HANGARD_CODEC_GZIP, "lzf": HANGARD_CODEC_LZF}

# Below it a decode takes a few microseconds; a thread that gives the GIL up for so short a time
# mostly waits a switch interval (5 ms) to get it back from a busy one.
cdef int64_t KEEP_GIL_BYTES_MAX = 16384

# Deflate makes at most 1,032 bytes out of one, LZF 88.
cdef int64_t EXPANSION_MAX = 1100

cdef dict REASONS = {
    HANGARD_FRAME_BAD_LENGTH: "declares another length than its stored bytes have",
    HANGARD_FRAME_BAD_HEADER: "does not begin as a chunk of ours does",
    HANGARD_FRAME_BAD_SIZE: "declares sizes that do not fit the rows",
    HANGARD_FRAME_BAD_RANGE: "does not hold the rows that were asked for",
    HANGARD_FRAME_BAD_DATA: "does not decode",
}


cdef int fail(int64_t result) except -1:
    if result == HANGARD_FRAME_NO_MEMORY:
        raise MemoryError("no memory for a Blosc2 context")
    raise ValueError(f"chunk {REASONS[result]}")


def blosc2_version():
    """The version of the c-blosc2 that is linked in."""
    return BLOSC2_VERSION_STRING.decode()


cdef int compression_parameters(
    Py_ssize_t n_bytes, int64_t chunk_bytes, int64_t typesize, int64_t block_bytes, int level
) except -1:
    if not 0 < chunk_bytes <= SAMPLE_BYTES_MAX:
        raise ValueError(f"chunk of {chunk_bytes} bytes; 1 to {SAMPLE_BYTES_MAX} are possible")
    if not 0 < n_bytes <= chunk_bytes:
        raise ValueError(f"{n_bytes} bytes of rows do not fit a chunk of {chunk_bytes}")
    if not 1 <= typesize <= 255 or chunk_bytes % typesize:
        raise ValueError(f"items of {typesize} bytes do not fill a chunk of {chunk_bytes}")
    if not typesize <= block_bytes or block_bytes % typesize:
        raise ValueError(f"items of {typesize} bytes do not fill a block of {block_bytes}")
    if not 0 <= level <= LEVEL_MAX:
        raise ValueError(f"level {level}; 0 to {LEVEL_MAX} are possible")
    return 0


def compress_rows_into(
    rows,
    out,
    *,
    int64_t chunk_bytes,
    int64_t typesize,
    int64_t block_bytes,
    str codec="lz4",
    int level=5,
    str shuffle="byte",
):
    """Compress rows, padded with zeros to chunk_bytes, into `out`; the length of the frame there.

    0 means that it would not be shorter than the chunk (or than `out`): store the rows raw.
    """
    cdef Py_buffer source, target
    cdef int compcode = CODECS[codec], filter = SHUFFLES[shuffle]
    cdef int64_t length
    if typesize == 1 and filter == SHUFFLES["byte"]:
        # The same bytes come out, three times as fast when they are read (bench/bench_codec.py).
        filter = SHUFFLES["none"]
    PyObject_GetBuffer(rows, &source, PyBUF_SIMPLE | PyBUF_C_CONTIGUOUS)
    try:
        compression_parameters(source.len, chunk_bytes, typesize, block_bytes, level)
        block_bytes = min(block_bytes, chunk_bytes)
        PyObject_GetBuffer(out, &target, PyBUF_WRITABLE | PyBUF_C_CONTIGUOUS)
        with nogil:
            length = hangard_frame_compress(
                <const uint8_t *>source.buf, source.len, chunk_bytes, <int>typesize, block_bytes,
                compcode, level, filter, <uint8_t *>target.buf, target.len,
            )
        PyBuffer_Release(&target)
    finally:
        PyBuffer_Release(&source)
    if length < 0:
        if length == HANGARD_FRAME_NO_MEMORY:
            raise MemoryError("no memory to compress a chunk")
        raise ValueError("Blosc2 refused to compress the chunk")
    return length


def compress_rows(
    rows,
    *,
    int64_t chunk_bytes,
    int64_t typesize,
    int64_t block_bytes,
    str codec="lz4",
    int level=5,
    str shuffle="byte",
):
    """The frame of a chunk of rows; None when it would not be shorter than the chunk."""
    out = bytearray(chunk_bytes if 0 < chunk_bytes <= SAMPLE_BYTES_MAX else 0)
    length = compress_rows_into(
        rows, out, chunk_bytes=chunk_bytes, typesize=typesize, block_bytes=block_bytes,
        codec=codec, level=level, shuffle=shuffle,
    )
    return bytes(memoryview(out)[:length]) if length else None


def filter_rows_into(
    rows, out, *, int64_t chunk_bytes, int64_t shuffled_item_bytes, str codec, int level=5
):
    """Put rows, padded with zeros to chunk_bytes, through HDF5's own filters into `out`; the length.

    codec: "gzip" or "lzf". shuffled_item_bytes: byte shuffle of items of so many bytes, 1 for none.
    0 means that it would not be shorter than the chunk: store the rows raw.
    """
    cdef Py_buffer source, target
    cdef int64_t length = -1, room
    cdef int number = FILTERS[codec]
    cdef int64_t padded_bytes, shuffled_bytes
    cdef uint8_t *memory = NULL
    cdef const uint8_t *chunk
    PyObject_GetBuffer(rows, &source, PyBUF_SIMPLE | PyBUF_C_CONTIGUOUS)
    try:
        compression_parameters(source.len, chunk_bytes, shuffled_item_bytes, chunk_bytes, level)
        PyObject_GetBuffer(out, &target, PyBUF_WRITABLE | PyBUF_C_CONTIGUOUS)
        room = min(<int64_t>target.len, chunk_bytes - 1)
        # A large row is copied no more often than it has to be.
        padded_bytes = chunk_bytes if source.len < chunk_bytes else 0
        shuffled_bytes = chunk_bytes if shuffled_item_bytes > 1 else 0
        with nogil:
            memory = <uint8_t *>malloc(<size_t>(padded_bytes + shuffled_bytes + 1))
            if memory != NULL:
                chunk = <const uint8_t *>source.buf
                if padded_bytes:
                    memcpy(memory, source.buf, <size_t>source.len)
                    memset(memory + source.len, 0, <size_t>(chunk_bytes - source.len))
                    chunk = memory
                if shuffled_bytes:
                    hangard_shuffle(
                        chunk, chunk_bytes, shuffled_item_bytes, memory + padded_bytes
                    )
                    chunk = memory + padded_bytes
                length = hangard_filtered_encode(
                    number, level, chunk, chunk_bytes, <uint8_t *>target.buf, room
                )
                free(memory)
        PyBuffer_Release(&target)
    finally:
        PyBuffer_Release(&source)
    if length < 0:
        raise MemoryError("no memory to filter a chunk")
    return length


def filtered_bytes_of(chunk, int codec):
    """The size of a deflate or LZF chunk (codec of a spec) once it is decoded."""
    if codec not in (HANGARD_CODEC_GZIP, HANGARD_CODEC_LZF):
        raise ValueError(f"{codec} is neither deflate nor LZF")
    cdef Py_buffer source
    cdef int64_t length = -1, room = SAMPLE_BYTES_MAX
    cdef uint8_t *out
    PyObject_GetBuffer(chunk, &source, PyBUF_SIMPLE | PyBUF_C_CONTIGUOUS)
    # Neither codec makes a byte out of less than this.
    room = min(room, <int64_t>source.len * EXPANSION_MAX)
    with nogil:
        out = <uint8_t *>malloc(<size_t>room + 1)
        if out != NULL:
            length = hangard_filtered_decode(
                codec, <const uint8_t *>source.buf, source.len, out, room
            )
    PyBuffer_Release(&source)
    if out == NULL:
        raise MemoryError("no memory to decode a chunk")
    free(out)
    if length < 0:
        fail(HANGARD_FRAME_BAD_DATA)
    return length


def fletcher32(data):
    """HDF5's Fletcher-32 of some bytes; behind a chunk it stands as u32, little-endian."""
    cdef Py_buffer source
    cdef uint32_t result
    PyObject_GetBuffer(data, &source, PyBUF_SIMPLE | PyBUF_C_CONTIGUOUS)
    with nogil:
        result = hangard_fletcher32(<const uint8_t *>source.buf, source.len)
    PyBuffer_Release(&source)
    return result


cdef int64_t decode_range(
    const Py_buffer *chunk, int64_t row_bytes, int64_t chunk_bytes, int64_t start, int64_t n_bytes,
    uint8_t *out,
) noexcept nogil:
    cdef hangard_frame frame
    cdef int64_t result = hangard_frame_open(
        <const uint8_t *>chunk.buf, chunk.len, row_bytes, chunk_bytes, &frame
    )
    if result == HANGARD_FRAME_OK:
        result = hangard_frame_decode(&frame, start, n_bytes, out)
    return result


cdef int decode_into(
    chunk, int64_t row_bytes, int64_t chunk_bytes, int64_t start, int64_t n_bytes, out
) except -1:
    """n_bytes below 0: all of `out`, which must be a whole chunk."""
    cdef Py_buffer source, target
    cdef int64_t result
    PyObject_GetBuffer(chunk, &source, PyBUF_SIMPLE | PyBUF_C_CONTIGUOUS)
    try:
        PyObject_GetBuffer(out, &target, PyBUF_WRITABLE | PyBUF_C_CONTIGUOUS)
        try:
            if target.len != n_bytes:
                raise ValueError(f"output of {target.len} bytes, {n_bytes} are needed")
            if n_bytes <= KEEP_GIL_BYTES_MAX:
                result = decode_range(
                    &source, row_bytes, chunk_bytes, start, n_bytes, <uint8_t *>target.buf
                )
            else:
                with nogil:
                    result = decode_range(
                        &source, row_bytes, chunk_bytes, start, n_bytes, <uint8_t *>target.buf
                    )
        finally:
            PyBuffer_Release(&target)
    finally:
        PyBuffer_Release(&source)
    if result != HANGARD_FRAME_OK:
        fail(result)
    return 0


def decode_row(chunk, int64_t row, int64_t row_bytes, out):
    """Decode one row of a frame into `out` of row_bytes bytes; costs one block."""
    if not 0 <= row < 1 << 32 or not 0 < row_bytes <= SAMPLE_BYTES_MAX:
        raise ValueError(f"chunk has no row {row} of {row_bytes} bytes")
    decode_into(chunk, row_bytes, 0, row * row_bytes, row_bytes, out)


def decode_rows(chunk, rows, int64_t row_bytes, out):
    """Decode rows, an integer sequence (n,), of one frame into `out`, (n, row_bytes) bytes."""
    if not 0 < row_bytes <= SAMPLE_BYTES_MAX:
        raise ValueError(f"rows of {row_bytes} bytes are not possible")
    wanted = np.asarray(rows)
    if wanted.ndim != 1 or (wanted.dtype.kind not in "iu" and len(wanted)):
        raise ValueError("rows are a sequence of integers")
    if len(wanted) and not 0 <= wanted.min() <= wanted.max() < 1 << 32:
        raise ValueError("chunk has no such rows")
    # The place of the chunk is the buffer itself: specs that all begin at 0.
    specs = np.zeros((len(wanted), 8), dtype="<u4")
    specs[:, 0] = 1 << 16
    specs[:, 4] = memoryview(chunk).nbytes
    specs[:, 5] = wanted
    bad = read_many(chunk, specs.view(np.uint8), row_bytes, out, verify=False)
    if bad >= 0:
        raise ValueError(f"chunk does not hold row {wanted[bad]} of {row_bytes} bytes")


def decode_chunk(chunk, int64_t row_bytes, out):
    """Decode a whole frame into `out`, which has exactly the chunk's size."""
    n_bytes = memoryview(out).nbytes
    decode_into(chunk, row_bytes, n_bytes, 0, n_bytes, out)


def chunk_bytes_of(chunk):
    """The size of a frame's chunk once it is decoded."""
    cdef Py_buffer source
    cdef hangard_frame frame
    PyObject_GetBuffer(chunk, &source, PyBUF_SIMPLE | PyBUF_C_CONTIGUOUS)
    cdef int64_t result = hangard_frame_open(
        <const uint8_t *>source.buf, source.len, 0, 0, &frame
    )
    PyBuffer_Release(&source)
    if result != HANGARD_FRAME_OK:
        fail(result)
    return frame.nbytes


def read_row(file, spec, int64_t row_bytes, out, bint verify=True):
    """Put the sample that a spec names into `out`; False if it is not there, or not intact.

    file: the mapped bytes of the segment, up to a length that fstat has confirmed.
    spec: 32 bytes (recordspec). out: row_bytes writable bytes.
    """
    cdef Py_buffer source, where, target
    cdef int64_t bad
    if not 0 <= row_bytes <= SAMPLE_BYTES_MAX:
        raise ValueError(f"rows of {row_bytes} bytes are not possible")
    PyObject_GetBuffer(spec, &where, PyBUF_SIMPLE | PyBUF_C_CONTIGUOUS)
    try:
        if where.len != 32:
            raise ValueError(f"a spec has 32 bytes, not {where.len}")
        PyObject_GetBuffer(out, &target, PyBUF_WRITABLE | PyBUF_C_CONTIGUOUS)
        try:
            if target.len != row_bytes:
                raise ValueError(f"output of {target.len} bytes, {row_bytes} are needed")
            PyObject_GetBuffer(file, &source, PyBUF_SIMPLE | PyBUF_C_CONTIGUOUS)
            if row_bytes <= KEEP_GIL_BYTES_MAX:
                bad = hangard_read_many(
                    <const uint8_t *>source.buf, source.len, <const uint8_t *>where.buf, NULL, 1,
                    row_bytes, <uint8_t *>target.buf, verify,
                )
            else:
                with nogil:
                    bad = hangard_read_many(
                        <const uint8_t *>source.buf, source.len, <const uint8_t *>where.buf, NULL,
                        1, row_bytes, <uint8_t *>target.buf, verify,
                    )
            PyBuffer_Release(&source)
        finally:
            PyBuffer_Release(&target)
    finally:
        PyBuffer_Release(&where)
    if bad == -2:
        raise MemoryError("no memory to read a row")
    return bad == -1


def read_many(
    file, const uint8_t[:, ::1] specs not None, int64_t row_bytes, out, positions=None,
    bint verify=True,
):
    """Put the sample of spec i into row i of `out`; the lowest bad i, or -1.

    file: the mapped bytes of one segment, up to a length that fstat has confirmed.
    specs: (n, 32) uint8. out: n * row_bytes writable bytes. positions: int64 (m,), the only i to
    read, for specs of several files that share one `out`; None for all. Whatever the order of the
    specs, each block of a chunk is decoded once. A sample is bad that lies outside the file, does
    not decode, or (verify) has another CRC32C than its spec; the good rows are in `out` all the
    same.
    """
    cdef Py_buffer source, target
    cdef int64_t bad, n = specs.shape[0]
    cdef const int64_t[::1] chosen
    cdef const int64_t *first = NULL
    if specs.shape[1] != 32:
        raise ValueError(f"specs are (n, 32) uint8, not (n, {specs.shape[1]})")
    if not 0 <= row_bytes <= SAMPLE_BYTES_MAX:
        raise ValueError(f"rows of {row_bytes} bytes are not possible")
    if positions is not None:
        array = np.ascontiguousarray(positions, dtype=np.int64)
        if len(array) and not 0 <= array.min() <= array.max() < n:
            raise ValueError(f"positions beyond the {n} specs")
        chosen = array
        n = chosen.shape[0]
    if n == 0:
        return -1
    if positions is not None:
        first = &chosen[0]
    PyObject_GetBuffer(out, &target, PyBUF_WRITABLE | PyBUF_C_CONTIGUOUS)
    try:
        if target.len != specs.shape[0] * row_bytes:
            raise ValueError(
                f"output of {target.len} bytes, {specs.shape[0]} rows of {row_bytes} are needed"
            )
        PyObject_GetBuffer(file, &source, PyBUF_SIMPLE | PyBUF_C_CONTIGUOUS)
        with nogil:
            bad = hangard_read_many(
                <const uint8_t *>source.buf, source.len, &specs[0, 0], first, n, row_bytes,
                <uint8_t *>target.buf, verify,
            )
        PyBuffer_Release(&source)
    finally:
        PyBuffer_Release(&target)
    if bad == -2:
        raise MemoryError("no memory to read rows")
    return bad


def read_ragged(
    file, const uint8_t[:, ::1] specs not None, const uint64_t[::1] ends not None,
    uint8_t[::1] out not None, positions=None, bint verify=True,
):
    """Put the sample of spec i into out[ends[i - 1]:ends[i]]; the lowest bad i, or -1.

    As ``read_many`` for samples of any lengths: ends uint64 (n,) ascend to the length of `out`.
    """
    cdef Py_buffer source
    cdef int64_t bad, n = specs.shape[0]
    cdef uint64_t before = 0
    cdef Py_ssize_t i
    cdef const int64_t[::1] chosen
    cdef const int64_t *first = NULL
    cdef uint8_t nothing
    cdef uint8_t *target = &out[0] if out.shape[0] else &nothing
    if specs.shape[1] != 32 or ends.shape[0] != n:
        raise ValueError(f"{ends.shape[0]} ends and specs ({n}, {specs.shape[1]})")
    for i in range(n):
        if ends[i] < before:
            raise ValueError(f"sample {i} ends at {ends[i]}, before it begins at {before}")
        before = ends[i]
    if before != <uint64_t>out.shape[0]:
        raise ValueError(f"the last sample ends at {before}, the output at {out.shape[0]}")
    if positions is not None:
        array = np.ascontiguousarray(positions, dtype=np.int64)
        if len(array) and not 0 <= array.min() <= array.max() < n:
            raise ValueError(f"positions beyond the {n} specs")
        chosen = array
        n = chosen.shape[0]
    if n == 0:
        return -1
    if positions is not None:
        first = &chosen[0]
    PyObject_GetBuffer(file, &source, PyBUF_SIMPLE | PyBUF_C_CONTIGUOUS)
    with nogil:
        bad = hangard_read_ragged(
            <const uint8_t *>source.buf, source.len, &specs[0, 0], first, n, &ends[0], target,
            verify,
        )
    PyBuffer_Release(&source)
    if bad == -2:
        raise MemoryError("no memory to read samples")
    return bad
