"""``hangard merge REVISION``: bring another history into a branch."""

from __future__ import annotations

import click

from hangard.cli.commit import author_of, metadata_of
from hangard.cli.completing import complete_branches
from hangard.cli.place import open_repository
from hangard.cli.settling import settling_options, strategy_of, tell


@click.command("merge")
@click.argument("revision", shell_complete=complete_branches)
@click.option("--into", shell_complete=complete_branches, help="The branch (default: HEAD's).")
@click.option("-m", "--message", help="Of the merge commit.")
@click.option("--author", help='"Name <email>"; without it the configured one.')
@click.option("--metadata", multiple=True, metavar="KEY=VALUE", help="Kept with it; repeatable.")
@click.option("--no-ff", is_flag=True, help="Make a merge commit also where none is needed.")
@click.option("--ff-only", is_flag=True, help="Refuse to make a merge commit.")
@settling_options
@click.pass_context
def command(
    ctx: click.Context,
    revision: str,
    into: str | None,
    message: str | None,
    author: str | None,
    metadata: tuple[str, ...],
    no_ff: bool,
    ff_only: bool,
    strategy: str | None,
    choose: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
) -> None:
    """Merge REVISION, a branch or commit, into the branch of HEAD or of --into.

    Where both sides changed the same key differently, nothing happens and the keys are named (exit
    code 3). What is staged stays staged, and is put on top of the result when it is committed.
    """
    if no_ff and ff_only:
        raise click.UsageError("give --no-ff or --ff-only, not both")
    with open_repository(*author_of(author)) as repo:
        branch = into or repo.head()
        report = repo.merge(
            revision,
            into=branch,
            message=message,
            metadata=metadata_of(metadata),
            strategy=strategy_of(strategy, choose),
            ff="never" if no_ff else "only" if ff_only else "auto",
            dry_run=dry_run,
        )
    told = message or f"Merge {revision} into {branch}"
    ctx.exit(tell(report, told, dry_run=dry_run, as_json=as_json))
