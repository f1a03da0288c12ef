"""Columns whose samples have subsamples."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import hangard_client
from hangard.errors import InvalidRequest, InvalidType, UnknownKey
from hangard_client.hangar.facts import ChangingBackend, ColumnFacts
from hangard_client.hangar.flat import FlatWriter
from hangard_client.hangar.names import checked_key
from hangard_client.hangar.samples import SampleReader, SampleWriter, pairs
from hangard_client.hangar.values import checked_value

Subsamples = Mapping[Any, Any] | Iterable[tuple[Any, Any]]


class FlatSubsampleReader(SampleReader):
    """The subsamples of one sample: ``[key]`` is one of them, ``[...]`` and ``[1:3]`` (by position)
    are dicts. Errors: also a TypeError for what cannot be a key."""

    @property
    def column(self) -> str:
        """The name of the column."""
        self._scope.check()
        return str(self._native.column)

    @property
    def sample(self) -> Any:
        """The key of the sample."""
        self._scope.check()
        return self._native.sample

    @property
    def data(self) -> dict[Any, Any]:
        """All of them by key."""
        return dict(self.items())

    def _read(self, key: Any) -> Any:
        if isinstance(key, tuple):
            raise InvalidType(f"{key!r} is no key of a subsample", code="invalid-key-type")
        return self._native[key]

    def _no_key(self, key: Any, error: InvalidRequest) -> Exception:
        return error if isinstance(error, InvalidType) else super()._no_key(key, error)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(column={self._native.column!r}, sample={self._native.sample!r})"
        )


class FlatSubsampleWriter(FlatWriter, FlatSubsampleReader):
    """The subsamples of one sample, to read and to write."""

    def _checked(self, value: Any) -> Any:
        return checked_value(self._native._owner, value)


class NestedSampleReader(ColumnFacts, SampleReader):
    """Samples by key: ``[s]`` gives access to the subsamples, ``[s, key]`` is one of them,
    ``[s, ...]`` and ``[s, 1:3]`` are dicts."""

    @property
    def num_subsamples(self) -> int:
        """How many all samples have together."""
        self._scope.check()
        return int(self._native.count_subsamples())

    def _given(self, value: Any) -> Any:
        if isinstance(value, hangard_client.Subsamples):
            return FlatSubsampleReader(value, self._scope)
        return value


class NestedSampleWriter(ChangingBackend, SampleWriter, NestedSampleReader):
    """Samples by key, to read and to write. A sample is begun by ``column[s] = mapping``."""

    def __setitem__(self, key: Any, value: Any) -> None:
        """Write subsamples of a sample; its others stay. ``column[s, key] = value`` writes one."""
        if isinstance(key, tuple):
            if len(key) != 2:
                raise InvalidRequest(f"{key!r} is no (sample, subsample)", code="invalid-key")
            self.update({key[0]: {key[1]: value}})
        else:
            self.update({key: value})

    def update(
        self,
        other: Mapping[Any, Subsamples] | Iterable[tuple[Any, Subsamples]] | None = None,
        **kwargs: Subsamples,
    ) -> None:
        """Write subsamples of many samples, from mappings or pairs of such. All are checked before
        any is written."""
        self._scope.check()
        checked: dict[Any, dict[Any, Any]] = {}
        for sample, subsamples in pairs(other, kwargs):
            given = {
                checked_key(key): checked_value(self._native, value)
                for key, value in pairs(_given(subsamples), {})
            }
            checked.setdefault(checked_key(sample), {}).update(given)
        if any(checked.values()):
            self._native.update({sample: given for sample, given in checked.items() if given})
            self._scope.written()

    def pop(self, key: Any) -> dict[Any, Any]:
        """Remove a sample; its subsamples. Errors: UnknownKey."""
        if key not in self:
            raise UnknownKey(f"there is no sample {key!r}")
        subsamples: dict[Any, Any] = self[key].data
        del self[key]
        return subsamples

    def _given(self, value: Any) -> Any:
        if isinstance(value, hangard_client.WriteSubsamples):
            return FlatSubsampleWriter(value, self._scope)
        return value


def _given(subsamples: Any) -> Any:
    """None is no empty mapping here."""
    if subsamples is None:
        raise InvalidType("give a mapping of subsamples, or pairs", code="not-a-mapping")
    return subsamples
