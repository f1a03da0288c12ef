"""What may stand between a checkout's brackets: columns, samples of them, and lists of such.

::

    co["faces"]                        the column
    co["faces", "ada"]                 a sample; co["faces", "ada", 10:20] a part of it
    co["clips", "s", "left"]           a subsample of a nested column
    co["clips", "s"], co["clips", "s", ...], co["clips", "s", 1:3]
    co[[("faces", "ada"), ("clips", "s", "left"), "faces"]]      a list in that order; a tuple of
                                       tuples does the same

Samples of one column that are asked for together are read together.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from hangard.errors import InvalidType, NotFound, UnknownColumn, UnknownKey
from hangard.reading.checkout import unknown_column

MISSING: Any = object()


class ManyAtOnce(Protocol):
    """A column that gives many samples in one call."""

    @property
    def contains_subsamples(self) -> bool: ...

    def _find_many(self, keys: Iterable[Any], default: Any) -> list[Any]: ...

    def __getitem__(self, item: Any) -> Any: ...


def is_list(item: Any) -> bool:
    """Whether an item stands for several. Errors: InvalidType (``invalid-key-type``)."""
    if isinstance(item, str):
        return False
    if isinstance(item, list):
        return True
    if isinstance(item, tuple) and item:
        return not isinstance(item[0], str)
    raise InvalidType(
        "name a column, (column, key), (column, sample, subsample), or a list of such;"
        f" not {item!r}",
        code="invalid-key-type",
    )


def split_column(item: Any) -> tuple[str, Any]:
    """The column that one item names, and what of it; MISSING for the column itself.

    Errors: InvalidType (``invalid-key-type``).
    """
    if is_list(item):
        raise InvalidType(
            f"{item!r} is no item of a list: name a column or (column, key)",
            code="invalid-key-type",
        )
    if isinstance(item, str):
        return item, MISSING
    column, rest = item[0], item[1:]
    return column, (MISSING if not rest else rest[0] if len(rest) == 1 else rest)


def is_key(rest: Any, nested: bool) -> bool:
    """Whether what was asked of a column is one whole sample (or subsample of a nested one)."""
    if not nested:
        return not isinstance(rest, tuple)
    return (
        isinstance(rest, tuple)
        and len(rest) == 2
        and rest[1] is not ...
        and not isinstance(rest[1], slice)
    )


class Plan:
    """What a list of items asks of each column.

    ``whole``  positions and keys of samples, by column, to be read together
    ``others``  the rest: positions, columns and what of them
    """

    def __init__(self, items: Iterable[Any], layouts: dict[str, bool]) -> None:
        self.whole: dict[str, tuple[list[int], list[Any]]] = {}
        self.others: list[tuple[int, str, Any]] = []
        self._known = layouts
        self.items = list(items)
        for i, item in enumerate(self.items):
            column, rest = split_column(item)
            if rest is not MISSING and column in layouts and is_key(rest, layouts[column]):
                positions, keys = self.whole.setdefault(column, ([], []))
                positions.append(i)
                keys.append(rest)
            else:
                self.others.append((i, column, rest))

    def fill(self, results: list[Any], column: str, found: list[Any]) -> None:
        """Put what a column gave for its whole samples where it belongs."""
        for i, value in zip(self.whole[column][0], found, strict=True):
            results[i] = value

    def finish(self, results: list[Any], default: Any, except_missing: bool) -> list[Any]:
        """The results, with ``default`` for what was not there. Errors: UnknownKey,
        UnknownColumn."""
        for i, value in enumerate(results):
            if value is MISSING:
                if except_missing:
                    raise self._missing(self.items[i])
                results[i] = default
        return results

    def _missing(self, item: Any) -> NotFound:
        column, rest = split_column(item)
        if column not in self._known:
            return unknown_column(column, self._known)
        return UnknownKey(f"no sample {rest!r} in column {column!r}", keys=[repr(rest)], total=1)


class Columns(ABC):
    """A checkout as a mapping: columns by name, in the order of their names."""

    @abstractmethod
    def _column(self, name: str) -> Any:
        """Errors: UnknownColumn, Closed."""

    @abstractmethod
    def __iter__(self) -> Iterator[str]: ...

    def keys(self) -> list[str]:
        """Names of the columns, in order."""
        return list(self)

    def values(self) -> list[Any]:
        """The columns, in the order of their names."""
        return [self._column(name) for name in self]

    def items(self) -> list[tuple[str, Any]]:
        """Names and columns, in the order of the names."""
        return [(name, self._column(name)) for name in self]


class Access(Columns):
    """A checkout whose columns answer at once."""

    def __getitem__(self, item: Any) -> Any:
        """See hangard_client.access. Errors: UnknownColumn, UnknownKey."""
        if isinstance(item, str):
            return self._column(item)
        if is_list(item):
            return self._read_list(item, None, True)
        column, rest = split_column(item)
        return self._column(column) if rest is MISSING else self._column(column)[rest]

    def get(self, item: Any, default: Any = None, except_missing: bool = False) -> Any:
        """As ``checkout[item]``, but ``default`` where a column, sample or subsample is not there
        (of a list: in its place), unless ``except_missing``."""
        if not isinstance(item, str) and is_list(item):
            return self._read_list(item, default, except_missing)
        try:
            return self[item]
        except (UnknownColumn, UnknownKey):
            if except_missing:
                raise
            return default

    def _read_list(self, items: Iterable[Any], default: Any, except_missing: bool) -> list[Any]:
        columns: dict[str, ManyAtOnce] = {name: self._column(name) for name in self}
        layouts = {name: column.contains_subsamples for name, column in columns.items()}
        plan = Plan(items, layouts)
        results = [MISSING] * len(plan.items)
        for name, (_, keys) in plan.whole.items():
            plan.fill(results, name, columns[name]._find_many(keys, MISSING))
        for i, name, rest in plan.others:
            if name in columns:
                results[i] = _at(columns[name], rest)
        return plan.finish(results, default, except_missing)


def _at(column: ManyAtOnce, rest: Any) -> Any:
    if rest is MISSING:
        return column
    try:
        return column[rest]
    except UnknownKey:
        return MISSING
