"""How values are printed: JSON for programs, short text for people."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from rich.console import Console

NANOSECONDS_PER_SECOND = 1_000_000_000


def print_json(value: Any) -> None:
    """One JSON document on standard output; bytes are written as hexadecimal digits."""
    plain = msgspec.to_builtins(value, str_keys=True, enc_hook=_plain, builtin_types=(bytes,))
    sys.stdout.write(msgspec.json.format(_encoder.encode(_hex(plain)).decode()) + "\n")


def console() -> Console:
    """Where people read: no markup, no colours for numbers, as wide as it has to be in a pipe."""
    from rich.console import Console  # 40 ms that most commands do not need

    width = None if sys.stdout.isatty() else 200
    return Console(markup=False, highlight=False, width=width, soft_wrap=True)


def progress_console() -> Console:
    """Where progress bars go, so that standard output stays clean."""
    from rich.console import Console

    return Console(stderr=True, markup=False, highlight=False)


def human_bytes(count: float) -> str:
    """1536 -> '1.5 KiB'."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(count) < 1024 or unit == "GiB":
            break
        count /= 1024
    return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"


def counted(number: int, noun: str) -> str:
    """3, 'sample' -> '3 samples'."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def date_text(time_ns: int) -> str:
    """A moment as ISO 8601 in local time with its offset, to the second."""
    moment = datetime.fromtimestamp(time_ns // NANOSECONDS_PER_SECOND, UTC)
    return moment.astimezone().isoformat(sep=" ", timespec="seconds")


def key_text(key: Any) -> str:
    """A key as `cat` takes it: an int as digits, a text as it is, a pair with a space."""
    return " ".join(map(str, key)) if isinstance(key, (tuple, list)) else str(key)


def _plain(value: Any) -> Any:
    """What msgspec does not know: a digest is bytes of a class of its own."""
    if isinstance(value, bytes):
        return value.hex()
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _hex(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {key: _hex(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_hex(item) for item in value]
    return value


_encoder = msgspec.json.Encoder()
