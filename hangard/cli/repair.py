"""``hangard repair``: mend what ``hangard verify`` finds."""

from __future__ import annotations

import click

from hangard.cli.exits import EXIT_ERROR
from hangard.cli.output import console, counted, print_json
from hangard.cli.place import open_repository
from hangard.cli.progress import StageBars
from hangard.cli.verify import FINDINGS_SHOWN_MAX, finding_plain, show
from hangard.model.directory import REPAIR_REPORT


@click.command("repair")
@click.option("-n", "--dry-run", is_flag=True, help="Only tell what is wrong.")
@click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON.")
@click.pass_context
def command(ctx: click.Context, dry_run: bool, as_json: bool) -> None:
    """Mend the repository: index, files, samples that have another copy.

    The daemon is stopped for it. Samples that nothing has any more are listed; putting equal ones
    again brings them back in all commits. The exit code is 1 if something is still wrong.
    """
    with open_repository() as repo, StageBars() as bars:
        done = repo.repair(dry_run=dry_run, progress=bars)
    if as_json:
        print_json(
            {
                "dry_run": done.dry_run,
                "actions": done.actions,
                "before": [finding_plain(item) for item in done.before.findings],
                "after": [finding_plain(item) for item in done.after.findings],
                "left": done.after.finding_count,
            }
        )
    elif dry_run:
        show(done.before)
    else:
        for action in done.actions:
            click.echo(action)
        for finding in done.after.findings[:FINDINGS_SHOWN_MAX]:
            console().print(f"still wrong: {finding}")
        left = done.after.finding_count
        click.echo(
            "Everything is sound."
            if not left
            else f"{counted(left, 'finding')} left: {REPAIR_REPORT}"
        )
    if not done.after.is_sound:
        ctx.exit(EXIT_ERROR)
