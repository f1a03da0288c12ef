"""``hangard reflog``: where branches and tags were."""

from __future__ import annotations

from collections import Counter

import click

from hangard.cli.completing import complete_revisions
from hangard.cli.output import date_text, print_json
from hangard.cli.place import open_repository


@click.command("reflog")
@click.argument("ref", required=False, shell_complete=complete_revisions)
@click.option("--all", "all_refs", is_flag=True, help="The movements of all branches and tags.")
@click.option(
    "-n", "count", type=click.IntRange(min=0), default=1000, help="Show so many entries only."
)
@click.option("--json", "as_json", is_flag=True, help="Print the entries as JSON.")
def command(ref: str | None, all_refs: bool, count: int, as_json: bool) -> None:
    """Show how REF (a branch, or tags/NAME; HEAD's branch if left out) has moved, newest first.

    NAME@{N}, as it stands in each line, names the commit wherever one is asked for.
    """
    if ref is not None and all_refs:
        raise click.UsageError("give either a branch or --all")
    with open_repository() as repo:
        entries = repo.reflog(None if all_refs else ref or "HEAD", limit=count)
    if as_json:
        print_json(entries)
        return
    seen: Counter[str] = Counter()
    for entry in entries:
        # Of one ref all are counted as one, under whatever name it had.
        name = entry.ref if all_refs else entries[0].ref
        digest = entry.after.hex()[:16] if entry.after else "-" * 16
        shown = name.removeprefix("heads/")
        who = f" ({entry.user})" if entry.user else ""
        click.echo(
            f"{click.style(digest, fg='yellow')} {shown}@{{{seen[name]}}}: {entry.action}"
            f"  {date_text(entry.time_ns)}{who}"
        )
        seen[name] += 1
