"""What a caller gives to ``commit``, checked before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hangard.errors import InvalidRequest, InvalidType
from hangard.limits import MESSAGE_BYTES_MAX, METADATA_BYTES_MAX
from hangard.model.keys import encode_key
from hangard.wire.messages import Choice
from hangard_client.clashes import Decide

Strategy = str | Mapping[str, str | Mapping[Any, str]] | Decide | None
SIDES = ("ours", "theirs")


def checked_message(
    message: object, argument: str = "message", *, may_be_empty: bool = False
) -> str:
    """Errors: InvalidType (``invalid-message-type``); InvalidRequest (``empty-message``,
    ``message-too-large``)."""
    if not isinstance(message, str):
        raise InvalidType(
            f"{argument}= is a str, not {type(message).__name__}", code="invalid-message-type"
        )
    if not message.strip() and not may_be_empty:
        raise InvalidRequest("a commit needs a message", code="empty-message")
    _check_text(message, f"{argument}=")
    if len(message.encode()) > MESSAGE_BYTES_MAX:
        raise InvalidRequest(
            f"{argument}= has {len(message.encode())} bytes; at most {MESSAGE_BYTES_MAX} are"
            " possible",
            code="message-too-large",
        )
    return message


def checked_metadata(metadata: object) -> tuple[tuple[str, str], ...]:
    """Pairs in the order of their names.

    Errors: InvalidType (``invalid-metadata-type``); InvalidRequest (``metadata-too-large``).
    """
    if metadata is None:
        return ()
    if not isinstance(metadata, Mapping):
        raise InvalidType(
            f"metadata= is a mapping of str to str, not {type(metadata).__name__}",
            code="invalid-metadata-type",
        )
    for name, value in metadata.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise InvalidType(
                f"metadata= maps str to str, not {_shown(name)} to {_shown(value)}",
                code="invalid-metadata-type",
            )
        _check_text(name + value, f"metadata={_shown(name)}")
    size_bytes = sum(len(name.encode()) + len(value.encode()) for name, value in metadata.items())
    if size_bytes > METADATA_BYTES_MAX:
        raise InvalidRequest(
            f"metadata= has {size_bytes} bytes; at most {METADATA_BYTES_MAX} are possible",
            code="metadata-too-large",
        )
    return tuple(sorted(metadata.items()))


def checked_strategy(strategy: object) -> Any:
    """``ours``, ``theirs``, or a Choice for each column (its key is empty) or key.

    A column's side holds for the column itself and for each key without a side of its own; under
    the key None stands that of the column alone.
    Errors: InvalidType (``invalid-strategy-type``); InvalidRequest (``invalid-strategy``).
    """
    if strategy is None or isinstance(strategy, str):
        return None if strategy is None else checked_side(strategy, "strategy=")
    if not isinstance(strategy, Mapping):
        raise InvalidType(
            "strategy= is 'ours', 'theirs', {column: side}, {column: {key: side}} or a function,"
            f" not {type(strategy).__name__}",
            code="invalid-strategy-type",
        )
    choices = []
    for column, sides in strategy.items():
        if not isinstance(column, str):
            raise InvalidType(
                f"strategy= maps names of columns, not {_shown(column)}",
                code="invalid-strategy-type",
            )
        if not isinstance(sides, Mapping):
            choices.append(Choice(column, b"", checked_side(sides, f"strategy={_shown(column)}")))
            continue
        for key, side in sides.items():
            encoded = encode_key(key) if key is not None else b""
            where = f"strategy={_shown(column)}[{_shown(key)}]"
            choices.append(Choice(column, encoded, checked_side(side, where), with_keys=False))
    return tuple(choices)


def checked_flag(value: object, argument: str) -> bool:
    """Errors: InvalidType (``invalid-flag-type``)."""
    if not isinstance(value, bool):
        raise InvalidType(
            f"{argument}= is True or False, not {_shown(value)}", code="invalid-flag-type"
        )
    return value


def checked_side(side: object, where: str) -> Any:
    """Errors: InvalidType (``invalid-strategy-type``); InvalidRequest (``invalid-strategy``)."""
    if not isinstance(side, str):
        raise InvalidType(
            f"{where}: a side is 'ours' or 'theirs', not {_shown(side)}",
            code="invalid-strategy-type",
        )
    if side not in SIDES:
        raise InvalidRequest(
            f"{where}: a side is 'ours' or 'theirs', not {_shown(side)}", code="invalid-strategy"
        )
    return side


def _check_text(text: str, where: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequest(
            f"{where} holds text that UTF-8 cannot hold: {error.reason}", code="invalid-text"
        ) from None


def _shown(value: object) -> str:
    """A value in a message, cut short."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
