"""Conflicts of a commit or merge, and how the caller wants each one settled."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from hangard_ext.treekey import decode_key

from hangard.errors import Conflict, InvalidRequest
from hangard.limits import CONFLICT_KEYS_MAX
from hangard.model.diff import ConflictKind, Side
from hangard.tree.columns import COLUMN_ITSELF
from hangard.wire.messages import Choice


class Strategy:
    """Which side wins: for one key, else for its column, else for all; None where none is named."""

    def __init__(self, strategy: Side | Iterable[Choice] | None = None) -> None:
        self._all: Side | None = None
        self._columns: dict[str, Side] = {}
        self._keys: dict[tuple[str, bytes], Side] = {}
        if strategy is None or isinstance(strategy, str):
            self._all = strategy
            return
        for choice in strategy:
            self._keys[choice.column, choice.key] = choice.side
            if choice.key == COLUMN_ITSELF and choice.with_keys:
                self._columns[choice.column] = choice.side

    def side(self, column: str, key: bytes) -> Side | None:
        """The side of an encoded key, or of COLUMN_ITSELF."""
        return self._keys.get((column, key)) or self._columns.get(column) or self._all

    def check_columns(self, known: Collection[str]) -> None:
        """Errors: InvalidRequest (``invalid-strategy``) for a column that no side has."""
        named = {*self._columns, *(column for column, _ in self._keys)}
        for column in sorted(named - set(known)):
            raise InvalidRequest(
                f"strategy names column {column!r}; there are {', '.join(sorted(known)) or 'none'}",
                code="invalid-strategy",
                column=column,
            )


class Conflicts:
    """What both sides changed and the strategy does not settle; the first CONFLICT_KEYS_MAX are
    listed."""

    def __init__(self, strategy: Strategy) -> None:
        self.strategy = strategy
        self.listed: list[tuple[str, bytes, ConflictKind]] = []  # column, encoded key, kind
        self.total = 0

    def side(self, column: str, key: bytes, kind: ConflictKind) -> Side | None:
        """The chosen side; None when there is none, and then the conflict is on the list."""
        chosen = self.strategy.side(column, key)
        if chosen is None:
            self.total += 1
            if len(self.listed) < CONFLICT_KEYS_MAX:
                self.listed.append((column, key, kind))
        return chosen

    def raise_if_any(self, message: str, code: str, **details: Any) -> None:
        """Conflict with ``details``: ``keys`` as [column, key], key None for the column itself,
        ``kinds`` beside them, ``total``, and what is given. ``{}`` in ``message`` is replaced by
        the first of the keys."""
        if not self.total:
            return
        keys: list[list[Any]] = [
            [column, None if key == COLUMN_ITSELF else decode_key(key)]
            for column, key, _ in self.listed
        ]
        first = ", ".join(
            column if key is None else f"{column}[{key!r}]" for column, key in keys[:5]
        )
        more = f" and {self.total - 5} more" if self.total > 5 else ""
        raise Conflict(
            message.replace("{}", first + more),
            code=code,
            keys=keys,
            kinds=[kind for _, _, kind in self.listed],
            total=self.total,
            **details,
        )
