"""``hangard verify``: is everything there, and is it what it was?"""

from __future__ import annotations

import click

from hangard.cli.exits import EXIT_ERROR
from hangard.cli.output import console, counted, human_bytes, print_json
from hangard.cli.place import open_repository
from hangard.cli.progress import StageBars
from hangard.model.findings import Finding, Verification

FINDINGS_SHOWN_MAX = 200


@click.command("verify")
@click.option("--quick", is_flag=True, help="Do not read samples' bytes, only look for them.")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
@click.pass_context
def command(ctx: click.Context, quick: bool, as_json: bool) -> None:
    """Verify the repository: refs, history, trees, every sample's bytes, files, the index.

    Writers may go on meanwhile. All that is wrong is listed, with what `hangard repair` would do
    about it; then the exit code is 1.
    """
    with open_repository() as repo, StageBars() as bars:
        found = repo.verify(quick=quick, progress=bars)
    if as_json:
        print_json({**_plain(found), "findings": [finding_plain(item) for item in found.findings]})
    else:
        show(found)
    if not found.is_sound:
        ctx.exit(EXIT_ERROR)


def show(found: Verification) -> None:
    """For people: the findings, then the sums."""
    for finding in found.findings[:FINDINGS_SHOWN_MAX]:
        console().print(str(finding))
        console().print(f"    repair: {finding.repair}")
    hidden = found.finding_count - min(len(found.findings), FINDINGS_SHOWN_MAX)
    if hidden:
        click.echo(f"and {counted(hidden, 'other finding')}; --json lists them")
    parts = [
        counted(found.commits, "commit"),
        counted(found.nodes, "tree node"),
        counted(found.samples, "sample")
        + ("" if found.quick else f" ({human_bytes(found.sample_bytes)})"),
        counted(found.files, "file"),
    ]
    click.echo(("Looked at " if found.quick else "Verified ") + ", ".join(parts) + ".")
    if found.purged:
        click.echo(f"{counted(found.purged, 'sample')} of these were erased on purpose.")
    click.echo(
        "Everything is sound." if found.is_sound else f"{counted(found.finding_count, 'finding')}."
    )


def finding_plain(finding: Finding) -> dict[str, str]:
    """A finding as JSON has it."""
    return {
        "kind": finding.kind,
        "what": finding.what,
        "where": finding.where,
        "detail": finding.detail,
        "repair": finding.repair,
    }


def _plain(found: Verification) -> dict[str, int | bool]:
    return {
        "sound": found.is_sound,
        "quick": found.quick,
        "finding_count": found.finding_count,
        "commits": found.commits,
        "nodes": found.nodes,
        "samples": found.samples,
        "sample_bytes": found.sample_bytes,
        "files": found.files,
        "purged": found.purged,
    }
