"""Merges against the repository itself, beside ``writing``."""

from __future__ import annotations

import secrets
from typing import Any

from hangard.model.commit import Digest
from hangard.repository.repository import Repository
from hangard.wire.merging import MergeRequest, MergeResult


def request(verb: Any, branch: str, commit: Digest, **more: Any) -> MergeRequest:
    settings: dict[str, Any] = {
        "command_id": secrets.token_bytes(16),
        "author_name": "Ada",
        "author_email": "ada@example.org",
        "message": f"{verb} it",
        **more,
    }
    return MergeRequest(verb=verb, branch=branch, commit=commit, **settings)


def merge(repository: Repository, branch: str, commit: Digest, **more: Any) -> MergeResult:
    return repository.merge(request("merge", branch, commit, **more))


def head(repository: Repository, branch: str) -> Digest:
    found = repository._heads[branch]
    assert found is not None
    return found
