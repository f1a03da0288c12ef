"""The columns of one commit."""

from __future__ import annotations

import weakref
from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING

from hangard.errors import Closed, UnknownColumn
from hangard.model.commit import Digest
from hangard.reading.columns import ColumnReader
from hangard.reading.readers import ReaderMark

if TYPE_CHECKING:
    from hangard.reading.snapshot import RepositoryReader


NAMES_SHOWN_MAX = 10  # columns that an error names
NAME_SHOWN_MAX = 80  # characters of a name that is none


class TreeReader(Mapping[str, ColumnReader]):
    """Columns by name, as one commit has them. While it is open, gc keeps that commit.

    ``commit`` and ``record`` are None for a branch before its first commit, which has no column.

    Errors: UnknownColumn.
    """

    def __init__(self, repository: RepositoryReader, commit: Digest | None) -> None:
        self.commit = commit
        self.record = None if commit is None else repository.commit(commit)
        self._repository = repository
        self._entries = {} if self.record is None else repository.tree(self.record.tree)
        self._columns: dict[str, ColumnReader] = {}
        self._mark = None if commit is None else ReaderMark(repository.directory, commit)
        self._closed = self._released = False
        if self._mark is not None:
            # Of a checkout that was forgotten, too, nothing is held back.
            weakref.finalize(self, self._mark.close).atexit = False
        self.take_mark()

    # By identity, as open files are; a Mapping would compare contents and have no hash.
    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other

    def __enter__(self) -> TreeReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getitem__(self, name: str) -> ColumnReader:
        if self._closed:
            raise Closed("the checkout is closed")
        column = self._columns.get(name)
        if column is None:
            entry = self._entries.get(name)
            if entry is None:
                raise unknown_column(name, self._entries)
            schema = self._repository.schema(entry.schema)
            column = ColumnReader(self._repository, schema, entry.root, name)
            self._columns[name] = column
        return column

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def take_mark(self) -> None:
        """Keeps gc from the commit, in this process too if it is a forked child."""
        if self._mark is not None and not self._released:
            self._mark.take()

    def release(self) -> None:
        """gc may take what only this commit names; who reads its columns just now still may."""
        self._released = True
        if self._mark is not None:
            self._mark.close()

    def close(self) -> None:
        """As ``release``, and its columns refuse to be read. May be called twice."""
        self.release()
        self._closed = True
        for column in self._columns.values():
            column.close()


def unknown_column(name: object, known: Collection[str]) -> UnknownColumn:
    """The error for a column that is not there; it names some that are."""
    shown = ", ".join(islice(known, NAMES_SHOWN_MAX)) or "none"
    more = f" and {len(known) - NAMES_SHOWN_MAX} more" if len(known) > NAMES_SHOWN_MAX else ""
    text = repr(name)
    if len(text) > NAME_SHOWN_MAX:
        text = text[: NAME_SHOWN_MAX - 3] + "..."
    return UnknownColumn(f"no column {text}; there are: {shown}{more}", column=str(name))
