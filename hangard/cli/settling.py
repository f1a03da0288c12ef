"""What merge, revert and cherry-pick share: how conflicts are settled, and how the end is told."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import click
import hangard_client

from hangard.cli.describe import first_line
from hangard.cli.exits import EXIT_CONFLICT, conflict_line
from hangard.cli.output import print_json

MARKS = {"added": "+", "deleted": "-", "changed": "~"}
SIDES = ("ours", "theirs")
CHOICE = re.compile(r"(?P<column>[^:=]+)(:(?P<key>.+))?=(?P<side>ours|theirs)", re.DOTALL)
INTEGER = re.compile(r"0|[1-9][0-9]*", re.ASCII)

Command = Callable[..., Any]


choose_option = click.option(
    "--choose",
    multiple=True,
    metavar="COLUMN[:KEY]=SIDE",
    help="Settle the conflicts of a column or of one key; repeatable.",
)


def settling_options(command: Command) -> Command:
    """The options of all that may conflict."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON."),
        click.option("--dry-run", is_flag=True, help="Change nothing; tell what would happen."),
        choose_option,
        click.option(
            "--strategy",
            type=click.Choice(SIDES),
            help="Settle all conflicts: ours is the branch's side, theirs the other.",
        ),
    ):
        command = option(command)
    return command


def strategy_of(strategy: str | None, choose: tuple[str, ...]) -> Any:
    """What the options say, as the client takes it."""
    if not choose:
        return strategy
    if strategy is not None:
        raise click.UsageError("give --strategy or --choose, not both")
    columns: dict[str, Any] = {}
    keys: dict[str, dict[Any, str]] = {}
    for choice in choose:
        found = CHOICE.fullmatch(choice)
        if found is None:
            raise click.BadParameter(
                f"{choice!r}: write COLUMN=ours, COLUMN:KEY=theirs or the like",
                param_hint="--choose",
            )
        key = found["key"]
        if key is None:
            columns[found["column"]] = found["side"]
        else:
            chosen = int(key) if INTEGER.fullmatch(key) else key
            keys.setdefault(found["column"], {})[chosen] = found["side"]
    both = sorted(columns.keys() & keys.keys())
    if both:
        raise click.BadParameter(
            f"column {both[0]!r} is chosen as a whole and by key", param_hint="--choose"
        )
    return {**columns, **keys}


def tell(report: hangard_client.MergeReport, message: str, *, dry_run: bool, as_json: bool) -> int:
    """Print what was done or would be; the exit code, which a dry run's conflicts have, too."""
    if as_json:
        print_json(_record(report, dry_run=dry_run))
    elif dry_run:
        _tell_dry_run(report)
    elif report.outcome == "up-to-date":
        click.echo(f"{report.branch} has it already.")
    elif report.outcome == "fast-forward":
        click.echo(f"Fast-forwarded {report.branch} to {_short(report.commit)}.")
    else:
        click.echo(f"[{report.branch} {_short(report.commit)}] {first_line(message)}")
    return EXIT_CONFLICT if report.conflict_count else 0


def _tell_dry_run(report: hangard_client.MergeReport) -> None:
    for conflict in report.conflicts:
        click.echo(conflict_line(*conflict))
    hidden = report.conflict_count - len(report.conflicts)
    if hidden:
        click.echo(f"  and {hidden} more")
    for name, counts in report.changes.items():
        click.echo(f"{name}: +{counts.added} -{counts.deleted} ~{counts.changed}")
    if report.conflict_count:
        click.echo(f"{report.branch} would stay as it is: {report.conflict_count} conflicts.")
    elif report.outcome == "up-to-date":
        click.echo(f"{report.branch} has it already.")
    elif report.outcome == "fast-forward":
        click.echo(f"{report.branch} would be fast-forwarded to {_short(report.commit)}.")
    else:
        click.echo(f"{report.branch} would get a commit.")


def _record(report: hangard_client.MergeReport, *, dry_run: bool) -> dict[str, Any]:
    record: dict[str, Any] = {
        "outcome": report.outcome,
        "branch": report.branch,
        "commit": report.commit,
        "before": report.before,
        "bases": list(report.bases),
        "dry_run": dry_run,
    }
    if dry_run:
        record["changes"] = {name: counts._asdict() for name, counts in report.changes.items()}
        record["conflict_count"] = report.conflict_count
        record["conflicts"] = [
            {"column": column, "key": key, "kind": kind} for column, key, kind in report.conflicts
        ]
    return record


def _short(commit: hangard_client.CommitDigest | None) -> str:
    return commit.hex()[:16] if commit else "no commit"
