"""``hangard diff [A [B]]``: what differs between two commits, or what is staged."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click
import hangard_client

from hangard.cli.completing import complete_revisions
from hangard.cli.exits import EXIT_CONFLICT, conflict_line
from hangard.cli.output import key_text, print_json
from hangard.cli.place import open_repository
from hangard.cli.settling import MARKS
from hangard.cli.staging import find_default, staged_session
from hangard.errors import InvalidRequest
from hangard.reading.differences import ColumnChanges


@click.command("diff")
@click.argument("first", required=False, shell_complete=complete_revisions)
@click.argument("second", required=False, shell_complete=complete_revisions)
@click.option(
    "--merge-base", is_flag=True, help="Begin where both histories met, not at FIRST itself."
)
@click.option("--stat", is_flag=True, help="Only count the samples of each column.")
@click.option(
    "--conflicts", is_flag=True, help="List what a merge of SECOND into FIRST would conflict in."
)
@click.option("--json", "as_json", is_flag=True, help="Print the differences as JSON.")
@click.pass_context
def command(
    ctx: click.Context,
    first: str | None,
    second: str | None,
    merge_base: bool,
    stat: bool,
    conflicts: bool,
    as_json: bool,
) -> None:
    """Show what changes from FIRST to SECOND, which are branches or commits.

    SECOND is the branch of HEAD if it is left out; without both, what is staged is shown.
    FIRST...SECOND is short for --merge-base FIRST SECOND.

    + is a key or column that only SECOND has, - one that only FIRST has, ~ one that both have with
    different content. With --conflicts the exit code is 3 if there are any.
    """
    if first is not None and second is None and "..." in first:
        first, _, second = first.partition("...")
        merge_base = True
    if first is None and (merge_base or conflicts):
        raise click.UsageError("name two branches or commits to compare")
    with open_repository() as repo:
        if first is None:
            _show_staged(repo, stat=stat, as_json=as_json)
            return
        first, second = first or repo.head(), second or repo.head()
        if conflicts:
            ctx.exit(_show_conflicts(repo, first, second, as_json=as_json))
        start: Any = _base(repo, first, second) if merge_base else first
        _show(repo.diff(start, second), stat=stat, as_json=as_json)


def _show_staged(repo: hangard_client.Repository, *, stat: bool, as_json: bool) -> None:
    found = find_default(repo)
    if found is None or not found.staged:
        _show([], stat=stat, as_json=as_json)
        return
    with staged_session(repo) as co:
        _show(co.diff(), stat=stat, as_json=as_json)


def _base(repo: hangard_client.Repository, first: str, second: str) -> Any:
    found = repo.merge_base(first, second)
    if len(found) != 1:
        raise InvalidRequest(
            f"{first} and {second} have {len(found)} merge bases; name a commit to compare with"
            + "".join(f"\n  {digest}" for digest in found),
            code="several-merge-bases" if found else "no-merge-base",
        )
    return found[0]


def _show(columns: Iterable[ColumnChanges], *, stat: bool, as_json: bool) -> None:
    if as_json:
        print_json([stat_record(one) if stat else record(one) for one in columns])
        return
    for column in columns:
        if column.schema_change is not None:
            click.echo(f"{MARKS[column.schema_change]} column {column.name}")
        if stat:
            counts = column.counts()
            click.echo(f"{column.name}: +{counts.added} -{counts.deleted} ~{counts.changed}")
            continue
        for change in column.samples():
            click.echo(f"{MARKS[change.kind]} {column.name} {key_text(change.key)}")


def _show_conflicts(
    repo: hangard_client.Repository, first: str, second: str, *, as_json: bool
) -> int:
    found = repo.conflicts(first, second)
    if as_json:
        print_json(found)
    else:
        for conflict in found:
            click.echo(conflict_line(conflict.column, conflict.key, conflict.kind))
    return EXIT_CONFLICT if found else 0


def record(column: ColumnChanges) -> dict[str, object]:
    return {
        "column": column.name,
        "schema_before": column.schema_before,
        "schema_after": column.schema_after,
        "samples": [
            {
                "key": change.key,
                "change": change.kind,
                "before": change.before,
                "after": change.after,
            }
            for change in column.samples()
        ],
    }


def stat_record(column: ColumnChanges) -> dict[str, object]:
    return {
        "column": column.name,
        "schema_before": column.schema_before,
        "schema_after": column.schema_after,
        **column.counts()._asdict(),
    }
