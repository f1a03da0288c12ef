"""The forms of ``checkout[...]``: one column, one sample, or many samples at once.

================================  ==========================================
``"column"``                      the column
``"column", key``                 a sample; of a nested column all of its samples
``"column", key, subsample``      a subsample; ``...`` for all, a slice for some
list or tuple of the last two     a list of those, in the order of the request
================================  ==========================================
"""

from __future__ import annotations

from typing import Any

import hangard_client
from hangard.errors import Corrupt, InvalidRequest, UnknownColumn, UnknownKey
from hangard_client.hangar.columns import Columns, wrapped
from hangard_client.hangar.errors import as_builtin
from hangard_client.hangar.nested import FlatSubsampleReader, FlatSubsampleWriter
from hangard_client.hangar.scopes import Scope, WriteScope


def look_up(columns: Columns, keys: Any) -> Any:
    """What ``keys`` name. Errors: UnknownColumn, UnknownKey; Corrupt (a RuntimeError, too)."""
    return columns[keys] if isinstance(keys, str) else _native(columns, keys, None, True)


def find(columns: Columns, keys: Any, default: Any) -> Any:
    """As ``look_up``, with ``default`` for what is not there. A column is never replaced by it.

    Errors: UnknownColumn.
    """
    return columns[keys] if isinstance(keys, str) else _native(columns, keys, default, False)


def _native(columns: Columns, keys: Any, default: Any, except_missing: bool) -> Any:
    try:
        found = columns._native.get(keys, default, except_missing)
    except UnknownColumn:
        raise
    except InvalidRequest as error:
        if not except_missing:
            return default
        raise UnknownKey(f"{keys!r} names neither a column nor samples: {error}") from error
    except Corrupt as error:
        raise as_builtin(error, RuntimeError) from error
    if isinstance(found, list):
        return [_given(one, columns._scope) for one in found]
    return _given(found, columns._scope)


def _given(value: Any, scope: Scope) -> Any:
    """A native value as Hangar's."""
    if isinstance(value, hangard_client.WriteSubsamples) and isinstance(scope, WriteScope):
        return FlatSubsampleWriter(value, scope)
    if isinstance(value, hangard_client.Subsamples):
        return FlatSubsampleReader(value, scope)
    if isinstance(value, hangard_client.Column | hangard_client.WriteColumn):
        return wrapped(value, scope)
    return value
