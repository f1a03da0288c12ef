"""``hangard commit``: make what is staged permanent."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click
import hangard_client

from hangard.cli.describe import commit_record, first_line
from hangard.cli.editing import message_of
from hangard.cli.output import print_json
from hangard.cli.place import open_repository
from hangard.cli.settling import choose_option, strategy_of
from hangard.cli.staging import staged_session

AUTHOR = re.compile(r"\s*(?P<name>[^<>]*[^<>\s])\s*<(?P<email>[^<>\s]+)>\s*")


@click.command("commit")
@click.option(
    "-m",
    "--message",
    "messages",
    multiple=True,
    help="What changed, and why; repeatable, a line each. Without it your editor asks for it.",
)
@click.option("--author", help='"Name <email>"; without it the configured one.')
@click.option("--metadata", multiple=True, metavar="KEY=VALUE", help="Kept with it; repeatable.")
@click.option(
    "--strategy",
    type=click.Choice(["ours", "theirs"]),
    help="Settle conflicts: ours is what you staged, theirs what the branch has now.",
)
@choose_option
@click.option("--json", "as_json", is_flag=True, help="Print the commit as JSON.")
def command(
    messages: tuple[str, ...],
    author: str | None,
    metadata: tuple[str, ...],
    strategy: str | None,
    choose: tuple[str, ...],
    as_json: bool,
) -> None:
    """Commit what is staged to its branch.

    If somebody else committed meanwhile, your changes are put on top of theirs. Where both changed
    the same key differently, nothing happens and the keys are named (exit code 3).
    """
    with open_repository(*author_of(author)) as repo, staged_session(repo) as co:
        base = co.commit_digest
        message = message_of(messages, column_lines(co))
        digest = co.commit(
            message, metadata=metadata_of(metadata), strategy=strategy_of(strategy, choose)
        )
        (entry,) = repo.log(digest, limit=1)
        rebased = entry.parents != ((base,) if base else ())
        branch = co.branch
    if as_json:
        print_json({**commit_record(entry), "branch": branch, "rebased": rebased})
        return
    others = ", on top of what others committed" if rebased else ""
    click.echo(f"[{branch} {digest.hex()[:16]}] {first_line(message)}{others}")


def column_lines(co: hangard_client.WriteCheckout) -> Iterator[str]:
    """What is staged, for who writes the message."""
    yield f"Staged for branch {co.branch}:"
    for column in co.diff():
        counts = column.counts()
        yield f"  {column.name} +{counts.added} -{counts.deleted} ~{counts.changed}"


def author_of(author: str | None) -> tuple[str, str] | tuple[None, None]:
    """Name and e-mail in ``"Ada <ada@example.org>"``."""
    if author is None:
        return None, None
    found = AUTHOR.fullmatch(author)
    if found is None:
        raise click.BadParameter('write "Name <email>"', param_hint="--author")
    return found["name"], found["email"]


def metadata_of(pairs: tuple[str, ...]) -> dict[str, str]:
    """``("camera=A",)`` as a dict."""
    result: dict[str, str] = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator or not name:
            raise click.BadParameter(f"{pair!r}: write KEY=VALUE", param_hint="--metadata")
        result[name] = value
    return result
