"""Sample keys as bytes whose memcmp order is the order of the keys.

Format   encoded key, permanent; one part for a flat key, two parts, one after the other, for a nested one:

             part   bytes
             int    u8 0x10 + m | m bytes, big-endian, the first not zero    m = 0 for 0, 8 for 2**63 - 1
             text   u8 0x80 | 1 to 255 bytes of UTF-8 | u8 0x00

         A part never begins another one (text holds no 0x00), so comparing bytes compares first parts,
         then second parts; ints come before text.
Shapes   packed keys: a pair (blob, ends), ends (n,) uint32; key i is blob[ends[i-1]:ends[i]], ends[-1] = 0.
Errors   TypeError and ValueError name the key at fault; OverflowError when a block exceeds 4 GiB.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.long cimport PyLong_AsLongLongAndOverflow
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memchr, memcpy

import operator

import numpy as np

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL
    object PyUnicode_DecodeUTF8(const char* text, Py_ssize_t size, const char* errors)

cdef enum:
    INT_TAG = 0x10
    TEXT_TAG = 0x80
    TEXT_BYTES_MAX = 255

KEY_INT_MAX = 2**63 - 1
KEY_TEXT_BYTES_MAX = TEXT_BYTES_MAX
ENCODED_KEY_BYTES_MAX = KEY_BYTES_MAX

cdef uint64_t BLOB_BYTES_MAX = 0xFFFFFFFF    # ends are uint32


cdef struct Buffer:
    uint8_t* start
    size_t used
    size_t size


cdef int reserve(Buffer* buffer, size_t more) except -1:
    cdef size_t wanted = buffer.used + more
    cdef uint8_t* moved
    if wanted <= buffer.size:
        return 0
    wanted += wanted // 2
    moved = <uint8_t*>realloc(buffer.start, wanted)
    if moved == NULL:
        raise MemoryError()
    buffer.start = moved
    buffer.size = wanted
    return 0


# ---- encode

cdef inline size_t put_int(uint8_t* out, uint64_t value) noexcept nogil:
    cdef int m = 0
    cdef int i
    cdef uint64_t rest = value
    while rest:
        m += 1
        rest >>= 8
    out[0] = <uint8_t>(INT_TAG + m)
    for i in range(m):
        out[1 + i] = <uint8_t>(value >> (8 * (m - 1 - i)))
    return m + 1


cdef int text_fault(const uint8_t* text, size_t size) noexcept nogil:
    """0 when text is legal; 1 length, 2 control character, 3 not UTF-8."""
    cdef size_t i = 0
    cdef uint8_t c, lowest, highest
    cdef int more
    if size == 0 or size > TEXT_BYTES_MAX:
        return 1
    while i < size:
        c = text[i]
        i += 1
        if c < 0x80:
            if c < 0x20 or c == 0x7F:
                return 2
            continue
        # The table of well-formed sequences, Unicode 15 section 3.9, table 3-7.
        lowest, highest = 0x80, 0xBF
        if 0xC2 <= c <= 0xDF:
            more = 1
        elif 0xE0 <= c <= 0xEF:
            more = 2
            if c == 0xE0:
                lowest = 0xA0
            elif c == 0xED:
                highest = 0x9F
        elif 0xF0 <= c <= 0xF4:
            more = 3
            if c == 0xF0:
                lowest = 0x90
            elif c == 0xF4:
                highest = 0x8F
        else:
            return 3
        if i + more > size or text[i] < lowest or text[i] > highest:
            return 3
        if c == 0xC2 and text[i] < 0xA0:
            return 2                      # U+0080 to U+009F are control characters as well
        i += 1
        while more > 1:
            if text[i] & 0xC0 != 0x80:
                return 3
            i += 1
            more -= 1
    return 0


cdef str described(object key):
    text = ascii(key)
    return text if len(text) <= 120 else text[:117] + "..."


cdef object type_fault(object part, object key):
    return TypeError(f"a key is an int, a str or a pair of those, not {type(part).__name__}: "
                     f"{described(key)}")


cdef int put_part(Buffer* out, object part, object key) except -1:
    """Append one part; `key` is the whole key, for messages."""
    cdef Py_ssize_t size
    cdef const char* text
    cdef long long value
    cdef int overflow = 0
    cdef int fault
    if isinstance(part, str):
        try:
            text = PyUnicode_AsUTF8AndSize(part, &size)
        except UnicodeEncodeError:
            raise ValueError(f"key {described(key)} holds a lone surrogate") from None
        fault = text_fault(<const uint8_t*>text, size)
        if fault == 1:
            raise ValueError(f"key {described(key)} has {size} bytes of UTF-8; "
                             f"allowed are 1 to {TEXT_BYTES_MAX}")
        if fault:
            raise ValueError(f"key {described(key)} holds a control character")
        reserve(out, size + 2)
        out.start[out.used] = TEXT_TAG
        memcpy(out.start + out.used + 1, text, size)
        out.start[out.used + 1 + size] = 0
        out.used += size + 2
        return 0
    if isinstance(part, int):
        if isinstance(part, bool):
            raise type_fault(part, key)
    elif isinstance(part, np.integer):
        part = operator.index(part)
    else:
        raise type_fault(part, key)
    value = PyLong_AsLongLongAndOverflow(part, &overflow)
    if overflow or value < 0:
        raise ValueError(f"key {described(key)} is not within 0 .. 2**63 - 1")
    reserve(out, 9)
    out.used += put_int(out.start + out.used, <uint64_t>value)
    return 0


cdef int put_key(Buffer* out, object key, int layout) except -1:
    """layout: 0 flat, 1 nested, -1 either."""
    if isinstance(key, tuple):
        if layout == 0:
            raise TypeError(f"a flat column has no nested key {described(key)}")
        if len(<tuple>key) != 2:
            raise ValueError(f"a nested key is a pair, not {described(key)}")
        put_part(out, (<tuple>key)[0], key)
        put_part(out, (<tuple>key)[1], key)
        return 0
    put_part(out, key, key)
    if layout == 1:
        raise TypeError(f"a nested column needs a pair (sample, subsample), not {described(key)}")
    return 0


cdef int layout_of(object nested) except -2:
    return -1 if nested is None else (1 if nested else 0)


def encode_key(key, nested=None):
    """The encoded form of one key: int, str, or a pair of those.
    
    nested   True: the key must be a pair, False: it must not be one, None: either.
    Errors   TypeError (bool and other types, wrong layout), ValueError (out of bounds, illegal text).
    """
    cdef Buffer out = Buffer(NULL, 0, 0)
    cdef int layout = layout_of(nested)
    try:
        put_key(&out, key, layout)
        return PyBytes_FromStringAndSize(<char*>out.start, out.used)
    finally:
        free(out.start)


def encode_keys(keys, nested=None):
    """The packed form (blob, ends) of many keys, in their order.
    
    keys     any iterable of keys; ranges and 1-D integer arrays take a path without Python objects.
    Errors   as encode_key; the message names the first key at fault.
    """
    cdef int layout = layout_of(nested)
    if isinstance(keys, (str, bytes, int)):
        raise TypeError(f"expected a sequence of keys, not {described(keys)}")
    if isinstance(keys, range):
        return encode_range(keys, layout)
    if isinstance(keys, np.ndarray):
        if keys.ndim != 1:
            raise ValueError(f"an array of keys has one axis, not {keys.ndim}")
        if keys.dtype.kind in "iu":
            if layout == 1 and len(keys):
                raise TypeError("a nested column needs pairs (sample, subsample), not integers")
            return encode_integers(keys)
        if keys.dtype.kind == "b":
            raise TypeError("bool is never a key")
        keys = keys.tolist()
    return encode_sequence(tuple(keys), layout)


cdef tuple encode_sequence(tuple keys, int layout):
    cdef Py_ssize_t n = len(keys)
    cdef Py_ssize_t i
    cdef Buffer out = Buffer(NULL, 0, 0)
    ends_array = np.empty(n, np.uint32)
    cdef unsigned int[::1] ends = ends_array
    try:
        for i in range(n):
            put_key(&out, keys[i], layout)
            if out.used > BLOB_BYTES_MAX:
                raise OverflowError("a block of keys exceeds 4 GiB")
            ends[i] = <unsigned int>out.used
        return PyBytes_FromStringAndSize(<char*>out.start, out.used), ends_array
    finally:
        free(out.start)


cdef tuple encode_range(object keys, int layout):
    if len(keys) == 0:
        return b"", np.empty(0, np.uint32)
    if layout == 1:
        raise TypeError("a nested column needs pairs (sample, subsample), not a range")
    for key in (keys[0], keys[len(keys) - 1]):
        if not 0 <= key <= KEY_INT_MAX:
            raise ValueError(f"key {described(key)} is not within 0 .. 2**63 - 1")
    # Every value lies between the first and the last one; the step may be larger than int64.
    step = keys.step if len(keys) > 1 else 0
    return encode_steps(<uint64_t>keys[0], <int64_t>step, len(keys))


cdef tuple encode_steps(uint64_t first, int64_t step, Py_ssize_t n):
    cdef Py_ssize_t i
    cdef uint8_t* out
    cdef uint64_t used = 0
    if n > <Py_ssize_t>(BLOB_BYTES_MAX // 9):
        raise OverflowError("a block of keys exceeds 4 GiB")
    ends_array = np.empty(n, np.uint32)
    cdef unsigned int[::1] ends = ends_array
    out = <uint8_t*>malloc(n * 9)
    if out == NULL:
        raise MemoryError()
    try:
        with nogil:
            for i in range(n):
                used += put_int(out + used, first + <uint64_t>i * <uint64_t>step)
                ends[i] = <unsigned int>used
        return PyBytes_FromStringAndSize(<char*>out, used), ends_array
    finally:
        free(out)


cdef tuple encode_integers(object keys):
    cdef Py_ssize_t n = len(keys)
    cdef Py_ssize_t i
    cdef uint8_t* out
    cdef uint64_t used = 0
    if n == 0:
        return b"", np.empty(0, np.uint32)
    if n > <Py_ssize_t>(BLOB_BYTES_MAX // 9):
        raise OverflowError("a block of keys exceeds 4 GiB")
    for key in (int(keys.min()), int(keys.max())):
        if not 0 <= key <= KEY_INT_MAX:
            raise ValueError(f"key {key} is not within 0 .. 2**63 - 1")
    cdef const long long[::1] values = np.ascontiguousarray(keys, np.int64)
    ends_array = np.empty(n, np.uint32)
    cdef unsigned int[::1] ends = ends_array
    out = <uint8_t*>malloc(n * 9)
    if out == NULL:
        raise MemoryError()
    try:
        with nogil:
            for i in range(n):
                used += put_int(out + used, <uint64_t>values[i])
                ends[i] = <unsigned int>used
        return PyBytes_FromStringAndSize(<char*>out, used), ends_array
    finally:
        free(out)


# ---- decode and check

cdef Py_ssize_t part_bytes(const uint8_t* key, size_t available) noexcept nogil:
    """Length of the canonical part at `key`; 0 when there is none within `available` bytes."""
    cdef size_t m
    cdef const void* end
    if available == 0:
        return 0
    if INT_TAG <= key[0] <= INT_TAG + 8:
        m = key[0] - INT_TAG
        if m + 1 > available or (m > 0 and key[1] == 0) or (m == 8 and key[1] >= 0x80):
            return 0
        return m + 1
    if key[0] != TEXT_TAG:
        return 0
    end = memchr(key + 1, 0, available - 1)
    if end == NULL:
        return 0
    m = <const uint8_t*>end - key - 1
    if text_fault(key + 1, m):
        return 0
    return m + 2


cdef object decode_part(const uint8_t* part, Py_ssize_t size):
    cdef uint64_t value = 0
    cdef Py_ssize_t i
    if part[0] == TEXT_TAG:
        return PyUnicode_DecodeUTF8(<const char*>part + 1, size - 2, NULL)
    for i in range(1, size):
        value = value << 8 | part[i]
    return value


cdef object key_fault(const uint8_t* key, size_t size):
    shown = (<const char*>key)[: size if size < 40 else 40].hex()
    return ValueError(f"not an encoded key: {shown}{'...' if size > 40 else ''}")


cdef object decode_at(const uint8_t* key, size_t size):
    cdef Py_ssize_t first = part_bytes(key, size)
    cdef Py_ssize_t second
    if first == 0:
        raise key_fault(key, size)
    if <size_t>first == size:
        return decode_part(key, first)
    second = part_bytes(key + first, size - first)
    if second == 0 or <size_t>(first + second) != size:
        raise key_fault(key, size)
    return decode_part(key, first), decode_part(key + first, second)


cdef int check_packed(const unsigned char[::1] blob, const unsigned int[::1] ends) except -1:
    """Whether ends cut blob into keys of 1 to KEY_BYTES_MAX bytes; says nothing about their content."""
    cdef Py_ssize_t n = ends.shape[0]
    cdef Py_ssize_t i
    cdef unsigned int previous = 0
    for i in range(n):
        if ends[i] <= previous or ends[i] - previous > KEY_BYTES_MAX:
            raise ValueError(f"packed keys: end {i} is {ends[i]}, after {previous}")
        previous = ends[i]
    if previous != blob.shape[0]:
        raise ValueError(f"packed keys: the last end is {previous}, the blob has {blob.shape[0]} bytes")
    return 0


def decode_key(const unsigned char[::1] encoded):
    """The key that `encoded` stands for; ValueError when it is no encoded key."""
    return decode_at(start_of(encoded), encoded.shape[0])


def decode_keys(const unsigned char[::1] blob, const unsigned int[::1] ends):
    """The keys of a packed block as a list; ValueError when one is no encoded key."""
    cdef Py_ssize_t n = ends.shape[0]
    cdef Py_ssize_t i
    cdef unsigned int previous = 0
    cdef const uint8_t* start = start_of(blob)
    check_packed(blob, ends)
    keys = []
    for i in range(n):
        keys.append(decode_at(start + previous, ends[i] - previous))
        previous = ends[i]
    return keys


def check_keys(const unsigned char[::1] blob, const unsigned int[::1] ends, bint nested):
    """Check packed keys that come from outside.
    
    Errors   ValueError unless ends fit the blob and each key is canonical, within bounds, and has the
             number of parts that `nested` asks for; its text valid UTF-8 without control characters.
    """
    cdef Py_ssize_t n = ends.shape[0]
    cdef Py_ssize_t i, first, second
    cdef unsigned int previous = 0
    cdef const uint8_t* start = start_of(blob)
    cdef size_t size
    check_packed(blob, ends)
    for i in range(n):
        size = ends[i] - previous
        first = part_bytes(start + previous, size)
        second = 0
        if first and nested:
            second = part_bytes(start + previous + first, size - first)
        if first == 0 or (nested and second == 0) or <size_t>(first + second) != size:
            raise key_fault(start + previous, size)
        previous = ends[i]
