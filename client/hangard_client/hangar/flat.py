"""Columns whose samples have one key."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from hangard_client.hangar.facts import ChangingBackend, ColumnFacts
from hangard_client.hangar.names import checked_key
from hangard_client.hangar.samples import SampleReader, SampleWriter, pairs
from hangard_client.hangar.values import checked_value


class FlatWriter(SampleWriter):
    """Values under one key each: the samples of a flat column, the subsamples of one sample."""

    def __setitem__(self, key: Any, value: Any) -> None:
        self._scope.check()
        self._native[checked_key(key)] = self._checked(value)
        self._scope.written()

    def append(self, value: Any) -> str:
        """Write a value under a new key of digits; the key."""
        key = str(uuid.uuid4().int)
        self[key] = value
        return key

    def update(
        self, other: Mapping[Any, Any] | Iterable[tuple[Any, Any]] | None = None, **kwargs: Any
    ) -> None:
        """Write values from a mapping or pairs. All are checked before any is written."""
        self._scope.check()
        checked = {checked_key(key): self._checked(value) for key, value in pairs(other, kwargs)}
        if checked:
            self._native.update(checked)
            self._scope.written()

    def pop(self, key: Any) -> Any:
        """Remove a value; the value. Errors: UnknownKey."""
        value = self[key]
        del self[key]
        return value

    def _checked(self, value: Any) -> Any:
        """The value itself. Errors: InvalidType, InvalidRequest."""
        return checked_value(self._native, value)


class FlatSampleReader(ColumnFacts, SampleReader):
    """Samples by key."""

    def _read(self, key: Any) -> Any:
        return self._native.read(key)


class FlatSampleWriter(ChangingBackend, FlatWriter, FlatSampleReader):
    """Samples by key, to read and to write."""
