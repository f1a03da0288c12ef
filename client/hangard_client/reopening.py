"""Pickled read checkouts and columns: a place in a repository, opened again where it is used.

What is pickled is a path, a commit and the name of a column, never a file handle. So columns travel
to processes that were forked or spawned, and each process opens (and marks for gc) its own.
"""

from __future__ import annotations

import os
import threading
import weakref
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hangard.errors import InvalidType
from hangard.model.commit import Digest

if TYPE_CHECKING:
    from hangard.reading.checkout import TreeReader
    from hangard_client.remote import RemoteTree


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a checkout or column was read from. Holds the checkout open as long as it lives."""

    path: Path
    commit: Digest | None
    tree: TreeReader | RemoteTree = field(repr=False, compare=False)


class Unopened:
    """A base of what is pickled as its origin and opens itself at its first use.

    A subclass fills in what it lacks in ``_open_again``, from ``_place``: what ``_pickled`` gave.
    """

    _place: tuple[Any, ...]

    def _pickled(self) -> tuple[Any, ...]:
        raise InvalidType(f"a {type(self).__name__} cannot be pickled", code="not-picklable")

    def _open_again(self) -> None:
        """Set what ``__init__`` sets."""

    def __reduce__(self) -> tuple[Any, ...]:
        place = self.__dict__.get("_place")
        return _unopened, (type(self), self._pickled() if place is None else place)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            # Called for what is not set only, so one that is open pays nothing.
            if "_place" in self.__dict__ and not name.startswith("__"):
                with _lock:
                    if "_place" in self.__dict__:
                        self._open_again()
                        del self._place
                return getattr(self, name)
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


def refuse_pickling(what: object) -> tuple[Any, ...]:
    """Errors: InvalidType (``not-picklable``)."""
    raise InvalidType(
        f"a {type(what).__name__} writes for one process and cannot be pickled; pickle a column of"
        " a read checkout, or the session's id: checkout(session=id) goes on with it elsewhere",
        code="not-picklable",
    )


def _unopened(kind: type[Unopened], place: tuple[Any, ...]) -> Unopened:
    result = kind.__new__(kind)
    result._place = place
    return result


def open_origin(path: str, commit: Digest | None, *, shared: bool) -> Origin:
    """The origin again. ``shared``: one checkout of a commit serves all columns of it.

    Errors: NoRepository, UnknownRevision.
    """
    from hangard_client.async_repository import AsyncRepository

    with _lock:
        tree = _shared.get((path, commit)) if shared else None
        if tree is None:
            repository = AsyncRepository(path)
            tree = repository.read_tree(commit)
            # Its files stay open as long as somebody holds the tree.
            weakref.finalize(tree, repository.close_files).atexit = False
            if shared:
                _shared[path, commit] = tree
        return Origin(Path(path), commit, tree)


_lock = threading.RLock()
_shared: weakref.WeakValueDictionary[tuple[str, Digest | None], Any] = weakref.WeakValueDictionary()


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.RLock()
    _shared.clear()


os.register_at_fork(after_in_child=_after_fork_in_child)
