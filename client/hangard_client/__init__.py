"""The client library of hangard.

::

    import hangard_client

    repo = hangard_client.open("data/faces", create=True)
    with repo.checkout("main", write=True) as co:
        faces = co.add_ndarray_column("faces", shape=(28, 28), dtype="uint8")
        faces["ada"] = image
        co.commit("first faces")
    with repo.checkout("main") as co:
        co["faces", "ada"]

Its errors are those of hangard.errors, under the same names.
"""

from __future__ import annotations

import os

from hangard import __version__
from hangard.errors import (
    AlreadyExists,
    Busy,
    Closed,
    Conflict,
    Corrupt,
    HangardError,
    HeadMoved,
    InvalidRequest,
    InvalidType,
    NoRepository,
    NoSpace,
    NotFound,
    NothingStaged,
    PermissionDenied,
    Purged,
    Unavailable,
    UnknownColumn,
    UnknownKey,
    UnknownRevision,
    UnknownSession,
)
from hangard_client.async_checkouts import AsyncCheckout, AsyncWriteCheckout, UncommittedWarning
from hangard_client.async_columns import AsyncColumn, AsyncWriteColumn
from hangard_client.async_nested_columns import (
    AsyncNestedColumn,
    AsyncNestedWriteColumn,
    AsyncSubsamples,
    AsyncWriteSubsamples,
)
from hangard_client.async_repository import AsyncRepository
from hangard_client.bulk import BulkProgress, BulkSample, bulk_import
from hangard_client.checkouts import Checkout, WriteCheckout
from hangard_client.clashes import Clash
from hangard_client.columns import Column, WriteColumn
from hangard_client.hangar_import.results import HangarImport, ImportProgress
from hangard_client.history import CommitDigest, History, LogEntry, RefMovement, Tag
from hangard_client.merge_report import MergeReport
from hangard_client.nested_columns import (
    NestedColumn,
    NestedWriteColumn,
    Subsamples,
    WriteSubsamples,
)
from hangard_client.repository import Repository
from hangard_client.summary import ColumnSummary, Summary

__all__ = [
    "AlreadyExists",
    "AsyncCheckout",
    "AsyncColumn",
    "AsyncNestedColumn",
    "AsyncNestedWriteColumn",
    "AsyncRepository",
    "AsyncSubsamples",
    "AsyncWriteCheckout",
    "AsyncWriteColumn",
    "AsyncWriteSubsamples",
    "BulkProgress",
    "BulkSample",
    "Busy",
    "Checkout",
    "Clash",
    "Closed",
    "Column",
    "ColumnSummary",
    "CommitDigest",
    "Conflict",
    "Corrupt",
    "HangarImport",
    "HangardError",
    "HeadMoved",
    "History",
    "ImportProgress",
    "InvalidRequest",
    "InvalidType",
    "LogEntry",
    "MergeReport",
    "NestedColumn",
    "NestedWriteColumn",
    "NoRepository",
    "NoSpace",
    "NotFound",
    "NothingStaged",
    "PermissionDenied",
    "Purged",
    "RefMovement",
    "Repository",
    "Subsamples",
    "Summary",
    "Tag",
    "Unavailable",
    "UncommittedWarning",
    "UnknownColumn",
    "UnknownKey",
    "UnknownRevision",
    "UnknownSession",
    "WriteCheckout",
    "WriteColumn",
    "WriteSubsamples",
    "__version__",
    "bulk_import",
    "open",
]


def open(
    path: str | os.PathLike[str],
    *,
    create: bool = False,
    branch: str = "main",
    user_name: str | None = None,
    user_email: str | None = None,
) -> Repository:
    """Open the repository at ``path``; see Repository. Nothing is started until it is needed.

    Errors: NoRepository.
    """
    return Repository(
        path, create=create, branch=branch, user_name=user_name, user_email=user_email
    )
