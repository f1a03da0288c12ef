"""What the demo's processes tell the one that started them: one JSON document a line."""

from __future__ import annotations

import sys

import msgspec


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The process has its data and waits for a line on its standard input."""


class Progress(msgspec.Struct, frozen=True, tag="progress"):
    """What was done since the last message."""

    samples: int = 0
    sample_bytes: int = 0
    commits: int = 0
    rebased: int = 0


class Finished(msgspec.Struct, frozen=True, tag="finished"):
    """The last message. ``wrong`` names samples that differ from their source (the first few)."""

    samples: int
    sample_bytes: int
    seconds: float
    wrong: list[str] = []


Message = Ready | Progress | Finished

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)


def tell(message: Message) -> None:
    """Write a message for the parent process."""
    sys.stdout.buffer.write(_encoder.encode(message) + b"\n")
    sys.stdout.buffer.flush()


def parse(line: bytes) -> Message:
    return _decoder.decode(line)


def wait_for_start() -> None:
    """Say that this process is ready, and wait until all of them start at once."""
    tell(Ready())
    sys.stdin.readline()
