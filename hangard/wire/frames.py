"""A message with binary sections behind it: the body of change and commit requests and of reads.

Offset table (little-endian)::

    offset  size  what
    0       4     h: length of the header in bytes, u32
    4       h     header: a msgpack struct that declares the lengths of all sections
    ...           zero bytes up to the next multiple of 8
    ...           section 0, zero bytes up to the next multiple of 8, section 1, ...

The last section is not padded. Sections are addressed by views of the body: nothing is copied.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from hangard.errors import InvalidRequest
from hangard.limits import REQUEST_CHANGES_MAX, REQUEST_HEADER_BYTES_MAX, REQUEST_KEYS_MAX
from hangard.wire.messages import Change

T = TypeVar("T")
Buffer = bytes | bytearray | memoryview

HEADER_LENGTH: Final = struct.Struct("<I")
ALIGNMENT_BYTES: Final = 8
ENDS_BYTES: Final = 4  # of one key's end, u32
SIZE_BYTES: Final = 8  # of one size of a shape, u64

_PADDING: Final = bytes(ALIGNMENT_BYTES)


def encode(header: Any, sections: Iterable[Any]) -> list[Buffer]:
    """The parts of a body; joined they are the body. Sections are any contiguous buffers."""
    encoded = msgspec.msgpack.encode(header)
    parts: list[Buffer] = [HEADER_LENGTH.pack(len(encoded)), encoded]
    length = HEADER_LENGTH.size + len(encoded)
    for section in sections:
        view = memoryview(section).cast("B")
        if padding := -length % ALIGNMENT_BYTES:
            parts.append(_PADDING[:padding])
        parts.append(view)
        length += padding + len(view)
    return parts


def split_header(body: Buffer, header_type: type[T]) -> tuple[T, memoryview, int]:
    """Decode the header; gives it, a view of the body and the offset where padding begins.

    Errors: InvalidRequest (``invalid-frame``, ``header-too-large``).
    """
    view = memoryview(body)
    if len(view) < HEADER_LENGTH.size:
        raise _invalid("it is shorter than its own header length")
    (header_bytes,) = HEADER_LENGTH.unpack_from(view)
    if header_bytes > REQUEST_HEADER_BYTES_MAX:
        raise InvalidRequest(
            f"a header of {header_bytes} bytes; at most {REQUEST_HEADER_BYTES_MAX} are possible",
            code="header-too-large",
        )
    end = HEADER_LENGTH.size + header_bytes
    if end > len(view):
        raise _invalid("it ends within its header")
    try:
        header = msgspec.msgpack.decode(view[HEADER_LENGTH.size : end], type=header_type)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _invalid(f"its header is no valid message: {error}") from error
    return header, view, end


def split_sections(view: memoryview, offset: int, lengths: Sequence[int]) -> list[memoryview]:
    """Views of the sections behind a header. The lengths must fill the body exactly.

    Errors: InvalidRequest (``invalid-frame``).
    """
    sections = []
    for length in lengths:
        offset += -offset % ALIGNMENT_BYTES
        if length < 0 or offset + length > len(view):
            raise _invalid(f"it ends within a section of {length} bytes")
        sections.append(view[offset : offset + length])
        offset += length
    if offset != len(view):
        raise _invalid(f"{len(view) - offset} bytes follow its last section")
    return sections


class ChangeSections(msgspec.Struct, frozen=True):
    """A change with its sections: packed keys, their ends (u32) and rows (empty unless inline).

    ``shapes`` (count, dimensions) u64 of rows of any shapes, else None.
    """

    change: Change
    keys: memoryview
    ends: npt.NDArray[np.uint32]
    rows: memoryview
    shapes: npt.NDArray[np.uint64] | None = None


def change_lengths(changes: Iterable[Change]) -> list[int]:
    """Section lengths of a header's changes, in the order keys, ends, rows (shapes) for each."""
    lengths: list[int] = []
    total_keys = 0
    for change in changes:
        total_keys += change.count
        if total_keys > REQUEST_KEYS_MAX:
            raise InvalidRequest(
                f"more than {REQUEST_KEYS_MAX} keys in one request", code="too-many-keys"
            )
        lengths += [change.keys_bytes, change.count * ENDS_BYTES, change.rows_bytes]
        if change.dimensions is not None:
            lengths.append(change.count * change.dimensions * SIZE_BYTES)
    return lengths


def join_changes(view: memoryview, offset: int, changes: Sequence[Change]) -> list[ChangeSections]:
    """The changes of a body with their sections; ``view`` and ``offset`` from split_header.

    Errors: InvalidRequest (``invalid-frame``, ``too-many-changes``, ``too-many-keys``).
    """
    if len(changes) > REQUEST_CHANGES_MAX:
        raise InvalidRequest(
            f"{len(changes)} changes in one request; at most {REQUEST_CHANGES_MAX} are possible",
            code="too-many-changes",
        )
    sections = iter(split_sections(view, offset, change_lengths(changes)))
    result = []
    for change in changes:
        keys, raw_ends, rows = next(sections), next(sections), next(sections)
        ends = np.frombuffer(raw_ends, "<u4")
        check_ends(ends, len(keys))
        shapes = None
        if change.dimensions is not None:
            shapes = np.frombuffer(next(sections), "<u8").reshape(change.count, change.dimensions)
        result.append(ChangeSections(change, keys, ends, rows, shapes))
    return result


def check_ends(ends: npt.NDArray[np.uint32], keys_bytes: int) -> None:
    """Ends of packed keys rise and stop at the end of the keys.

    Errors: InvalidRequest (``invalid-frame``).
    """
    last = int(ends[-1]) if len(ends) else 0
    if last != keys_bytes or (len(ends) and (ends[0] == 0 or not (ends[1:] > ends[:-1]).all())):
        raise _invalid("the ends of its keys do not match their bytes")


def _invalid(what: str) -> InvalidRequest:
    return InvalidRequest(f"the request's body is cut off or damaged: {what}", code="invalid-frame")
