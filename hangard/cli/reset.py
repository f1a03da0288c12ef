"""``hangard reset``: drop what is staged, and move the branch if a revision is given."""

from __future__ import annotations

import click

from hangard.cli.completing import complete_revisions
from hangard.cli.output import counted, print_json
from hangard.cli.place import open_repository
from hangard.cli.staging import drop_default


@click.command("reset")
@click.argument("revision", required=False, shell_complete=complete_revisions)
@click.option("--branch", help="The branch to move; without it the repository's HEAD.")
@click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON.")
def command(revision: str | None, branch: str | None, as_json: bool) -> None:
    """Drop what is staged; with REVISION, also move the branch there.

    Where the branch was stays in the reflog: `hangard reset 'main@{1}'` goes back. What was staged
    is gone.
    """
    if branch is not None and revision is None:
        raise click.UsageError("--branch needs a revision to move the branch to")
    with open_repository() as repo:
        target = branch or repo.head()
        commit = repo.reset(target, revision) if revision is not None else None
        staged = drop_default(repo)
    if as_json:
        print_json({"branch": target, "commit": commit, "dropped": staged})
        return
    click.echo(f"Dropped {counted(staged, 'staged change')}.")
    if commit is not None:
        click.echo(f"Branch {target} is at {commit.hex()[:16]}.")
