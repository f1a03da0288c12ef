"""BLAKE3 digests and CRC32C checksums, of one buffer and of many.

Buffers   anything with the buffer protocol, C-contiguous; the bytes count, not the item type.
Digests   32 bytes. Where many are written, `out` is a writable (n, 32) uint8 array or the like.
Errors    TypeError for what is no buffer or has the wrong item type, ValueError for wrong sizes and
          for buffers that are read-only or not contiguous. Nothing is written after an error.
Threads   every function may run in many threads at once; hashing runs without the GIL.
Source    BLAKE3: the published specification; CRC32C: RFC 3720, appendix B.4.
"""

cimport cython
from cpython.buffer cimport (
    PyBUF_FORMAT, PyBUF_ND, PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_CheckBuffer,
    PyObject_GetBuffer,
)
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy


cdef extern from "blake3.h" nogil:
    ctypedef struct blake3_key "struct hangard_blake3_key":
        pass
    blake3_key hangard_blake3_plain()
    blake3_key hangard_blake3_keyed(const uint8_t *key)
    blake3_key hangard_blake3_derived(const void *context, size_t n)
    void hangard_blake3(const blake3_key *key, const void *data, size_t n, uint8_t *out)
    void hangard_blake3_many(const blake3_key *key, const void *rows, size_t row_bytes,
                             size_t count, uint8_t *out)
    void hangard_blake3_ragged(const blake3_key *key, const void *data, const uint64_t *ends,
                               size_t count, uint8_t *out)
    const char *hangard_blake3_body_name(size_t i)
    const char *hangard_blake3_body()
    int hangard_blake3_force_body(const char *name)


cdef extern from "crc32c.h" nogil:
    uint32_t hangard_crc32c(uint32_t value, const void *data, size_t n)
    uint32_t hangard_crc32c_portable(uint32_t value, const void *data, size_t n)


DIGEST_BYTES = 32

cdef enum:
    DIGEST = 32
    # One small payload keeps the GIL: hashing it takes about as long as giving the GIL up, and
    # getting it back from a busy thread can take that thread's whole switch interval (5 ms).
    GIL_KEPT_BYTES_MAX = 4096


@cython.auto_pickle(False)  # a pickled buffer would mean nothing
cdef class _Bytes:
    """A buffer held for the length of one call."""

    cdef Py_buffer view
    cdef bint held

    def __dealloc__(self):
        if self.held:
            PyBuffer_Release(&self.view)


cdef _Bytes _hold(object value, str name, int flags):
    cdef _Bytes held = _Bytes()
    if not PyObject_CheckBuffer(value):
        raise TypeError(f"{name} must be a bytes-like object, not {type(value).__name__}")
    try:
        PyObject_GetBuffer(value, &held.view, flags)
    except (BufferError, ValueError) as error:
        raise ValueError(f"{name} cannot be used: {error}") from None
    held.held = True
    return held


cdef _Bytes _hold_payload(object value, str name):
    return _hold(value, name, PyBUF_SIMPLE)


cdef _Bytes _hold_integers(object value, str name, int flags, str formats, Py_ssize_t item_bytes):
    cdef _Bytes held = _hold(value, name, flags | PyBUF_ND | PyBUF_FORMAT)
    form = held.view.format.decode("ascii") if held.view.format != NULL else "B"
    if held.view.itemsize != item_bytes or form.lstrip("@=<") not in formats.split():
        raise TypeError(f"{name} must hold uint{8 * item_bytes} items, not {form!r}")
    return held


cdef blake3_key _keyed(object key) except *:
    if not isinstance(key, bytes):
        raise TypeError(f"key must be bytes, not {type(key).__name__}")
    if len(key) != DIGEST:
        raise ValueError(f"key must be {DIGEST} bytes, not {len(key)}")
    return hangard_blake3_keyed(<const uint8_t *>PyBytes_AS_STRING(key))


cdef blake3_key _derived(object context) except *:
    if not isinstance(context, str):
        raise TypeError(f"context must be str, not {type(context).__name__}")
    cdef bytes encoded = context.encode("utf-8")
    return hangard_blake3_derived(PyBytes_AS_STRING(encoded), len(encoded))


cdef bytes _digest(blake3_key key, object payload):
    cdef _Bytes data = _hold_payload(payload, "payload")
    cdef bytes result = PyBytes_FromStringAndSize(NULL, DIGEST)
    cdef uint8_t *out = <uint8_t *>PyBytes_AS_STRING(result)
    if data.view.len <= GIL_KEPT_BYTES_MAX:
        hangard_blake3(&key, data.view.buf, data.view.len, out)
    else:
        with nogil:
            hangard_blake3(&key, data.view.buf, data.view.len, out)
    return result


def digest(payload, /):
    """The plain BLAKE3 digest of payload, 32 bytes."""
    return _digest(hangard_blake3_plain(), payload)


def digest_keyed(key, payload, /):
    """The BLAKE3 digest of payload under a key of 32 bytes."""
    return _digest(_keyed(key), payload)


def digest_derived(context, payload, /):
    """The BLAKE3 derive-key digest of payload: domains with different contexts never meet."""
    return _digest(_derived(context), payload)


