"""Ancestry of commits."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from hangard.model.commit import Digest
from hangard.repository.objects import Objects


def is_ancestor(objects: Objects, commit: Digest, heads: Iterable[Digest | None]) -> bool:
    """Whether ``commit`` is one of ``heads`` or an ancestor of one. Cost: O(commits)."""
    waiting = deque(head for head in heads if head)
    seen = set(waiting)
    while waiting:
        digest = waiting.popleft()
        if digest == commit:
            return True
        for parent in objects.commit(digest).parents:
            if parent not in seen:
                seen.add(parent)
                waiting.append(parent)
    return False
