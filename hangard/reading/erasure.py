"""Which samples stood under given keys, in all history, and who else names them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from hangard_ext.table import Table
from hangard_ext.treekey import decode_keys
from hangard_ext.treenode import Node

from hangard.errors import UnknownColumn
from hangard.model.commit import Digest
from hangard.model.keys import Key, encode_keys
from hangard.reading.nodes import StoredNodes
from hangard.reading.reachable import Place, Walk, stored_roots
from hangard.reading.snapshot import RepositoryReader
from hangard.tree.search import find_many

USES_MAX = 1000


@dataclass(frozen=True, slots=True)
class Use:
    """A column and key that name a sample, in ``commit`` and maybe in others."""

    digest: Digest
    commit: Digest
    column: str
    key: Key


def digests_under(reader: RepositoryReader, column: str, keys: Iterable[Any]) -> set[Digest]:
    """The samples that these keys of a column have in any commit.

    Errors: UnknownColumn, if no commit has it; InvalidType, InvalidRequest for keys; Corrupt.
    """
    keys = list(keys)
    found: set[Digest] = set()
    roots: set[tuple[Digest, Digest]] = set()
    seen: set[Digest] = set()
    waiting = [root.commit for root in stored_roots(reader.env)]
    while waiting:
        digest = waiting.pop()
        if digest in seen:
            continue
        seen.add(digest)
        commit = reader.commit(digest)
        waiting += commit.parents
        entry = reader.tree(commit.tree).get(column)
        if entry is None or (entry.schema, entry.root) in roots:
            continue
        roots.add((entry.schema, entry.root))
        nested = reader.schema(entry.schema).layout == "nested"
        digests, present = find_many(reader.nodes, entry.root, *encode_keys(keys, nested))
        found.update(row.tobytes() for row in digests[present])
    if not roots:
        raise UnknownColumn(f"no commit has a column {column!r}", column=column)
    return found


def uses_of(reader: RepositoryReader, digests: Iterable[Digest]) -> list[Use]:
    """Columns and keys that name these samples, each node of all history read once; at most
    USES_MAX. A key that names the same sample in several commits may be told once for each."""
    wanted = Table()
    rows = np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 32)
    wanted.add_many(rows, rows)
    uses: list[Use] = []

    def look(place: Place, node: Node) -> None:
        blob, ends, found = node.block()
        flags = np.zeros(len(found), np.uint8)
        if not wanted.find_many(found, np.zeros((len(found), 32), np.uint8), flags):
            return
        keys = decode_keys(blob, ends)
        for i in np.flatnonzero(flags):
            uses.append(Use(found[i].tobytes(), place.commit, place.column, keys[i]))

    stored = StoredNodes(reader.locations, reader.files)
    walk = Walk(reader.env, stored, lambda finding: None, leaf=look)
    for root in stored_roots(reader.env):
        walk.visit(root)
        if len(uses) >= USES_MAX:
            break
    return uses[:USES_MAX]
