"""Settings that mean something: checked when they are made, and as the defaults of columns."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from hangard.config import Levels, check_name, checked_author_text, dotted, from_environment
from hangard.errors import InvalidRequest, InvalidType
from hangard.model.options import COMPLIBS, LEVEL_MAX, SHUFFLES, backend_code

_PREFIX = "column."
_BOOLS = {"true": True, "false": False}
_LEGAL = {
    "complib": tuple(COMPLIBS),
    "complevel": ("none", *map(str, range(LEVEL_MAX + 1))),
    "shuffle": ("true", "false", *SHUFFLES),
    "fletcher32": ("true", "false"),
}


def check_setting(name: object, value: object) -> tuple[str, str]:
    """A setting's name, and its value as text.

    Errors: InvalidRequest (``unknown-setting``, ``invalid-setting``, ``unknown-backend``,
    ``invalid-author``), which name what is legal; InvalidType.
    """
    known = check_name(name)
    if not isinstance(value, str | int) or not str(value).strip():
        raise InvalidType(f"{known} is set to text, not to {value!r}", code="invalid-setting")
    text = dotted({known: value})[known].strip()
    option = known.removeprefix(_PREFIX)
    if not known.startswith(_PREFIX):
        return known, checked_author_text(text)
    if option == "backend":
        backend_code(text)
    elif text not in _LEGAL[option]:
        raise InvalidRequest(
            f"{known} cannot be {text[:80]!r}; it may be {', '.join(_LEGAL[option])}",
            code="invalid-setting",
        )
    return known, text


def daemon_settings(
    given: Iterable[str], variables: Mapping[str, str] | None = None
) -> dict[str, str]:
    """A daemon's settings: ``NAME=VALUE`` arguments, then its environment.

    Errors: as ``check_setting``; InvalidRequest (``invalid-setting``) for another form.
    """
    environment = from_environment(os.environ if variables is None else variables)
    result = dict(check_setting(name, value) for name, value in environment.items())
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise InvalidRequest(f"{text!r} is not NAME=VALUE", code="invalid-setting")
        checked, value = check_setting(name.strip(), value)
        result[checked] = value
    return result


def column_defaults(levels: Levels) -> dict[str, Any]:
    """What the levels settle of new columns, as ``resolve_backend`` takes it.

    Errors: as ``check_setting``, for a value that came into a file or the environment unchecked.
    """
    result: dict[str, Any] = {}
    for level, settings in reversed(levels.named()):
        here = {name: text for name, text in settings.items() if name.startswith(_PREFIX)}
        if f"{_PREFIX}complib" in here:
            # Another compressor: the level or shuffle of the one behind it may be wrong for it.
            result = {name: value for name, value in result.items() if name == "backend"}
        result |= _options(level, here)
    return result


def _options(level: str, settings: Mapping[str, str]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, given in settings.items():
        try:
            _, text = check_setting(name, given)
        except InvalidRequest as error:
            raise type(error)(
                f"configuration of the {level}: {error.message}", code=error.code
            ) from error
        option = name.removeprefix(_PREFIX)
        if option == "complevel":
            result[option] = None if text == "none" else int(text)
        elif option in ("shuffle", "fletcher32"):
            result[option] = _BOOLS.get(text, text)
        else:
            result[option] = text
    return result
