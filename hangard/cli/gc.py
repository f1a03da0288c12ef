"""``hangard gc``: remove what nothing leads to."""

from __future__ import annotations

import click

from hangard.cli.output import counted, human_bytes, print_json
from hangard.cli.place import open_repository
from hangard.cli.progress import StageBars


@click.command("gc")
@click.option("-n", "--dry-run", is_flag=True, help="Only tell what would go.")
@click.option("--full", is_flag=True, help="Compact every file, not only those half empty.")
@click.option(
    "--grace-s",
    type=click.FloatRange(min=0),
    help="Keep what is younger than so many seconds (default: 3600).",
)
@click.option(
    "--reflog-age-s",
    type=click.FloatRange(min=0),
    help="Forget entries of the reflog older than so many seconds (default: 90 days).",
)
@click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON.")
def command(
    dry_run: bool, full: bool, grace_s: float | None, reflog_age_s: float | None, as_json: bool
) -> None:
    """Remove commits, tree nodes and samples that nothing leads to, and compact files.

    Branches, tags, the reflog, sessions and open read checkouts keep what they lead to. Readers and
    writers may go on meanwhile.
    """
    with open_repository() as repo, StageBars() as bars:
        done = repo.gc(
            grace_s=grace_s, reflog_age_s=reflog_age_s, full=full, dry_run=dry_run, progress=bars
        )
    if as_json:
        print_json(done)
        return
    verb = "Would remove" if dry_run else "Removed"
    click.echo(
        f"{verb} {counted(done.commits, 'commit')},"
        f" {counted(done.reflog_entries, 'reflog entry').replace('entrys', 'entries')},"
        f" {counted(done.files, 'file')} with {counted(done.records, 'sample or node')}"
        " that nothing leads to".replace("sample or nodes", "samples or nodes")
        + f"; {human_bytes(done.freed_bytes)} freed."
    )
    if done.moved:
        moved = "would move" if dry_run else "moved"
        click.echo(f"{counted(done.moved, 'other record')} of these files {moved}.")