cdef size_t _count(_Bytes rows, object row_bytes, _Bytes out, Py_ssize_t out_item) except? 0:
    """The number of rows, after checking it against both buffers."""
    cdef Py_ssize_t width = row_bytes
    cdef Py_ssize_t n
    if width < 0:
        raise ValueError(f"row_bytes must not be negative: {width}")
    if width == 0:
        if rows.view.len != 0:
            raise ValueError(f"rows of 0 bytes cannot make up {rows.view.len} bytes")
        if out.view.len % out_item:
            raise ValueError(f"out has {out.view.len} bytes, not a multiple of {out_item}")
        return out.view.len // out_item
    if rows.view.len % width:
        raise ValueError(f"rows have {rows.view.len} bytes, not a multiple of {width}")
    n = rows.view.len // width
    if out.view.len != n * out_item:
        raise ValueError(f"out has {out.view.len} bytes; {n} rows need {n * out_item}")
    return n


cdef int _check_apart(_Bytes data, _Bytes out, str name) except -1:
    """Outputs are written while later inputs are still to be read."""
    cdef size_t data_begin = <size_t>data.view.buf, out_begin = <size_t>out.view.buf
    if data.view.len and out.view.len:
        if out_begin < data_begin + data.view.len and data_begin < out_begin + out.view.len:
            raise ValueError(f"out must not overlap {name}")
    return 0


def digest_many(key, rows, row_bytes, out, /):
    """Write the keyed digest of every row of `row_bytes` bytes into out, (n, 32) uint8.

    With row_bytes 0 the number of rows is that of out.
    """
    cdef blake3_key words = _keyed(key)
    cdef _Bytes data = _hold_payload(rows, "rows")
    cdef _Bytes result = _hold_integers(out, "out", PyBUF_WRITABLE, "B", 1)
    cdef size_t n = _count(data, row_bytes, result, DIGEST), width = row_bytes
    _check_apart(data, result, "rows")
    with nogil:
        hangard_blake3_many(&words, data.view.buf, width, n, <uint8_t *>result.view.buf)


cdef int _check_ends(const uint64_t *ends, size_t n, uint64_t data_bytes) except -1:
    cdef uint64_t before = 0, end
    cdef size_t i
    for i in range(n):
        memcpy(&end, &ends[i], sizeof(end))
        if end < before or end > data_bytes:
            raise ValueError(f"ends[{i}] = {end} is not between {before} and {data_bytes}")
        before = end
    if before != data_bytes:
        raise ValueError(f"the last record ends at {before}, the data at {data_bytes}")
    return 0


def digest_ragged(context, blob, ends, out, /):
    """Write the derive-key digest of every record into out, (n, 32) uint8.

    Record i is blob[ends[i - 1]:ends[i]] with ends[-1] taken as 0; ends is uint64, (n,), ascending,
    and its last value is the length of blob.
    """
    cdef blake3_key words = _derived(context)
    cdef _Bytes data = _hold_payload(blob, "blob")
    cdef _Bytes cuts = _hold_integers(ends, "ends", 0, "L Q", 8)
    cdef _Bytes result = _hold_integers(out, "out", PyBUF_WRITABLE, "B", 1)
    cdef size_t n = cuts.view.len // 8
    if <size_t>result.view.len != n * DIGEST:
        raise ValueError(f"out has {result.view.len} bytes; {n} records need {n * DIGEST}")
    _check_apart(data, result, "blob")
    _check_apart(cuts, result, "ends")
    _check_ends(<const uint64_t *>cuts.view.buf, n, data.view.len)
    with nogil:
        hangard_blake3_ragged(&words, data.view.buf, <const uint64_t *>cuts.view.buf, n,
                              <uint8_t *>result.view.buf)


def crc32c(payload, value=0, /):
    """The CRC32C of payload; `value` is the checksum of what came before it."""
    cdef uint32_t before = value
    cdef _Bytes data = _hold_payload(payload, "payload")
    if data.view.len > GIL_KEPT_BYTES_MAX:
        with nogil:
            before = hangard_crc32c(before, data.view.buf, data.view.len)
        return before
    return hangard_crc32c(before, data.view.buf, data.view.len)


def crc32c_portable(payload, value=0, /):
    """The same by table, as on a CPU without the instruction; for tests."""
    cdef uint32_t before = value
    cdef _Bytes data = _hold_payload(payload, "payload")
    return hangard_crc32c_portable(before, data.view.buf, data.view.len)


def crc32c_many(rows, row_bytes, out, /):
    """Write the CRC32C of every row of `row_bytes` bytes into out, (n,) uint32.

    With row_bytes 0 the number of rows is that of out.
    """
    cdef _Bytes data = _hold_payload(rows, "rows")
    cdef _Bytes result = _hold_integers(out, "out", PyBUF_WRITABLE, "I", 4)
    cdef size_t n = _count(data, row_bytes, result, 4), width = row_bytes, i
    cdef const uint8_t *at = <const uint8_t *>data.view.buf
    cdef uint8_t *to = <uint8_t *>result.view.buf
    cdef uint32_t value
    _check_apart(data, result, "rows")
    with nogil:
        for i in range(n):
            value = hangard_crc32c(0, at + i * width, width)
            memcpy(to + 4 * i, &value, 4)


def bodies():
    """The names of the SIMD bodies of BLAKE3 that this CPU can run, slowest first."""
    cdef size_t i = 0
    found = []
    while hangard_blake3_body_name(i) != NULL:
        found.append(hangard_blake3_body_name(i).decode("ascii"))
        i += 1
    return tuple(found)


def body():
    """The name of the body in use."""
    return hangard_blake3_body().decode("ascii")


def force_body(name, /):
    """Use this body of `bodies()` in this module from now on, or the fastest again with None."""
    if name is not None and name not in bodies():
        raise ValueError(f"no such body here: {name!r}; there are {', '.join(bodies())}")
    encoded = None if name is None else name.encode("ascii")
    hangard_blake3_force_body(NULL if encoded is None else PyBytes_AS_STRING(encoded))
