"""Sessions of an earlier life, brought back from LMDB's record and their journal."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from hangard.encoding.journal import KIND_PUT, JournalRecord
from hangard.encoding.records import SessionRecord
from hangard.errors import Corrupt
from hangard.repository.journals import JournalWriter, read_journal
from hangard.repository.objects import Objects
from hangard.repository.session import Session

Bytes = npt.NDArray[np.uint8]
Records = Sequence[tuple[JournalRecord, int]]
Finder = Callable[[Bytes], tuple[Bytes, npt.NDArray[np.bool_]]]

_log = logging.getLogger(__name__)


def resume(
    record: SessionRecord,
    journals: Callable[[int, int], JournalWriter],
    objects: Objects,
    find_many: Finder,
) -> Session:
    """The session as its last answered change left it.

    ``find_many`` tells which digests are stored. Damage of the journal costs the changes behind it,
    and is logged: a client that still knows of them is told by its next request.
    Errors: Corrupt (``missing-object``).
    """
    base = record.base or None
    tree = objects.commit_tree(base) if base else {}
    session = Session(
        identity=record.id,
        branch=record.branch,
        base=base,
        base_tree=tree,
        base_schemas=objects.schemas(tree),
        opened_ns=record.created_ns,
        user=record.user,
        pid=record.pid,
        exclusive=record.exclusive,
        journals=journals,
        generation=record.journal,
        journal_bytes=record.consumed_bytes,
        streams=record.streams,
    )
    path = journals(record.journal, 0).path
    # The record is written at commits only: what was staged since then counts as use, too.
    staged_ns = path.stat().st_mtime_ns if path.exists() else 0
    session.used_ns = max(record.used_ns, staged_ns)
    try:
        session.replay(_whole(_stored(read_journal(path, record.consumed_bytes), find_many)))
    except Corrupt as error:
        _log.error("session %s: %s", record.id, error)
    if path.exists() and path.stat().st_size > session.journal_bytes:
        _log.warning(
            "session %s: changes behind byte %d of %s were not stored whole, and are dropped",
            record.id,
            session.journal_bytes,
            path,
        )
    return session


def _whole(
    records: Iterable[tuple[JournalRecord, int]],
) -> Iterator[tuple[JournalRecord, int]]:
    """The records without those at the end that were to be staged with others, which are gone."""
    together: list[tuple[JournalRecord, int]] = []
    for record in records:
        together.append(record)
        if not record[0].more:
            yield from together
            together = []


def _stored(records: Records, find_many: Finder) -> Iterator[tuple[JournalRecord, int]]:
    """The records up to the first that names a digest which is not stored."""
    for record, end_bytes in records:
        if record.kind == KIND_PUT and not find_many(record.digests)[1].all():
            return
        yield record, end_bytes
