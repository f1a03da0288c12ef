"""``hangard purge``: erase samples from all history."""

from __future__ import annotations

import sys

import click
import hangard_client

from hangard.cli.output import counted, human_bytes, key_text, print_json
from hangard.cli.place import open_repository
from hangard.cli.progress import StageBars

USES_SHOWN_MAX = 20


@click.command("purge")
@click.argument("column", required=False)
@click.argument("keys", nargs=-1)
@click.option("--digest", "digests", multiple=True, help="Erase the sample with this digest.")
@click.option("-n", "--dry-run", is_flag=True, help="Only tell what would be erased.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--undo", is_flag=True, help="Let content equal to these --digest in again.")
@click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON.")
def command(
    column: str | None,
    keys: tuple[str, ...],
    digests: tuple[str, ...],
    dry_run: bool,
    yes: bool,
    undo: bool,
    as_json: bool,
) -> None:
    """Erase the samples that KEYS of COLUMN have in any commit; there is no way back.

    Their bytes leave every file of the repository. History stays as it is: reading such a key
    fails, `hangard verify` succeeds, and putting equal content is refused.
    """
    if undo:
        if not digests or column is not None:
            raise click.UsageError("--undo takes digests: --digest DIGEST")
        with open_repository() as repo:
            count = repo.undo_purge(digests)
        print_json({"samples": count}) if as_json else click.echo(
            f"{counted(count, 'sample')} may come in again."
        )
        return
    if (column is None) == (not digests) or (column is not None and not keys):
        raise click.UsageError("name COLUMN and KEYS, or --digest DIGEST")
    with open_repository() as repo:
        named = list(digests) or repo.digests_under(str(column), _both_ways(keys))
        if not as_json:
            _show_uses(repo, named)
        if not (yes or dry_run) and not _confirmed(len(named)):
            raise click.UsageError("nothing was erased; --yes says that it is meant")
        with StageBars() as bars:
            done = repo.purge(digests=named, dry_run=dry_run, progress=bars)
    if as_json:
        print_json(done)
        return
    verb = "Would erase" if dry_run else "Erased"
    click.echo(
        f"{verb} {counted(done.stored, 'sample')};"
        f" {counted(done.files, 'file')} ({human_bytes(done.file_bytes)})"
        f" {'would be' if dry_run else 'were'} written again without them."
    )


def _both_ways(keys: tuple[str, ...]) -> list[int | str]:
    """Keys of the command line: digits may mean the int or the text; only one of them is there."""
    return [*keys, *(int(key) for key in keys if key.isascii() and key.isdigit())]


def _show_uses(repo: hangard_client.Repository, digests: list[str] | list[bytes]) -> None:
    """What will be gone, by column and key."""
    uses = sorted({(use.column, key_text(use.key)) for use in repo.find_uses(digests)})
    for column, key in uses[:USES_SHOWN_MAX]:
        click.echo(f"  {column} {key}")
    if len(uses) > USES_SHOWN_MAX:
        click.echo(f"  and {len(uses) - USES_SHOWN_MAX:,} more")


def _confirmed(count: int) -> bool:
    """Asked on a terminal; elsewhere nobody answers."""
    if not sys.stdin.isatty():
        return False
    return click.confirm(f"Erase {counted(count, 'sample')} from all history, for ever?")
