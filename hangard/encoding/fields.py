"""The fields that object records are made of, and a cursor that reads them with bounds.

    text8   u8 length, then UTF-8         short names
    text32  u32 length, then UTF-8        free text
    digest  32 bytes
    u8 u16 u32 u64 i64 f64                little-endian

A record has one encoding only: whatever decodes, encodes to the same bytes again.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TypeVar

from hangard.errors import Corrupt, InvalidRequest

T = TypeVar("T")

DIGEST_BYTES = 32

U8 = struct.Struct("<B")
U16 = struct.Struct("<H")
U32 = struct.Struct("<I")
U64 = struct.Struct("<Q")
I64 = struct.Struct("<q")
F64 = struct.Struct("<d")


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequest(f"{text!r} is no valid text", code="invalid-text") from error


def text8(text: str) -> bytes:
    """Errors: InvalidRequest above 255 bytes."""
    payload = _utf8(text)
    if len(payload) > 255:
        raise InvalidRequest(f"{text[:40]!r}... has more than 255 bytes", code="text-too-long")
    return U8.pack(len(payload)) + payload


def text32(text: str) -> bytes:
    payload = _utf8(text)
    return U32.pack(len(payload)) + payload


class Cursor:
    """Reads fields of one record in order. Errors: Corrupt, naming the record and the offset."""

    def __init__(self, record: bytes, name: str) -> None:
        self._record = bytes(record)
        self._name = name
        self._position = 0

    def corrupt(self, reason: str) -> Corrupt:
        return Corrupt(
            f"{self._name} record is damaged at byte {self._position}: {reason}",
            code="damaged-record",
        )

    def raw(self, length: int) -> bytes:
        end = self._position + length
        if end > len(self._record):
            raise self.corrupt(
                f"{length} bytes expected, {len(self._record) - self._position} left"
            )
        field = self._record[self._position : end]
        self._position = end
        return field

    def digest(self) -> bytes:
        return self.raw(DIGEST_BYTES)

    def u8(self) -> int:
        return self.raw(1)[0]

    def u16(self) -> int:
        return int.from_bytes(self.raw(2), "little")

    def u32(self) -> int:
        return int.from_bytes(self.raw(4), "little")

    def u64(self) -> int:
        return int.from_bytes(self.raw(8), "little")

    def i64(self) -> int:
        return int.from_bytes(self.raw(8), "little", signed=True)

    def f64(self) -> float:
        return float(F64.unpack(self.raw(8))[0])

    def text8(self) -> str:
        return self._text(self.u8())

    def text32(self) -> str:
        return self._text(self.u32())

    def version(self, known: int) -> None:
        """The version byte. Errors: Corrupt (``newer-record``) for an unknown version."""
        found = self.u8()
        if found != known:
            raise Corrupt(
                f"{self._name} record has version {found}; this hangard reads version {known}",
                code="newer-record",
            )

    def choice(self, names: tuple[str, ...]) -> str:
        """A u8 that stands for one of ``names``."""
        number = self.u8()
        if number >= len(names):
            raise self.corrupt(f"{number} is none of {', '.join(names)}")
        return names[number]

    def sorted_items(
        self, count: int, name: Callable[[], str], value: Callable[[], T]
    ) -> list[tuple[str, T]]:
        """``count`` pairs whose names strictly rise."""
        items: list[tuple[str, T]] = []
        for _ in range(count):
            item = (name(), value())
            if items and items[-1][0] >= item[0]:
                raise self.corrupt(f"{item[0]!r} is out of order")
            items.append(item)
        return items

    def end(self) -> None:
        if self._position != len(self._record):
            raise self.corrupt(f"{len(self._record) - self._position} bytes too many")

    def _text(self, length: int) -> str:
        payload = self.raw(length)
        try:
            return payload.decode()
        except UnicodeDecodeError as error:
            raise self.corrupt("no valid UTF-8") from error
