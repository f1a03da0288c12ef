"""``hangard cherry-pick COMMIT``: make one commit's changes on another branch."""

from __future__ import annotations

import click

from hangard.cli.commit import author_of, metadata_of
from hangard.cli.completing import complete_branches
from hangard.cli.place import open_repository
from hangard.cli.settling import settling_options, strategy_of, tell


@click.command("cherry-pick")
@click.argument("revision", metavar="COMMIT", shell_complete=complete_branches)
@click.option("--branch", shell_complete=complete_branches, help="Default: HEAD's.")
@click.option("-m", "--message", help="Instead of the one that is made from COMMIT's.")
@click.option("--author", help='Who does it, "Name <email>"; without it the configured one.')
@click.option("--metadata", multiple=True, metavar="KEY=VALUE", help="Kept with it; repeatable.")
@click.option(
    "--mainline", type=click.IntRange(1), help="The parent to compare a merge commit with."
)
@settling_options
@click.pass_context
def command(
    ctx: click.Context,
    revision: str,
    branch: str | None,
    message: str | None,
    author: str | None,
    metadata: tuple[str, ...],
    mainline: int | None,
    strategy: str | None,
    choose: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
) -> None:
    """Make the changes of COMMIT on the branch of HEAD or of --branch, too, by a new commit.

    It keeps author, message and metadata. Where the branch changed the same keys differently,
    nothing happens and the keys are named (exit code 3).
    """
    with open_repository(*author_of(author)) as repo:
        report = repo.cherry_pick(
            revision,
            branch=branch or repo.head(),
            message=message,
            metadata=metadata_of(metadata),
            strategy=strategy_of(strategy, choose),
            mainline=mainline,
            dry_run=dry_run,
        )
        made = repo.log(report.commit, limit=1) if report.commit else []
    told = made[0].message if made else ""
    ctx.exit(tell(report, told, dry_run=dry_run, as_json=as_json))
