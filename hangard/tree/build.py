"""A tree from all its entries."""

from __future__ import annotations

from hangard.errors import InvalidRequest
from hangard.model.commit import Digest
from hangard.tree.levels import build_up
from hangard.tree.store import Digests, Ends, NodeStore


def build(store: NodeStore, blob: bytes, ends: Ends, digests: Digests) -> Digest:
    """The root of the tree with these entries; EMPTY_ROOT for none.

    Shapes: packed encoded keys, strictly ascending (hangard_ext.keyblock.sort_changes);
    digests (n, 32), none zero.
    Errors: InvalidRequest (``unsorted-changes``); those of the store.
    """
    try:
        return build_up(store, (blob, ends, digests), 0)
    except ValueError as error:
        raise invalid_changes(error) from error


def invalid_changes(error: ValueError) -> Exception:
    """What a ValueError of NodeWriter becomes; errors of the store stay what they are."""
    if isinstance(error, InvalidRequest) or type(error) is not ValueError:
        return error
    return InvalidRequest(f"entries of a tree: {error}", code="unsorted-changes")
