"""What both kinds of read checkouts are: the columns of one commit, never changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from hangard.errors import Closed
from hangard.reading.checkout import TreeReader
from hangard_client.access import Access
from hangard_client.history import CommitDigest
from hangard_client.reopening import Origin, Unopened, open_origin

if TYPE_CHECKING:
    from hangard_client.remote import RemoteTree


class ReadCheckout(Access, Unopened):
    """The columns of one commit, by name. It can be pickled.

    ``_flat`` and ``_nested`` make a column out of its reader and its origin.
    """

    _flat: ClassVar[Any]
    _nested: ClassVar[Any]

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._tree: TreeReader | RemoteTree | None = origin.tree
        self._columns: dict[str, Any] = {}
        self._commit_digest = CommitDigest.or_none(origin.commit)

    @property
    def origin(self) -> Origin:
        """Where it was read from."""
        return self._origin

    @property
    def commit_digest(self) -> CommitDigest | None:
        """The commit; None for a branch before its first."""
        return self._commit_digest

    @property
    def columns(self) -> dict[str, Any]:
        """All columns by name."""
        return {name: self._column(name) for name in self}

    def __contains__(self, name: object) -> bool:
        return name in self._open()

    def __iter__(self) -> Iterator[str]:
        return iter(self._open())

    def __len__(self) -> int:
        return len(self._open())

    def __repr__(self) -> str:
        state = "closed" if self._tree is None else ", ".join(self) or "no columns"
        commit = self.commit_digest.hex()[:12] if self.commit_digest else "no commit yet"
        return f"<{type(self).__name__} of {commit}: {state}>"

    def _column(self, name: str) -> Any:
        tree = self._open()
        column = self._columns.get(name)
        if column is None:
            reader = tree[name]
            kind = self._nested if reader.schema.layout == "nested" else self._flat
            column = self._columns[name] = kind(reader, self._origin)
        return column

    def _open(self) -> TreeReader | RemoteTree:
        if self._tree is None:
            raise Closed("the checkout is closed")
        return self._tree

    def _close(self) -> None:
        if self._tree is not None:
            self._tree.close()
            self._tree = None

    def _pickled(self) -> tuple[Any, ...]:
        self._open()
        return str(self._origin.path), self._origin.commit

    def _open_again(self) -> None:
        path, commit = self._place
        type(self).__init__(self, open_origin(path, commit, shared=False))

    def _ipython_key_completions_(self) -> list[str]:
        return list(self)
