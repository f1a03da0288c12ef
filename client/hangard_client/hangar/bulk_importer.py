"""Hangar's bulk importer: a user's generator function in worker processes, one commit of it all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from hangard.errors import InvalidRequest, InvalidType
from hangard_client.bulk import BulkSample, check_source, stage_in_processes
from hangard_client.hangar import staging_area
from hangard_client.hangar.errors import as_builtin
from hangard_client.hangar.names import checked_key
from hangard_client.hangar.repository import Repository

COMMIT_MESSAGE = "bulk import"


class UDF_Return(NamedTuple):
    """One sample: ``column``, ``key`` (in a nested column sample and subsample), ``data``."""

    column: str
    key: Any
    data: Any


def run_bulk_import(
    repo: Repository,
    branch_name: str,
    column_names: Sequence[str],
    udf: Callable[..., Iterator[UDF_Return]],
    udf_kwargs: Sequence[Mapping[str, Any]],
    *,
    ncpus: int = 0,
    autocommit: bool = True,
) -> None:
    """Import what ``udf`` yields for each of ``udf_kwargs``, all of it or nothing.

    The columns exist. ``ncpus`` 0 or less: half of the CPUs. Without ``autocommit`` the samples
    stay staged. The writer's lock is held throughout. On a terminal a bar on standard error shows
    how far it is.
    Errors: a TypeError if ``udf`` is no generator function, does not take its arguments, or yields
    something else than UDF_Return; a RuntimeError if cloudpickle does not take it, or if something
    is staged; a ValueError for columns that were not named, for keys and samples that do not fit,
    and if it yields something else when it is called again; a KeyError for columns that are not
    there; a PermissionError while another writer holds the lock; what ``udf`` raises.
    """
    check_source(udf, udf_kwargs)
    if isinstance(column_names, str):
        raise InvalidType("column_names is a sequence of names", code="not-a-sequence")
    native_repo = repo._repo()
    native = staging_area.open_clean(native_repo, branch_name)
    try:
        _stage(native, native_repo, column_names, udf, udf_kwargs, ncpus)
        if autocommit and staging_area.is_dirty(native):
            native.commit(COMMIT_MESSAGE)
    except BaseException:
        native.reset()
        raise
    finally:
        native.leave()


def as_udf_return(item: Any) -> BulkSample:
    """Errors: InvalidType (``not-a-sample``); InvalidRequest (``invalid-key``)."""
    if not isinstance(item, UDF_Return) or not isinstance(item.column, str):
        raise InvalidType(
            f"the function yields UDF_Return(column, key, data), not {type(item).__name__}",
            code="not-a-sample",
        )
    parts = item.key if isinstance(item.key, tuple) else (item.key,)
    for part in parts:
        checked_key(part)
    return BulkSample(*item)


def _stage(
    native: Any,
    repo: Any,
    column_names: Sequence[str],
    udf: Any,
    udf_kwargs: Sequence[Mapping[str, Any]],
    ncpus: int,
) -> None:
    try:
        stage_in_processes(
            native,
            udf,
            udf_kwargs,
            path=str(repo.path),
            columns=column_names,
            workers=ncpus,
            check=as_udf_return,
            report=None,
        )
    except InvalidRequest as error:
        if error.code not in ("not-picklable", "worker-ended"):
            raise
        raise as_builtin(error, RuntimeError) from error
